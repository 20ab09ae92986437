// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/http/exchange.hpp"

#include "http/access_log.hpp"
#include "http/exchange_state.hpp"
#include "http/session.hpp"
#include "http/stamp.hpp"

#include <boost/asio/post.hpp>
#include <boost/system/system_error.hpp>

#include <spdlog/spdlog.h>

#include <array>
#include <charconv>
#include <span>

namespace postlude::http {

namespace asio = boost::asio;
using asio::awaitable;
using boost::system::error_code;
using boost::system::system_error;

namespace detail {

namespace {

namespace beast_http = boost::beast::http;
using postlude::detail::framing;

constexpr std::size_t piece_size = 64 * 1024;

/// The error that stands for what the reader found.
error_code error_of(status refusal) {
    switch (refusal) {
    case status::payload_too_large: return beast_http::error::body_limit;
    case status::request_header_fields_too_large: return beast_http::error::header_limit;
    default: return beast_http::error::bad_chunk;
    }
}

}  // namespace

void exchange_state::blame(reason why, error_code ec, const char* what) {
    reason_ = why;
    thrown_ = ec;
    throw system_error(ec, what);
}

bool exchange_state::blames_handler(error_code thrown) const {
    if (reason_ == reason::handler || thrown != thrown_) {
        return true;
    }
    if (reason_ == reason::client) {
        session_->service_.log().debug("the client of {} has gone: {} (request {})",
                                       path(*request_), thrown.message(), after_->request_id());
    }
    return false;
}

awaitable<std::string_view> exchange_state::read() {
    auto& s = *session_;
    if (!piece_) {
        piece_ = std::make_unique<char[]>(piece_size);
    }
    // The time and the bytes of all calls count together: a piece is no progress by itself.
    const auto before = s.pace_.now();
    s.pace_.resume(phase::reading_body, reading_);
    std::size_t n = 0;
    error_code ec;
    while (n == 0 && !reader_->body_done() && !ec) {
        n = reader_->read_body(s.in_, asio::buffer(piece_.get(), piece_size));
        if (const auto why = reader_->refusal()) {
            ec = error_of(*why);
        } else if (n == 0 && !reader_->body_done()) {
            // Within the response, a 100 would be taken for a part of it.
            if (!begun_ && reader_->take_expectation()) {
                ec = co_await s.say_continue();
            }
            if (!ec) {
                ec = co_await s.fill(piece_size);
            }
            if (ec == asio::error::eof) {
                ec = beast_http::error::partial_message;
            }
        }
    }
    reading_ = s.pace_.pause(before);
    if (ec) {
        blame(ec == asio::error::timed_out ? reason::late : reason::client, ec, "exchange::read");
    }
    co_return std::string_view(piece_.get(), n);
}

awaitable<void> exchange_state::begin() {
    if (answered()) {
        throw system_error(errc::bad_option, "exchange::begin: the response has begun already");
    }
    if (finish) {
        finish(head);
    }
    auto& s = *session_;
    if (postlude::detail::has_forged_field(head)) {
        throw system_error(errc::bad_header, "exchange::begin");
    }
    if (head.result_int() < 200) {
        throw system_error(errc::bad_option,
                           "exchange::begin: the status is that of an interim response");
    }
    co_await s.commit(head.result_int(), *after_);
    const bool refused = after_->refused();
    if (!reader_->body_done() || reader_->refusal() || !reader_->keep_alive() ||
        (s.stopping() && !s.more_has_arrived())) {
        head.keep_alive(false);
    }
    std::string first = std::move(head.body());
    head.body().clear();
    if (refused) {
        head = postlude::detail::refusal(*after_, head.keep_alive());
        first = head.body();
    }
    const stamp lines(head, *after_);
    std::size_t fields_size = 0;
    auto facts = postlude::detail::facts_of(head, fields_size);
    if (!refused) {
        facts.size = std::nullopt;  // it is still to come
    }
    const framing f(facts, after_->request());
    if (f.length && f.body && first.size() > *f.length) {
        throw system_error(beast_http::error::bad_content_length, "exchange::begin");
    }
    status_ = facts.status;
    tasks_ = after_->size();
    chunked_ = f.end == framing::ending::chunked;
    close_ = f.end == framing::ending::close || !head.keep_alive();
    body_ = f.body;
    left_ = f.length;
    begun_ = true;
    reason_ = reason::handler;  // what was wrong before is answered by this response
    pending_.emplace(*after_, facts.status);
    postlude::detail::text<std::allocator<char>> out{std::allocator<char>{}};
    postlude::detail::append_header(head, f, fields_size, 0, out, lines.text());
    co_await send(out.view(), first);
    if (refused) {
        blame(reason::whole, errc::full, "exchange::begin: the list was refused work");
    }
}

awaitable<void> exchange_state::write(std::string_view piece) {
    if (!begun_ || !pending_) {
        throw system_error(errc::bad_option, "exchange::write: there is no response under way");
    }
    if (!body_) {
        blame(reason::whole, asio::error::eof, "exchange::write: the response has no body");
    }
    return send({}, piece);
}

awaitable<void> exchange_state::send(std::string_view head, std::string_view body) {
    if (!body_) {
        body = {};
    }
    if (left_ && body.size() > *left_) {
        throw system_error(beast_http::error::bad_content_length,
                           "exchange: the body is longer than its Content-Length");
    }
    if (left_) {
        *left_ -= body.size();
    }
    if (!chunked_ || body.empty()) {
        co_await send_pieces({head, body, {}, {}});
        co_return;
    }
    std::array<char, 18> size;
    auto* end = std::to_chars(size.data(), size.data() + 16, body.size(), 16).ptr;
    *end++ = '\r';
    *end++ = '\n';
    const std::string_view size_line(size.data(), static_cast<std::size_t>(end - size.data()));
    co_await send_pieces({head, size_line, body, "\r\n"});
}

awaitable<void> exchange_state::send_pieces(std::array<std::string_view, 4> bytes) {
    auto& s = *session_;
    const auto before = s.pace_.now();
    s.pace_.resume(phase::writing, writing_);
    std::array<asio::const_buffer, 4> all;
    std::span<asio::const_buffer> pieces;
    for (const auto piece : bytes) {
        if (!piece.empty()) {
            all[pieces.size()] = asio::const_buffer(piece.data(), piece.size());
            pieces = {all.data(), pieces.size() + 1};
        }
    }
    error_code ec;
    while (!pieces.empty() && !ec) {
        std::size_t n = 0;
        ec = co_await s.send(pieces, n);
        sent_ += n;
        while (!pieces.empty() && n >= pieces.front().size()) {
            n -= pieces.front().size();
            pieces = pieces.subspan(1);
        }
        if (!pieces.empty()) {
            pieces.front() += n;
        }
    }
    writing_ = s.pace_.pause(before);
    if (ec) {
        fail(ec);
        blame(reason::client, ec, "exchange: the response could not be written");
    }
}

awaitable<bool> exchange_state::end(bool handler_failed) {
    handler_failed = handler_failed || handler_failed_;
    if (pending_ && !handler_failed && body_ && left_.value_or(0) != 0) {
        session_->service_.log().error(
            "the handler of {} wrote {} bytes less than its Content-Length says (request {})",
            path(*request_), *left_, after_->request_id());
        handler_failed = true;
    }
    if (pending_ && handler_failed) {
        pending_->handler_failed();
        fail(beast_http::error::partial_message);
    } else if (pending_ && broken()) {
        fail(thrown_);  // its body could not be read to the end
    }
    if (pending_ && body_ && chunked_) {
        try {
            co_await send_pieces({"0\r\n\r\n", {}, {}, {}});
        } catch (const system_error&) {
            // `send_pieces` has seen to the list.
        }
    }
    const bool whole = pending_.has_value();
    if (whole) {
        pending_->end({});
        pending_->release(session_->transport_->get_executor());
    }
    log_access();
    co_return whole && !close_;
}

void exchange_state::log_access() const {
    if (const auto& log = session_->service_.options.access_log) {
        write_access_line(*log, {.client = session_->client_,
                                 .method = request_->method_string(),
                                 .path = path(*request_),
                                 .status = status_,
                                 .sent = taken_over_ ? std::nullopt : std::optional(sent_),
                                 .took = session_clock::now() - session_->begun_,
                                 .tasks = tasks_,
                                 .id = after_->request_id()});
    }
}

void exchange_state::fail(error_code why) noexcept {
    if (pending_) {
        pending_->end(why);
        pending_->release(session_->transport_->get_executor());
        pending_.reset();
        // The client must not take what it has for the whole.
        if (body_ && !chunked_ && !left_) {
            error_code ignored;
            session_->transport_->socket().set_option(asio::socket_base::linger(true, 0), ignored);
        }
        session_->transport_->close();
    }
}

any_stream exchange_state::take_over() {
    if (answered()) {
        throw system_error(errc::bad_option, "exchange::take_over: the response has begun already");
    }
    if (!reader_->body_done()) {
        throw system_error(errc::bad_option,
                           "exchange::take_over: the request has a body, which was not read");
    }
    error_code ignored;
    session_->transport_->socket().set_option(asio::socket_base::keep_alive(true), ignored);
    taken_over_ = true;
    status_ = 101;
    tasks_ = after_->size();
    session_->pace_.enter(phase::taken_over);
    any_stream stream(session_->transport_);
    stream.unread_ = std::move(session_->in_);
    return stream;
}

void exchange_state::on_stop(std::function<void()> f) {
    auto& s = *session_;
    s.on_stop_ = std::move(f);
    if (s.service_.stopping.load(std::memory_order_relaxed)) {
        s.announce_stop();
    }
}

}  // namespace detail

const request& exchange::get_request() const noexcept { return state_->get_request(); }

deferred& exchange::after() noexcept { return state_->after(); }

void exchange::limit_body(std::uint64_t bytes) noexcept { state_->reader().limit_body(bytes); }

awaitable<std::string_view> exchange::read() { return state_->read(); }

awaitable<void> exchange::respond(response whole) {
    if (whole.find(field::content_length) == whole.end() &&
        whole.find(field::transfer_encoding) == whole.end()) {
        whole.content_length(whole.body().size());
    }
    return begin(std::move(whole));
}

awaitable<void> exchange::begin(response head) {
    state_->head = std::move(head);
    return state_->begin();
}

awaitable<void> exchange::write(std::string_view piece) { return state_->write(piece); }

any_stream exchange::take_over() { return state_->take_over(); }

void exchange::on_stop(std::function<void()> f) { state_->on_stop(std::move(f)); }

}  // namespace postlude::http
