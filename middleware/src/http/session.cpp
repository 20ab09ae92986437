// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "http/session.hpp"

#include "http/access_log.hpp"
#include "http/date.hpp"
#include "http/route_table.hpp"
#include "postlude/http/request_info.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/system/system_error.hpp>

#include <spdlog/spdlog.h>

#include <algorithm>
#include <exception>

namespace postlude::http::detail {

namespace asio = boost::asio;
using asio::awaitable;
using boost::system::error_code;

namespace {

constexpr auto no_limit = session_clock::duration::max();
/// How long a connection may still be silent once the server stops: a client that has just got a
/// response may be about to send its next request.
constexpr std::chrono::milliseconds silence_at_stop{500};
constexpr std::chrono::seconds linger_limit{2};
constexpr std::size_t progress_step = 64 * 1024;

/// What a silent connection keeps to read into. Most requests fit; what is longer takes one more
/// read.
constexpr std::size_t idle_buffer = 1024;
constexpr std::size_t head_buffer = 4 * 1024;
constexpr std::size_t body_buffer = 64 * 1024;

}  // namespace

session::session(service& shared, std::shared_ptr<transport> on)
    : service_(shared), transport_(std::move(on)) {}

session::~session() { service_.sessions.remove(*this); }

void session::start() {
    // Not in the constructor: others may ask for a reference at once.
    service_.sessions.add(*this);
    asio::co_spawn(
        transport_->get_executor(), [self = shared_from_this()] { return self->serve(); },
        asio::bind_cancellation_slot(
            cancel_.slot(), [self = shared_from_this()](const std::exception_ptr& error) {
                if (!error || self->abandoned_) {
                    return;
                }
                try {
                    std::rethrow_exception(error);
                } catch (const std::exception& e) {
                    self->service_.log().error("a connection was cut: {}", e.what());
                } catch (...) {
                    self->service_.log().error("a connection was cut");
                }
            }));
}

void session::enter(phase next) noexcept {
    since_.store(clock::now(), std::memory_order_relaxed);
    phase_.store(next, std::memory_order_relaxed);
    progress_ = 0;
}

void session::progress(std::size_t n) noexcept {
    progress_ += n;
    if (progress_ >= progress_step) {
        progress_ = 0;
        since_.store(clock::now(), std::memory_order_relaxed);
    }
}

session::clock::duration session::limit(phase now) const noexcept {
    const auto& options = service_.options;
    const bool stopping = service_.stopping.load(std::memory_order_relaxed);
    switch (now) {
    case phase::idle:
        return stopping ? silence_at_stop : clock::duration(options.keep_alive_timeout);
    case phase::reading_head: return options.header_timeout;
    case phase::reading_body: return options.body_timeout;
    case phase::writing: return options.write_timeout;
    case phase::handling:
    case phase::taken_over: return no_limit;
    case phase::closing: return stopping ? silence_at_stop : linger_limit;
    }
    return no_limit;
}

bool session::overdue(clock::time_point at) const noexcept {
    return at - since_.load(std::memory_order_relaxed) > limit(now());
}

session::clock::time_point session::silent_since() const noexcept {
    return now() == phase::idle && !evicted_ ? since_.load(std::memory_order_relaxed)
                                             : clock::time_point::max();
}

void session::expire() {
    asio::post(transport_->get_executor(), [self = shared_from_this()] {
        // It may have gone on since, or be about to read what has just arrived.
        const bool idle = self->now() == phase::idle;
        if (self->overdue(clock::now()) && !(idle && self->more_has_arrived())) {
            self->transport_->cancel();
        }
    });
}

void session::evict() {
    evicted_ = true;
    asio::post(transport_->get_executor(), [self = shared_from_this()] {
        self->evicted_ = self->now() == phase::idle && !self->more_has_arrived();
        if (self->evicted_) {
            self->transport_->cancel();
        }
    });
}

void session::announce_stop() {
    asio::post(transport_->get_executor(), [self = shared_from_this()] {
        if (self->on_stop_) {
            std::exchange(self->on_stop_, nullptr)();
        }
    });
}

void session::abandon() {
    asio::post(transport_->get_executor(), [self = shared_from_this()] {
        self->abandoned_ = true;
        if (self->handled_) {
            self->service_.log().error(
                "the handler of {} did not end in time: there is no response (request {})",
                path(*self->handled_), self->list_->request_id());
        }
        self->transport_->close();
        self->cancel_.emit(asio::cancellation_type::terminal);
    });
}

bool session::more_has_arrived() const noexcept {
    error_code ec;
    return in_.size() != 0 || (transport_->socket().available(ec) != 0 && !ec);
}

awaitable<void> session::serve() {
    if (const auto [ec, n] = co_await transport_->start(); ec) {
        ++service_.counts.malformed;
        co_return;
    }
    for (bool stays = true; stays;) {
        if (in_.size() == 0) {
            if (in_.capacity() > idle_buffer) {
                in_ = {};
            }
            enter(phase::idle);
            const auto [ec, n] = co_await transport_->read_some(in_.prepare(idle_buffer));
            if (ec) {
                break;
            }
            in_.commit(n);
        }
        enter(phase::reading_head);
        stays = co_await serve_request();
    }
    if (now() != phase::taken_over) {
        co_await linger();
    }
}

awaitable<bool> session::serve_request() {
    begun_ = since_.load(std::memory_order_relaxed);
    request_reader reader(service_.options.header_limit, service_.options.body_limit);
    reader.read_head(in_);
    if (!reader.head_done() && !co_await read_head(reader)) {
        co_return false;
    }
    request req = reader.take_head();
    auto info = request_traits<request>::info(req);
    info.keep_alive = reader.keep_alive();
    deferred after(service_.work, info);
    const auto match = service_.routes.find(req);
    ++service_.counts.requests;
    if (match.whole_exchange()) {
        co_return co_await handle_whole(match, reader, req, after);
    }
    bool stays = reader.keep_alive();
    if (reader.has_body()) {
        reader.check_length();
        if (!match.entry && !reader.refusal() && reader.take_expectation()) {
            stays = false;  // it is not asked to send what nobody wants
        } else if (!co_await read_body(reader, req.body())) {
            co_return false;
        }
    }
    enter(phase::handling);
    handled_ = &req;
    list_ = &after;
    response res = co_await service_.routes.handle(match, req, after, nullptr);
    handled_ = nullptr;
    if (!stays || (service_.stopping.load(std::memory_order_relaxed) && !more_has_arrived())) {
        res.keep_alive(false);
    }
    co_return co_await respond(res, &req, after) && stays;
}

awaitable<bool> session::read_head(request_reader& reader) {
    while (!reader.head_done()) {
        if (const auto why = reader.refusal()) {
            co_await refuse(*why, reader);
            co_return false;
        }
        const auto ec = co_await fill(head_buffer);
        if (ec == asio::error::timed_out) {
            co_await refuse(status::request_timeout, reader);
        }
        if (ec) {
            co_return false;
        }
        reader.read_head(in_);
    }
    co_return true;
}

awaitable<bool> session::read_body(request_reader& reader, std::string& body) {
    enter(phase::reading_body);
    while (!reader.body_done()) {
        const auto size = body.size();
        body.resize(size + in_.size());
        const auto n = reader.read_body(in_, asio::buffer(body.data() + size, body.size() - size));
        body.resize(size + n);
        if (const auto why = reader.refusal()) {
            co_await refuse(*why, reader);
            co_return false;
        }
        if (reader.body_done()) {
            break;
        }
        auto ec = reader.take_expectation() ? co_await say_continue() : error_code{};
        if (!ec) {
            ec = co_await fill(body_buffer);
        }
        if (ec == asio::error::timed_out) {
            co_await refuse(status::request_timeout, reader);
        }
        if (ec) {
            co_return false;
        }
    }
    co_return true;
}

awaitable<error_code> session::fill(std::size_t most) {
    const auto [ec, n] = co_await transport_->read_some(in_.prepare(most));
    in_.commit(n);
    progress(n);
    const bool late = ec == asio::error::operation_aborted && !abandoned_;
    if (late) {
        ++service_.counts.timed_out;
    }
    co_return late ? asio::error::timed_out : ec;
}

awaitable<error_code> session::say_continue() {
    static constexpr std::string_view line = "HTTP/1.1 100 Continue\r\n\r\n";
    const asio::const_buffer bytes(line.data(), line.size());
    std::size_t sent = 0;
    co_return co_await send({&bytes, 1}, sent);
}

awaitable<error_code> session::send(std::span<const asio::const_buffer> pieces, std::size_t& sent) {
    error_code ec;
    sent = transport_->write_now(pieces, ec);
    if (sent == 0 && !ec) {
        const auto [failed, n] = co_await transport_->write_some(pieces);
        ec = failed;
        sent = n;
        if (ec == asio::error::operation_aborted && !abandoned_) {
            ++service_.counts.timed_out;
            ec = asio::error::timed_out;
        }
    }
    progress(sent);
    co_return ec;
}

void session::stamp(response& res, const deferred& after) const {
    res.set("X-Request-Id", after.request_id());
    if (res.find(field::date) == res.end()) {
        res.set(field::date, date_now());
    }
}

awaitable<bool> session::respond(response& res, const request* req, deferred& after) {
    enter(phase::writing);
    stamp(res, after);
    const auto tasks = after.size();
    auto out = postlude::detail::compose(&res, after, std::allocator<char>{});
    const auto status = after.refused() ? 503U : res.result_int();
    auto ec = out.error;
    asio::const_buffer one;
    std::span<const asio::const_buffer> pieces;
    struct {
        asio::const_buffer& one;
        std::span<const asio::const_buffer>& pieces;
        void operator()(asio::const_buffer b) const {
            one = b;
            pieces = {&one, 1};
        }
        void operator()(std::span<const asio::const_buffer> b) const { pieces = b; }
    } const note{one, pieces};
    while (!ec && out.next(ec, note)) {
        auto n = transport_->write_now(pieces, ec);
        if (n == 0 && !ec) {
            ec = co_await send(pieces, n);
        }
        progress(n);
        out.wrote(n);
    }
    ec = out.end(ec);
    if (out.pending) {
        out.pending->release(transport_->get_executor());
    }
    if (service_.options.access_log) {
        log_access(req, status, out.sent, tasks, after.request_id());
    }
    co_return !ec && res.keep_alive();
}

awaitable<bool> session::handle_whole(const route_match& match, request_reader& reader,
                                      request& req, deferred& after) {
    enter(phase::handling);
    handled_ = &req;
    list_ = &after;
    exchange_state state(*this, reader, req, after);
    exchange whole(state);
    response res;
    error_code failed;
    try {
        res = co_await service_.routes.handle(match, req, after, &whole);
    } catch (const boost::system::system_error& e) {
        failed = e.code();
        if (!reader.refusal() && failed != asio::error::timed_out && failed != errc::full) {
            res = handler_failed(req, after, e.what());
        }
    } catch (const std::exception& e) {
        res = handler_failed(req, after, e.what());
        failed = asio::error::operation_aborted;
    } catch (...) {
        res = handler_failed(req, after, no_exception);
        failed = asio::error::operation_aborted;
    }
    handled_ = nullptr;
    on_stop_ = nullptr;
    if (state.taken_over()) {
        phase_ = phase::taken_over;
        co_return false;
    }
    bool stays = reader.body_done() && reader.keep_alive();
    if (state.begun()) {
        if (failed) {
            state.fail(failed);
        }
        stays = !failed && co_await state.end() && stays;
        if (service_.options.access_log) {
            log_access(&req, state.status(), state.sent(), state.tasks(), after.request_id());
        }
        co_return stays;
    }
    if (failed) {
        if (reader.refusal() || failed == asio::error::timed_out) {
            co_await refuse(reader.refusal().value_or(status::request_timeout), reader);
            co_return false;
        }
        state.finish(res);
    }
    if (!stays || service_.stopping.load(std::memory_order_relaxed)) {
        res.keep_alive(false);
    }
    co_return co_await respond(res, &req, after) && stays;
}

awaitable<void> session::refuse(status why, const request_reader&) {
    ++service_.counts.malformed;
    deferred after(service_.work, request_info{.keep_alive = false});
    auto res = text(why, std::string(obsolete_reason(why)) + "\n");
    res.keep_alive(false);
    co_await respond(res, nullptr, after);
}

awaitable<void> session::linger() {
    enter(phase::closing);
    auto [failed, none] = co_await transport_->end();
    while (!failed) {
        in_.clear();
        const auto [ec, n] = co_await transport_->read_some(in_.prepare(idle_buffer));
        failed = ec;
    }
}

void session::log_access(const request* req, unsigned status, std::size_t sent, std::size_t tasks,
                         std::string_view id) const {
    write_access_line(*service_.options.access_log, {.client = client_of(transport_->socket()),
                                                     .of = req,
                                                     .status = status,
                                                     .sent = sent,
                                                     .took = clock::now() - begun_,
                                                     .tasks = tasks,
                                                     .id = id});
}

}  // namespace postlude::http::detail
