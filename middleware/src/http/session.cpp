// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "http/session.hpp"

#include "postlude/http/request_info.hpp"
#include "postlude/http/respond.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <exception>

namespace postlude::http::detail {

namespace asio = boost::asio;
using boost::system::error_code;
using parse_error = boost::beast::http::error;

namespace {

constexpr auto no_limit = session_clock::duration::max();
/// How long a connection may still be silent once the server stops: a client that has just got a
/// response may be about to send its next request.
constexpr std::chrono::milliseconds silence_at_stop{500};
constexpr std::chrono::seconds linger_limit{2};
constexpr std::size_t read_size = 8 * 1024;

}  // namespace

void session_registry::add(session& s) {
    const std::lock_guard lock(mutex_);
    sessions_.insert(&s);
}

void session_registry::remove(session& s) noexcept {
    const std::lock_guard lock(mutex_);
    sessions_.erase(&s);
}

std::size_t session_registry::size() const noexcept {
    const std::lock_guard lock(mutex_);
    return sessions_.size();
}

std::vector<std::shared_ptr<session>> session_registry::all() const {
    std::vector<std::shared_ptr<session>> alive;
    const std::lock_guard lock(mutex_);
    for (auto* s : sessions_) {
        if (auto held = s->weak_from_this().lock()) {
            alive.push_back(std::move(held));
        }
    }
    return alive;
}

void session_registry::expire_overdue() const {
    const auto now = session_clock::now();
    std::vector<std::shared_ptr<session>> overdue;
    {
        const std::lock_guard lock(mutex_);
        for (auto* s : sessions_) {
            if (s->overdue(now)) {
                overdue.push_back(s->weak_from_this().lock());
            }
        }
    }
    for (const auto& s : overdue) {
        if (s) {
            s->expire();
        }
    }
}

session::session(service& shared, stream_socket socket)
    : service_(shared), socket_(std::move(socket)) {
    error_code ignored;
    socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
}

session::~session() { service_.sessions.remove(*this); }

void session::start() {
    // Not in the constructor: others may ask for a reference at once.
    service_.sessions.add(*this);
    asio::co_spawn(
        socket_.get_executor(), [self = shared_from_this()] { return self->serve(); },
        asio::bind_cancellation_slot(
            cancel_.slot(), [self = shared_from_this()](const std::exception_ptr& error) {
                if (!error || self->abandoned_) {
                    return;
                }
                try {
                    std::rethrow_exception(error);
                } catch (const std::exception& e) {
                    self->service_.work.pool().logger().error("a connection was cut: {}", e.what());
                } catch (...) {
                    self->service_.work.pool().logger().error("a connection was cut");
                }
            }));
}

void session::enter(phase next) noexcept {
    since_.store(session_clock::now(), std::memory_order_relaxed);
    phase_.store(next, std::memory_order_relaxed);
}

session_clock::duration session::limit(phase now) const noexcept {
    const auto& options = service_.options;
    const bool stopping = service_.stopping.load(std::memory_order_relaxed);
    switch (now) {
    case phase::idle:
        return stopping ? silence_at_stop : session_clock::duration(options.keep_alive_timeout);
    case phase::reading:
    case phase::writing: return options.request_timeout;
    case phase::handling: return no_limit;
    case phase::closing: return stopping ? silence_at_stop : linger_limit;
    }
    return no_limit;
}

bool session::overdue(session_clock::time_point now) const noexcept {
    const auto at = phase_.load(std::memory_order_relaxed);
    return now - since_.load(std::memory_order_relaxed) > limit(at);
}

void session::expire() {
    asio::post(socket_.get_executor(), [self = shared_from_this()] {
        // It may have gone on since, or be about to read what has just arrived.
        const bool idle = self->phase_.load(std::memory_order_relaxed) == phase::idle;
        if (self->overdue(session_clock::now()) && !(idle && self->more_has_arrived())) {
            error_code ignored;
            self->socket_.cancel(ignored);
        }
    });
}

void session::abandon() {
    asio::post(socket_.get_executor(), [self = shared_from_this()] {
        self->abandoned_ = true;
        if (self->phase_.load(std::memory_order_relaxed) == phase::handling) {
            self->service_.work.pool().logger().error(
                "the handler of {} did not end in time: there is no response (request {})",
                self->target_, self->id_);
        }
        error_code ignored;
        self->socket_.close(ignored);
        self->cancel_.emit(asio::cancellation_type::terminal);
    });
}

bool session::more_has_arrived() const noexcept {
    error_code ec;
    return buffer_.size() != 0 || (socket_.available(ec) != 0 && !ec);
}

asio::awaitable<void> session::serve() {
    error_code ec;
    for (bool stays = true; stays;) {
        parser request;
        request.header_limit(service_.options.header_limit);
        request.body_limit(service_.options.body_limit);
        request.eager(true);
        ec = co_await read(request);
        stays = !ec && co_await answer(request.get());
    }
    if (ec == parse_error::end_of_stream) {
        co_return;
    }
    if (ec) {
        co_await refuse(ec);
    }
    co_await linger();
}

asio::awaitable<error_code> session::read(parser& into) {
    enter(buffer_.size() == 0 ? phase::idle : phase::reading);
    for (;;) {
        if (buffer_.size() != 0) {
            error_code ec;
            buffer_.consume(into.put(buffer_.data(), ec));
            if (into.is_done() || (ec && ec != parse_error::need_more)) {
                co_return ec;
            }
        }
        const auto [ec, n] =
            co_await socket_.async_read_some(buffer_.prepare(read_size), as_result);
        const bool begun = phase_.load(std::memory_order_relaxed) == phase::reading;
        if (ec == asio::error::operation_aborted && begun) {
            co_return asio::error::timed_out;
        }
        if (ec) {
            co_return parse_error::end_of_stream;
        }
        buffer_.commit(n);
        if (!begun) {
            enter(phase::reading);
        }
    }
}

asio::awaitable<bool> session::answer(const request& req) {
    enter(phase::handling);
    deferred after(service_.work, req);
    id_ = after.request_id();
    target_ = req.target();
    response res = co_await handle(req, after);
    res.set("X-Request-Id", id_);
    if (service_.stopping.load(std::memory_order_relaxed) && !more_has_arrived()) {
        res.keep_alive(false);
    }
    co_return co_await write(res, after) && req.keep_alive();
}

asio::awaitable<response> session::handle(const request& req, deferred& after) {
    const auto* h = service_.routes.find(req);
    if (!h) {
        co_return service_.routes.refuse(req);
    }
    try {
        if (const auto* plain = std::get_if<0>(h)) {
            co_return (*plain)(req, after);
        }
        co_return co_await std::get<1> (*h)(req, after);
    } catch (const std::exception& e) {
        log_handler_failure(e.what());
    } catch (...) {
        log_handler_failure("it threw something that is no std::exception");
    }
    co_return text(status::internal_server_error, "The server failed. Request id: " + id_ + "\n");
}

void session::log_handler_failure(const char* what) const {
    service_.work.pool().logger().error("the handler of {} failed: {} (request {})", target_, what,
                                        id_);
}

asio::awaitable<bool> session::write(response& res, deferred& after) {
    enter(phase::writing);
    const auto [ec, n] = co_await async_respond(socket_, res, after, as_result);
    co_return !ec && res.keep_alive();
}

asio::awaitable<void> session::refuse(error_code why) {
    auto code = status::bad_request;
    if (why == asio::error::timed_out) {
        code = status::request_timeout;
    } else if (why == parse_error::header_limit) {
        code = status::request_header_fields_too_large;
    } else if (why == parse_error::body_limit) {
        code = status::payload_too_large;
    }
    deferred after(service_.work, request_info{.keep_alive = false});
    auto res = text(code, std::string(obsolete_reason(code)) + "\n");
    res.set("X-Request-Id", after.request_id());
    res.keep_alive(false);
    co_await write(res, after);
}

asio::awaitable<void> session::linger() {
    enter(phase::closing);
    error_code failed;
    socket_.shutdown(asio::ip::tcp::socket::shutdown_send, failed);
    std::array<char, 1024> unread;
    while (!failed) {
        const auto [ec, n] = co_await socket_.async_read_some(asio::buffer(unread), as_result);
        failed = ec;
    }
}

}  // namespace postlude::http::detail
