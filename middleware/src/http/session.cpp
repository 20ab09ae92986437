// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "http/session.hpp"

#include "http/access_log.hpp"
#include "postlude/http/request_info.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/system/system_error.hpp>

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstring>
#include <exception>

namespace postlude::http::detail {

namespace asio = boost::asio;
using asio::awaitable;
using boost::system::error_code;

namespace {

/// What a silent connection keeps to read into. Most requests fit; what is longer takes one more
/// read.
constexpr std::size_t idle_buffer = 1024;
constexpr std::size_t head_buffer = 4 * 1024;
constexpr std::size_t body_buffer = 64 * 1024;

}  // namespace

session::session(service& shared, std::shared_ptr<transport> on)
    : service_(shared), transport_(std::move(on)) {}

session::~session() { service_.sessions.remove(*this); }

template <class Work>
void session::spawn(Work work) {
    asio::co_spawn(transport_->get_executor(), std::move(work),
                   asio::bind_cancellation_slot(
                       cancel_.slot(),
                       [self = shared_from_this()](const std::exception_ptr& error, bool stays) {
                           if (error) {
                               self->cut(error);
                           } else if (stays) {
                               self->go_on();
                           } else {
                               self->leave();
                           }
                       }));
}

void session::start() {
    // Not in the constructor: others may ask for a reference at once.
    service_.sessions.add(*this);
    if (service_.options.access_log) {
        client_ = client_of(transport_->socket());
    }
    if (service_.identity) {
        spawn([this] { return handshake(); });
    } else {
        asio::post(transport_->get_executor(),
                   [self = shared_from_this()] { self->wait(clock::now()); });
    }
}

void session::leave() {
    if (evicted_ && pace_.now() == phase::idle) {
        ++service_.counts.evicted;
        transport_->close();  // there is no response to be read
    } else if (pace_.now() != phase::taken_over && !abandoned_) {
        asio::co_spawn(transport_->get_executor(), linger(),
                       [self = shared_from_this()](const std::exception_ptr&) {});
    }
}

void session::cut(const std::exception_ptr& error) const {
    if (abandoned_) {
        return;
    }
    try {
        std::rethrow_exception(error);
    } catch (const std::exception& e) {
        service_.log().error("a connection was cut: {}", e.what());
    } catch (...) {
        service_.log().error("a connection was cut");
    }
}

bool session::overdue(clock::time_point at) const noexcept {
    return pace_.overdue(at, service_.options, stopping());
}

session::clock::time_point session::silent_since() const noexcept {
    return pace_.now() == phase::idle && !evicted_ ? pace_.since() : clock::time_point::max();
}

void session::expire() {
    if (expiring_.exchange(true)) {
        return;  // it has been told
    }
    asio::post(transport_->get_executor(), [self = shared_from_this()] {
        self->expiring_ = false;
        // It may have gone on since, or be about to read what has just arrived.
        const auto now = clock::now();
        const bool idle = self->pace_.now() == phase::idle;
        if (self->overdue(now) && !(idle && self->asks(now))) {
            self->transport_->cancel();
        }
    });
}

void session::evict() {
    evicted_ = true;
    asio::post(transport_->get_executor(), [self = shared_from_this()] {
        self->evicted_ = self->pace_.now() == phase::idle && !self->is_about_to_read();
        if (self->evicted_) {
            self->transport_->cancel();
        }
    });
}

void session::announce_stop() {
    asio::post(transport_->get_executor(), [self = shared_from_this()] {
        try {
            if (self->on_stop_) {
                std::exchange(self->on_stop_, nullptr)();
            }
        } catch (const std::exception& e) {
            self->service_.log().error("a function given to exchange::on_stop failed: {}",
                                       e.what());
        } catch (...) {
            self->service_.log().error("a function given to exchange::on_stop failed: {}",
                                       no_exception);
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
    return in_.size() != 0 || transport_->has_unread();
}

bool session::is_about_to_read() const noexcept {
    return in_.size() != 0 || transport_->has_arrived();
}

bool session::asks(clock::time_point now) {
    if (is_about_to_read()) {
        return true;
    }
    if (!transport_->has_unread()) {
        return false;
    }
    // The beginning of a record of TLS: the first byte of a request may be in it. It has the time
    // of a handshake from when it was first seen.
    if (!record_) {
        record_.emplace();
    }
    return !record_->overdue(now, service_.options, stopping());
}

void session::wait(clock::time_point now) {
    if (in_.capacity() > idle_buffer) {
        in_ = {};
    }
    record_.reset();
    pace_.enter(phase::idle, now);
    transport_->read_later(in_.prepare(idle_buffer), shared_from_this());
}

void session::on_read(std::shared_ptr<read_client> self, error_code ec, std::size_t n) {
    if (ec) {
        leave();
        return;
    }
    in_.commit(n);
    evicted_.store(false, std::memory_order_relaxed);  // this came first
    if (service_.together) {
        service_.together->add(std::static_pointer_cast<session>(std::move(self)),
                               transport_->get_executor().get_inner_executor());
    } else {
        go_on();
    }
}

void session::go_on(clock::time_point now) {
    while (in_.size() != 0) {
        std::optional<answer> a;
        error_code ec;
        if (!handle_arrived(a) || !write_or_go_on(*a, ec)) {
            return;
        }
        if (!end(*a, ec)) {
            leave();
            return;
        }
        now = clock::now();
    }
    wait(now);
}

bool session::handle_arrived(std::optional<answer>& made) {
    if (abandoned_) {
        return false;
    }
    if (!skip_empty_lines()) {
        spawn([this] { return refuse(status::bad_request); });
        return false;
    }
    if (in_.size() == 0) {
        wait(clock::now());
        return false;
    }
    skipped_ = 0;
    return handle_now(made);
}

bool session::write_or_go_on(answer& a, error_code& ec) {
    if (write_now(a, ec)) {
        return true;
    }
    spawn([this, a = std::make_unique<answer>(std::move(a))] { return write(*a); });
    return false;
}

void session::conclude(answer& a, error_code ec, clock::time_point now) {
    if (end(a, ec)) {
        go_on(now);
    } else {
        leave();
    }
}

bool session::skip_empty_lines() {
    const auto begins_with_one = [this] {
        return in_.size() >= 2 && std::memcmp(in_.data().data(), "\r\n", 2) == 0;
    };
    while (begins_with_one()) {
        in_.consume(2);
        skipped_ += 2;
    }
    return skipped_ <= service_.options.header_limit;
}

bool session::handle_now(std::optional<answer>& made) {
    pace_.pass(phase::reading_head);
    begun_ = service_.options.access_log ? clock::now() : clock::time_point{};
    request_reader reader(service_.options.header_limit, service_.options.body_limit);
    reader.read_head(in_);
    if (!reader.head_done() || reader.has_body()) {
        spawn(
            [this, r = std::make_unique<request_reader>(std::move(reader))] { return serve(*r); });
        return false;
    }
    auto parts = begin(std::move(reader));
    if (!service_.routes.immediate(parts.match)) {
        spawn([this, p = std::make_unique<exchange_parts>(std::move(parts))] { return serve(*p); });
        return false;
    }
    handled_ = &parts.req;
    list_ = &parts.after;
    pace_.pass(phase::handling);
    auto res = service_.routes.handle_now(parts.match, parts.req, parts.after);
    handled_ = nullptr;
    pace_.pass(phase::writing);
    make_sound(res, parts.req, parts.after);
    if (parts.after.has_jobs() && parts.after.must_commit(res.result_int())) {
        struct rest {
            exchange_parts parts;
            response res;
        };
        spawn([this, r = std::make_unique<rest>(rest{std::move(parts), std::move(res)})] {
            return answer_when_stored(r->res, r->parts.req, r->parts.after,
                                      r->parts.reader.keep_alive());
        });
        return false;
    }
    made.emplace(compose(std::move(res), &parts.req, parts.after, parts.reader.keep_alive()));
    return true;
}

session::exchange_parts session::begin(request_reader&& reader) {
    ++service_.counts.requests;
    auto req = reader.take_head();
    auto info = request_traits<request>::info(req);
    info.keep_alive = reader.keep_alive();
    deferred after(service_.work, info);
    auto match = service_.routes.find(req);
    return {std::move(reader), std::move(req), std::move(after), std::move(match)};
}

awaitable<bool> session::handshake() {
    const auto [ec, n] = co_await transport_->start();
    if (ec && !abandoned_) {
        ++(ec == asio::error::operation_aborted ? service_.counts.timed_out
                                                : service_.counts.malformed);
        service_.log().debug("a TLS handshake failed: {}", ec.message());
        transport_->close();
    }
    co_return !ec;
}

awaitable<bool> session::serve(request_reader& reader) {
    pace_.enter(phase::reading_head);
    if (!co_await read_head(reader)) {
        co_return false;
    }
    auto parts = begin(std::move(reader));
    co_return co_await serve(parts);
}

awaitable<bool> session::serve(exchange_parts& parts) {
    auto& [reader, req, after, match] = parts;
    if (match.whole_exchange()) {
        co_return co_await serve_whole(parts);
    }
    bool stays = reader.keep_alive();
    if (reader.has_body()) {
        reader.check_length();
        if (!match.entry && !reader.refusal() && reader.take_expectation()) {
            stays = false;  // it is not asked to send what nobody wants
        } else if (!co_await read_body(parts)) {
            co_return false;
        }
    }
    pace_.enter(phase::handling);
    handled_ = &req;
    list_ = &after;
    auto res = co_await service_.routes.handle(match, req, after, nullptr);
    handled_ = nullptr;
    make_sound(res, req, after);
    co_return co_await answer_when_stored(res, req, after, stays);
}

awaitable<bool> session::read_head(request_reader& reader) {
    while (!reader.head_done()) {
        if (const auto why = reader.refusal()) {
            co_return co_await refuse(*why);
        }
        const auto ec = co_await fill(head_buffer);
        if (ec == asio::error::timed_out) {
            co_return co_await refuse(status::request_timeout);
        }
        if (ec) {
            co_return false;
        }
        reader.read_head(in_);
    }
    co_return true;
}

awaitable<bool> session::read_body(exchange_parts& parts) {
    auto& reader = parts.reader;
    auto& body = parts.req.body();
    pace_.enter(phase::reading_body);
    for (;;) {
        const auto size = body.size();
        body.resize(size + in_.size());
        const auto n = reader.read_body(in_, asio::buffer(body.data() + size, body.size() - size));
        body.resize(size + n);
        if (const auto why = reader.refusal()) {
            co_return co_await refuse(*why, parts);
        }
        if (reader.body_done()) {
            co_return true;
        }
        auto ec = reader.take_expectation() ? co_await say_continue() : error_code{};
        if (!ec) {
            ec = co_await fill(body_buffer);
        }
        if (ec == asio::error::timed_out) {
            co_return co_await refuse(status::request_timeout, parts);
        }
        if (ec) {
            co_return false;
        }
    }
}

awaitable<error_code> session::fill(std::size_t most) {
    const auto [ec, n] = co_await transport_->read_some(in_.prepare(most));
    in_.commit(n);
    pace_.progress(n);
    if (ec == asio::error::operation_aborted && !abandoned_) {
        ++service_.counts.timed_out;
        co_return asio::error::timed_out;
    }
    co_return ec;
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
    pace_.progress(sent);
    co_return ec;
}

awaitable<bool> session::serve_whole(exchange_parts& parts) {
    auto& [reader, req, after, match] = parts;
    pace_.enter(phase::handling);
    handled_ = &req;
    list_ = &after;
    exchange_state state(*this, reader, req, after);
    exchange whole(state);
    response res;
    bool failed = false;
    try {
        res = co_await service_.routes.handle(match, req, after, &whole);
    } catch (const boost::system::system_error& e) {
        failed = state.blames_handler(e.code());
        res = failed ? handler_failed(req, after, e.what()) : response{};
    } catch (const std::exception& e) {
        failed = true;
        res = handler_failed(req, after, e.what());
    } catch (...) {
        failed = true;
        res = handler_failed(req, after, no_exception);
    }
    handled_ = nullptr;
    on_stop_ = nullptr;
    if (state.taken_over()) {
        state.log_access();
        co_return false;
    }
    const bool stays = reader.body_done() && reader.keep_alive();
    if (state.begun()) {
        co_return co_await state.end(failed) && stays;
    }
    if (state.broken() && !failed) {
        const auto why = reader.refusal().value_or(status::request_timeout);
        if (state.late() || reader.refusal()) {
            co_return co_await refuse(why, parts);
        }
        co_return false;  // the client has gone
    }
    if (failed) {
        state.finish(res);
    }
    make_sound(res, req, after);
    co_return co_await answer_when_stored(res, req, after, stays);
}

awaitable<void> session::linger() {
    pace_.enter(phase::closing);
    const auto last = clock::now() + service_.options.body_timeout;
    auto [failed, none] = co_await transport_->end();
    while (!failed && !overdue(clock::now())) {
        in_.clear();
        const auto [ec, n] = co_await transport_->read_some(in_.prepare(idle_buffer));
        failed = ec;
        if (!stopping() && clock::now() < last) {
            pace_.progress(n);
        }
    }
}

}  // namespace postlude::http::detail
