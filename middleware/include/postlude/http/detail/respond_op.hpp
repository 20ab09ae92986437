// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_HTTP_DETAIL_RESPOND_OP_HPP
#define POSTLUDE_HTTP_DETAIL_RESPOND_OP_HPP

#include "postlude/dispatch/commit.hpp"
#include "postlude/http/detail/outgoing.hpp"

#include <boost/asio/associated_allocator.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/handler_continuation_hook.hpp>
#include <boost/asio/post.hpp>

#include <memory>
#include <utility>

namespace postlude::detail {

/// Writes a response by as many `async_write_some` as it takes, then completes its handler, then
/// lets the deferred work go. Destroyed before that, the work goes as after a failed write.
template <class Stream, class Handler>
class respond_op {
public:
    using executor_type =
        boost::asio::associated_executor_t<Handler, typename Stream::executor_type>;
    using allocator_type = boost::asio::associated_allocator_t<Handler>;
    using cancellation_slot_type = boost::asio::associated_cancellation_slot_t<Handler>;

    template <class H>
    respond_op(H&& handler, Stream& stream, outgoing<allocator_type>&& out)
        : handler_(std::forward<H>(handler)), stream_(&stream), out_(std::move(out)) {}

    /// Leaves this object moved from.
    void start() {
        if (out_.error || !write(out_.error)) {
            boost::asio::post(stream_->get_executor(), std::move(*this));
        }
    }

    void operator()(boost::system::error_code ec, std::size_t n) {
        continues_ = true;
        out_.wrote(n);
        if (ec || !write(ec)) {
            complete(ec);
        }
    }

    /// Nothing could be written.
    void operator()() { complete(out_.error); }

    executor_type get_executor() const noexcept {
        return boost::asio::get_associated_executor(handler_, stream_->get_executor());
    }
    allocator_type get_allocator() const noexcept {
        return boost::asio::get_associated_allocator(handler_);
    }
    cancellation_slot_type get_cancellation_slot() const noexcept {
        return boost::asio::get_associated_cancellation_slot(handler_);
    }
    /// Asio queues what continues an operation without waking another thread of its context.
    friend bool asio_handler_is_continuation(respond_op* op) {
        using boost::asio::asio_handler_is_continuation;
        return op->continues_ || asio_handler_is_continuation(std::addressof(op->handler_));
    }

private:
    bool write(boost::system::error_code& ec) {
        return out_.next(ec, [this](const auto& buffers) {
            stream_->async_write_some(buffers, std::move(*this));
        });
    }

    void complete(boost::system::error_code ec) {
        ec = out_.end(ec);
        const auto executor = get_executor();  // the handler may destroy the stream
        struct releaser {
            std::optional<pending_response> pending;
            const executor_type& executor;
            ~releaser() {
                if (pending) {
                    pending->release(executor);
                }
            }
        } release{std::move(out_.pending), executor};
        std::move(handler_)(ec, out_.sent);
    }

    Handler handler_;
    Stream* stream_;
    outgoing<allocator_type> out_;
    bool continues_ = false;
};

/// The status of a response as it will be sent, as far as it is known by now.
template <class Body, class Fields>
unsigned status_of(const beast_http::response<Body, Fields>& response) noexcept {
    return has_forged_field(response) ? 500 : response.result_int();
}
unsigned status_of(beast_http::message_generator& generator) noexcept;
template <class Body, class Fields>
unsigned status_of(const beast_http::response<Body, Fields>* response) noexcept {
    return status_of(*response);
}

/// Has a request's jobs stored, and then writes its response.
/// @tparam Response a pointer to it, or it itself.
template <class Stream, class Handler, class Response>
class commit_op {
public:
    using executor_type =
        boost::asio::associated_executor_t<Handler, typename Stream::executor_type>;
    using allocator_type = boost::asio::associated_allocator_t<Handler>;

    template <class H, class R>
    commit_op(H&& handler, Stream& stream, R&& response, deferred& after)
        : handler_(std::forward<H>(handler)),
          stream_(&stream),
          response_(std::make_unique<Response>(std::forward<R>(response))),
          after_(std::make_unique<deferred>(after.hold_for_commit())) {}

    /// Leaves this object moved from.
    void start() {
        auto& after = *after_;
        const auto status = status_of(*response_);
        async_commit(after, status, stream_->get_executor(), std::move(*this));
    }

    void operator()(boost::system::error_code) {
        auto out = compose(std::move(*response_), *after_, get_allocator());
        respond_op<Stream, Handler>(std::move(handler_), *stream_, std::move(out)).start();
    }

    executor_type get_executor() const noexcept {
        return boost::asio::get_associated_executor(handler_, stream_->get_executor());
    }
    allocator_type get_allocator() const noexcept {
        return boost::asio::get_associated_allocator(handler_);
    }

private:
    Handler handler_;
    Stream* stream_;
    std::unique_ptr<Response> response_;
    std::unique_ptr<deferred> after_;
};

/// What `async_respond` hands to the completion token.
template <class Stream>
class initiate_respond {
public:
    using executor_type = typename Stream::executor_type;

    initiate_respond(Stream& stream, deferred& after) : stream_(&stream), after_(&after) {}
    executor_type get_executor() const noexcept { return stream_->get_executor(); }

    /// @param response a pointer to it, or it itself.
    template <class Handler, class Response>
    void operator()(Handler&& handler, Response&& response) const {
        if (after_->has_jobs() && after_->must_commit(status_of(response))) {
            commit_op<Stream, std::decay_t<Handler>, std::decay_t<Response>>(
                std::forward<Handler>(handler), *stream_, std::forward<Response>(response), *after_)
                .start();
            return;
        }
        auto out = compose(std::forward<Response>(response), *after_,
                           boost::asio::get_associated_allocator(handler));
        respond_op<Stream, std::decay_t<Handler>>(std::forward<Handler>(handler), *stream_,
                                                  std::move(out))
            .start();
    }

private:
    Stream* stream_;
    deferred* after_;
};

/// The same, blocking.
template <class Stream, class Response>
std::size_t respond_now(Stream& stream, Response&& response, deferred& after,
                        boost::system::error_code& ec) {
    if (after.has_jobs()) {
        commit(after, status_of(response));
    }
    auto out = compose(std::forward<Response>(response), after, std::allocator<char>{});
    ec = out.error;
    std::size_t n = 0;
    while (!ec && out.next(ec, [&](const auto& buffers) { n = stream.write_some(buffers, ec); })) {
        out.wrote(n);
    }
    ec = out.end(ec);
    if (out.pending) {
        out.pending->release();
    }
    return out.sent;
}

}  // namespace postlude::detail

#endif
