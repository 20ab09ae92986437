// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
// A connection's responses: composed, when what has to be is stored; written; and their end.
#include "http/access_log.hpp"
#include "http/session.hpp"
#include "http/stamp.hpp"
#include "postlude/dispatch/commit.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cerrno>

namespace postlude::http::detail {

namespace asio = boost::asio;
using asio::awaitable;
using boost::system::error_code;

namespace {

response refusal_of(status why) { return text(why, std::string(obsolete_reason(why)) + "\n"); }

std::span<const asio::const_buffer> as_span(const asio::const_buffer& one) noexcept {
    return {&one, 1};
}
std::span<const asio::const_buffer> as_span(std::span<const asio::const_buffer> all) noexcept {
    return all;
}

}  // namespace

void session::make_sound(response& res, const request& req, const deferred& after) {
    if (res.result_int() < 200) {
        service_.log().error(
            "the response to {} has the status {}, of an interim response, which is no answer; it "
            "is answered with 500 (request {})",
            path(req), res.result_int(), after.request_id());
    } else if (postlude::detail::has_forged_field(res)) {
        service_.log().error(
            "the response to {} has a field or a reason with a line end or a NUL in it; it is "
            "answered with 500 (request {})",
            path(req), after.request_id());
    } else {
        return;
    }
    res = text(status::internal_server_error, "The server failed.\n");
}

awaitable<bool> session::answer_when_stored(response& res, const request& req, deferred& after,
                                            bool stays) {
    if (after.has_jobs()) {
        co_await commit(res.result_int(), after);
    }
    auto a = compose(std::move(res), &req, after, stays);
    co_return co_await write(a);
}

awaitable<void> session::commit(unsigned status, deferred& after) {
    if (after.must_commit(status)) {
        pace_.enter(phase::handling);
        co_await async_commit(after, status, transport_->get_executor(), as_result);
    }
}

session::answer session::compose(response&& res, const request* req, deferred& after, bool stays) {
    if (!stays || (stopping() && !more_has_arrived())) {
        stays = false;
        res.keep_alive(false);
    }
    stays = stays && res.keep_alive();
    stamp lines(res, after);
    const auto tasks = after.size();
    const auto status = after.refused() ? 503U : res.result_int();
    answer a{
        postlude::detail::compose_sound<response>(res, after, std::allocator<char>{}, lines.text()),
        stays, status, tasks};
    if (service_.options.access_log) {
        a.id = after.request_id();
        if (req) {
            a.method = req->method_string();
            a.path = path(*req);
        }
    }
    return a;
}

bool session::write_now(answer& a, error_code& ec) {
    bool waits = false;
    ec = a.out.error;
    while (!ec && !waits && a.out.next(ec, [&](const auto& buffers) {
        const auto n = transport_->write_now(as_span(buffers), ec);
        pace_.progress(n);
        a.out.wrote(n);
        waits = n == 0 && !ec;
    })) {
    }
    return !waits;
}

awaitable<bool> session::write(answer& a) {
    pace_.enter(phase::writing);
    error_code ec;
    while (!write_now(a, ec)) {
        std::array<asio::const_buffer, 64> pieces;
        std::size_t count = 0;
        a.out.next(ec, [&](const auto& buffers) {
            const auto span = as_span(buffers);
            count = span.size();
            std::ranges::copy(span, pieces.begin());
        });
        std::size_t n = 0;
        ec = co_await send({pieces.data(), count}, n);
        a.out.wrote(n);
        a.out.error = ec;
    }
    co_return end(a, ec);
}

bool session::end(answer& a, error_code ec) {
    ec = a.out.end(ec);
    if (a.out.pending) {
        a.out.pending->release(transport_->get_executor());
    }
    if (const auto& log = service_.options.access_log) {
        write_access_line(*log, {.client = client_,
                                 .method = a.method,
                                 .path = a.path,
                                 .status = a.status,
                                 .sent = a.out.sent,
                                 .took = clock::now() - begun_,
                                 .tasks = a.tasks,
                                 .id = a.id});
    }
    return !ec && a.stays;
}

send_ring::item session::first_send(answer& a) {
    send_ring::item what;
    if (!a.out.error && !a.out.rest && a.out.flat.size() != 0) {
        what.socket = transport_->socket().native_handle();
        what.bytes = {a.out.flat.data(), a.out.flat.size()};
    }
    return what;
}

void session::was_sent(answer& a, const send_ring::item& what) {
    if (what.result >= 0) {
        const auto n = static_cast<std::size_t>(what.result);
        pace_.progress(n);
        a.out.wrote(n);
    } else if (what.socket >= 0 && what.result != -EAGAIN) {
        a.out.error = error_code(static_cast<int>(-what.result), boost::system::system_category());
    }
}

awaitable<bool> session::refuse(status why) {
    ++service_.counts.malformed;
    deferred after(service_.work, request_info{.keep_alive = false});
    auto a = compose(refusal_of(why), nullptr, after, false);
    co_return co_await write(a);
}

awaitable<bool> session::refuse(status why, exchange_parts& parts) {
    ++service_.counts.malformed;
    auto a = compose(refusal_of(why), &parts.req, parts.after, false);
    co_return co_await write(a);
}

}  // namespace postlude::http::detail
