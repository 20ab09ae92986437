// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_HTTP_EXCHANGE_HPP
#define POSTLUDE_HTTP_EXCHANGE_HPP

#include "postlude/dispatch/deferred.hpp"
#include "postlude/http/any_stream.hpp"
#include "postlude/http/message.hpp"

#include <boost/asio/awaitable.hpp>

#include <cstdint>
#include <functional>
#include <string_view>

namespace postlude::http {

namespace detail {
class exchange_state;
}

/// One request and its response, piece by piece: for bodies that do not fit into memory, for
/// responses that are written as they come about, and for taking over the connection (WebSocket).
///
/// For use by its handler alone, on the connection's strand, one call at a time. All functions
/// throw system_error: the stream's error, or what the comments say. What the handler lets through
/// is logged; it is answered with a fitting status if the response had not begun, else the
/// connection is cut.
class exchange {
public:
    explicit exchange(detail::exchange_state& state) noexcept : state_(&state) {}
    exchange(const exchange&) = delete;
    exchange& operator=(const exchange&) = delete;

    /// The request, with an empty body.
    const request& get_request() const noexcept;

    /// The deferred work. `handled` tasks go when the response has ended, as with any handler.
    deferred& after() noexcept;

    /// The most that `read` returns in all; `server_options::body_limit` where this is not called.
    void limit_body(std::uint64_t bytes) noexcept;

    /// The next piece of the request's body, at most 64 KiB; empty at its end. It stays until the
    /// next call. A client that waits for 100-continue is told so by the first call. Errors:
    /// `http::error::body_limit` (answered with 413), `asio::error::timed_out` (408), what is
    /// malformed (400), `http::error::partial_message` (the client has gone). A handler that
    /// catches them may answer as it likes, with the connection's last response.
    boost::asio::awaitable<std::string_view> read();

    /// Sends a response at once.
    boost::asio::awaitable<void> respond(response whole);

    /// Begins a response: its header, and its body's first piece, if it has one. With a
    /// Content-Length the body must come to that; else it is chunked, or ends with the connection
    /// where the client speaks HTTP/1.0. If the list was refused work (`deferred::refused`), a 503
    /// is sent instead, and the error is errc::full. Other errors: errc::bad_header for a line end
    /// or a NUL in a field or the reason, errc::bad_option for a status below 200.
    boost::asio::awaitable<void> begin(response head);

    /// Sends a piece of the body. Returns when the system has taken it. The response ends when the
    /// handler returns. Errors: `http::error::bad_content_length` if it is more than was announced;
    /// `asio::error::eof` if the response has no body, as to HEAD, so that a body without an end
    /// need not be made: let it through.
    boost::asio::awaitable<void> write(std::string_view piece);

    /// Takes the connection over, before the response has begun and after the request's body, if it
    /// has one, was read: whatever is written from now on
    /// is the handler's own. Until the handler returns the connection counts as one of the
    /// server's; no time-out applies to it. See `accept` for WebSocket.
    any_stream take_over();

    /// Has f called, on the connection's strand, when the server begins to stop: so that a
    /// connection that was taken over, or a response without an end, can be ended in time. At once
    /// if it stops already. f is dropped when the handler has returned.
    void on_stop(std::function<void()> f);

private:
    friend class detail::exchange_state;
    detail::exchange_state* state_;
};

}  // namespace postlude::http

#endif
