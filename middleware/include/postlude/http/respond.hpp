// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_HTTP_RESPOND_HPP
#define POSTLUDE_HTTP_RESPOND_HPP

#include "postlude/dispatch/deferred.hpp"
#include "postlude/http/detail/respond_op.hpp"
#include "postlude/http/request_info.hpp"

#include <boost/asio/async_result.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/beast/core/stream_traits.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/message_generator.hpp>
#include <boost/system/system_error.hpp>

#include <concepts>
#include <type_traits>

namespace postlude {

namespace detail {

// Deduces what a response is, classes derived from it included.
template <class Body, class Fields>
auto as_argument(beast_http::response<Body, Fields>& response) noexcept {
    return &response;
}
template <class Body, class Fields>
auto&& as_argument(beast_http::response<Body, Fields>&& response) noexcept {
    return std::move(response);
}
template <std::same_as<beast_http::message_generator> Generator>
auto&& as_argument(Generator&& generator) noexcept {
    return std::forward<Generator>(generator);
}

/// The stream's own default, or `asio::deferred`, which a coroutine can await.
template <class Executor>
using default_token =
    std::conditional_t<std::is_void_v<boost::asio::default_completion_token_t<Executor>>,
                       boost::asio::deferred_t, boost::asio::default_completion_token_t<Executor>>;

}  // namespace detail

/// A `beast::http::response` that can be changed, or one that can be moved from, or a
/// `beast::http::message_generator` that can be moved from.
template <class T>
concept sendable_response =
    requires(T&& response) { detail::as_argument(std::forward<T>(response)); };

/// Writes the response to a request, and then lets its deferred work go. To be called where
/// `http::async_write` would be.
///
/// The response and the framing. An lvalue must live until the completion, and is not changed,
/// unless its fields are not Beast's `basic_fields`: then those of its framing may be. An rvalue
/// and a generator are taken over. Postlude sees to the framing: Content-Length is set, or put
/// right, where the body's size is known, and is what GET would have got in the answer to HEAD (an
/// empty body with a Content-Length that the handler set is taken at its word); 1xx and 204 have
/// none; 304 has none that the handler did not set; none of these four has a body. A body of
/// unknown length is chunked, or, where the client speaks HTTP/1.0 or the response says that it is
/// of version 1.0, ends with the connection. A generator's text is fitted likewise, but one of
/// unknown length that is not chunked ends with the connection on HTTP/1.1, too, if it has more
/// than 64 KiB. Connection says close or keep-alive where the request or the framing demands it. A
/// list that was refused work (`deferred::refused`) gets a 503 with Retry-After instead of its
/// response.
///
/// A header with a body of up to 4 KiB leaves in one write from one buffer; a larger body is not
/// copied, and its first piece leaves together with the header. The body is asked for its first
/// piece before anything is written, so that an error of its own there leaves the connection
/// untouched: then 0 bytes have been written.
///
/// @param stream must live until the completion, and nobody else may write to it meanwhile.
/// @param after the request's list. May be moved or destroyed when the operation has begun.
/// Like every use of a list, that has to be on the strand on which the operation completes.
/// @param token for `void(error_code, std::size_t)`: bytes written, header included. Default: the
/// stream's own, or `asio::deferred`, which a coroutine can await. The operation completes on the
/// associated executor (default: the stream's), never inside this call, and passes cancellation
/// on to each write. Memory comes from the associated allocator; a small response takes one
/// allocation.
///
/// Errors. `http::error::end_of_stream`: all was written, and the response ends with the
/// connection: close it. `http::error::bad_content_length`: the body has not the size that it
/// says. `errc::bad_header`: a field or the reason holds a line end or a NUL; nothing was written,
/// and the request has failed. Any other is the body's or the stream's. After an error no further
/// response may be written to the connection.
///
/// The deferred work. `handled` or `failed` tasks go by the status as it is sent (500 for a
/// generator whose body fails before its header), `sent` tasks only without an error but
/// `end_of_stream`. The tasks go when the completion handler has returned, or has thrown, behind
/// what its event loop has to do already; so the next read, which it arms, comes first. If the
/// operation is destroyed without completing, they go at once. An interim response (1xx but 101)
/// leaves the list open for the one that follows.
template <class AsyncWriteStream, sendable_response Response,
          boost::asio::completion_token_for<void(boost::system::error_code, std::size_t)>
              CompletionToken = detail::default_token<typename AsyncWriteStream::executor_type>>
    requires(boost::beast::is_async_write_stream<AsyncWriteStream>::value)
auto async_respond(AsyncWriteStream& stream, Response&& response, deferred& after,
                   CompletionToken&& token = CompletionToken()) {
    return boost::asio::async_initiate<CompletionToken,
                                       void(boost::system::error_code, std::size_t)>(
        detail::initiate_respond<AsyncWriteStream>(stream, after), token,
        detail::as_argument(std::forward<Response>(response)));
}

/// As `async_respond`, but blocks until the response is written. Returns the bytes written. The
/// deferred work goes when the response has ended, before this returns.
template <class SyncWriteStream, sendable_response Response>
    requires(boost::beast::is_sync_write_stream<SyncWriteStream>::value)
std::size_t respond(SyncWriteStream& stream, Response&& response, deferred& after,
                    boost::system::error_code& ec) {
    return detail::respond_now(stream, detail::as_argument(std::forward<Response>(response)), after,
                               ec);
}

/// Throws system_error for an error, `http::error::end_of_stream` included.
template <class SyncWriteStream, sendable_response Response>
    requires(boost::beast::is_sync_write_stream<SyncWriteStream>::value)
std::size_t respond(SyncWriteStream& stream, Response&& response, deferred& after) {
    boost::system::error_code ec;
    const auto n = respond(stream, std::forward<Response>(response), after, ec);
    if (ec) {
        throw boost::system::system_error(ec, "respond");
    }
    return n;
}

}  // namespace postlude

#endif
