// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
// Rare turns of a connection: each of these was once wrong.
#include "postlude/http/server.hpp"

#include "postlude/http/exchange.hpp"
#include "postlude/http/respond.hpp"
#include "postlude/http/websocket.hpp"
#include "support/catch.hpp"
#include "support/running_server.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/beast/_experimental/test/stream.hpp>
#include <boost/system/system_error.hpp>

#include <atomic>
#include <chrono>

using namespace std::chrono_literals;
using boost::asio::awaitable;
using postlude::deferred;
using postlude::when;
using postlude::http::exchange;
using postlude::http::request;
using postlude::http::response;
using postlude::http::server_options;
using postlude::http::status;
using postlude::http::text;
using postlude::http::verb;

namespace {

/// How many tasks of each kind have run.
struct outcome {
    std::atomic<int> handled{0};
    std::atomic<int> failed{0};

    void register_both(deferred& after) {
        after.run([this] { ++handled; });
        after.run([this] { ++failed; }, {.when = when::failed});
    }
};

}  // namespace

TEST_CASE("an empty line behind a body does not make a silent connection a request") {
    server_options options;
    options.header_timeout = 1s;
    options.keep_alive_timeout = 2s;
    test::running_server running(std::move(options));
    running.server.post("/",
                        [](const request& req, deferred&) { return text(status::ok, req.body()); });
    running.start();
    auto client = running.connect();
    CHECK(client.ask("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n\r\nx\r\n").body() == "x");
    CHECK(client.ended());  // and no 408 before that
    CHECK(running.server.counters().malformed == 0);
    CHECK(running.server.counters().timed_out == 0);
}

TEST_CASE("a response without a body is over for a handler that would write for ever") {
    test::running_server running;
    outcome seen;
    running.server.stream(verb::get, "/events", [&](exchange& e) -> awaitable<void> {
        seen.register_both(e.after());
        co_await e.begin(text(status::ok, ""));
        for (;;) {
            co_await e.write("tick\n");
        }
    });
    running.start();
    auto client = running.connect();
    const std::string_view head = "HEAD /events HTTP/1.1\r\nHost: t\r\n\r\n";
    CHECK(client.ask(head, true).result() == status::ok);
    CHECK(client.ask(head, true).result() == status::ok);  // the connection has stayed
    REQUIRE(test::eventually([&] { return seen.handled == 2; }));
    CHECK(running.stop().clean());
    CHECK(seen.failed == 0);
    CHECK(running.log.count({"the handler of"}) == 0);
}

TEST_CASE("a handler that fails in the middle of its response has failed") {
    test::running_server running;
    outcome threw;
    outcome short_by_one;
    running.server.stream(verb::get, "/throws", [&](exchange& e) -> awaitable<void> {
        threw.register_both(e.after());
        co_await e.begin(text(status::ok, "some"));
        throw std::runtime_error("in the middle");
    });
    running.server.stream(verb::get, "/short", [&](exchange& e) -> awaitable<void> {
        short_by_one.register_both(e.after());
        response head(status::ok, 11);
        head.content_length(5);
        co_await e.begin(std::move(head));
        co_await e.write("four");
    });
    running.start();
    auto first = running.connect();
    CHECK_THROWS(first.get("/throws"));
    auto second = running.connect();
    CHECK_THROWS(second.get("/short"));
    running.stop();
    CHECK(threw.handled == 0);
    CHECK(threw.failed == 1);
    CHECK(short_by_one.handled == 0);
    CHECK(short_by_one.failed == 1);
    CHECK(running.log.count({"/throws", "in the middle"}) == 1);
    CHECK(running.log.count({"/short", "1 bytes less"}) == 1);
}

TEST_CASE("a handler that returns without a response is answered with 500 and logged") {
    test::running_server running;
    running.server.stream(verb::get, "/", [](exchange&) -> awaitable<void> { co_return; });
    running.start();
    CHECK(running.connect().get("/").result() == status::internal_server_error);
    running.stop();
    CHECK(running.log.count({"returned without a response"}) == 1);
}

TEST_CASE("an interim response of a handler's is answered with 500, and the next request in turn") {
    test::running_server running;
    outcome seen;
    const auto code = GENERATE(status::continue_, status::switching_protocols, status::processing);
    running.server.get("/function", [&](const request&, deferred& after) {
        seen.register_both(after);
        return text(code, "");
    });
    running.server.get("/coroutine", [&](const request&, deferred& after) -> awaitable<response> {
        seen.register_both(after);
        co_return text(code, "");
    });
    running.server.stream(verb::get, "/stream", [&](exchange& e) -> awaitable<void> {
        seen.register_both(e.after());
        co_await e.begin(text(code, ""));
    });
    running.server.get("/next", [](const request&, deferred&) { return text(status::ok, "next"); });
    running.start();
    for (const std::string target : {"/function", "/coroutine", "/stream"}) {
        INFO(target);
        auto client = running.connect();
        client.send("GET " + target + " HTTP/1.1\r\nHost: t\r\n\r\n" +
                    "GET /next HTTP/1.1\r\nHost: t\r\n\r\n");
        const auto first = client.read();
        REQUIRE(first);
        CHECK(first->result() == status::internal_server_error);
        const auto second = client.read();
        REQUIRE(second);
        CHECK(second->body() == "next");
        CHECK(running.log.count({target, "interim"}) == 1);
    }
    CHECK(running.stop().clean());
    CHECK(seen.handled == 0);
    CHECK(seen.failed == 3);
}

TEST_CASE("a streamed response that was refused work is a whole 503") {
    server_options options;
    options.dispatcher.pool.default_queue.capacity = 1;
    test::running_server running(std::move(options));
    running.server.stream(verb::post, "/", [](exchange& e) -> awaitable<void> {
        e.after().reserve(2);
        while (!(co_await e.read()).empty()) {
        }
        co_await e.begin(text(status::ok, "never"));
    });
    running.start();
    auto client = running.connect();
    const std::string_view post = "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc";
    for (int i = 0; i < 2; ++i) {  // the connection stays
        const auto got = client.ask(post);
        CHECK(got.result() == status::service_unavailable);
        CHECK(got["Retry-After"] == "1");
    }
    running.stop();
    CHECK(running.log.count({"the handler of"}) == 0);
}

TEST_CASE("a body that drips into a streaming handler is answered with 408") {
    server_options options;
    options.body_timeout = 1s;
    test::running_server running(std::move(options));
    running.server.stream(verb::post, "/", [](exchange& e) -> awaitable<void> {
        while (!(co_await e.read()).empty()) {
        }
        co_await e.respond(text(status::ok, "whole"));
    });
    running.start();
    auto client = running.connect();
    client.send(
        "POST / HTTP/1.1\r\nHost: t\r\nX-Request-Id: drip-1\r\nContent-Length: 1000\r\n\r\n");
    std::jthread drip([&](const std::stop_token& stop) {
        while (!stop.stop_requested() && client.send("x")) {
            std::this_thread::sleep_for(100ms);
        }
    });
    const auto got = client.read();
    drip.request_stop();
    REQUIRE(got);
    CHECK(got->result() == status::request_timeout);
    CHECK((*got)["X-Request-Id"] == "drip-1");
}

TEST_CASE("the refusal of a request's body has the request's id and line in the access log") {
    test::captured_log access;
    server_options options;
    options.body_limit = 10;
    options.access_log = access.logger();
    test::running_server running(std::move(options));
    running.server.post("/here", [](const request&, deferred&) { return text(status::ok, "x"); });
    running.start();
    auto client = running.connect();
    const auto got = client.ask(
        "POST /here HTTP/1.1\r\nHost: t\r\nX-Request-Id: big-1\r\nContent-Length: 11\r\n\r\n");
    CHECK(got.result() == status::payload_too_large);
    CHECK(got["X-Request-Id"] == "big-1");
    CHECK(client.ended());
    running.stop();
    CHECK(access.count({"127.0.0.1 \"POST /here\" 413", "0 tasks big-1"}) == 1);
}

TEST_CASE("a response's field cannot forge another one") {
    test::running_server running;
    outcome seen;
    running.server.get("/to/{name}", [&](const request& req, deferred& after) {
        seen.register_both(after);
        auto res = text(status::ok, "x");
        res.set("Location", std::string("/").append(req.param("name")));
        return res;
    });
    running.start();
    auto client = running.connect();
    CHECK(client.get("/to/ada").result() == status::ok);
    const auto forged = client.get("/to/a%0d%0aSet-Cookie:%20x=1");
    CHECK(forged.result() == status::internal_server_error);
    CHECK(forged["Set-Cookie"].empty());
    running.stop();
    CHECK(seen.handled == 1);
    CHECK(seen.failed == 1);
}

TEST_CASE("a response's reason cannot forge a field") {
    test::running_server running;
    outcome seen;
    const auto saying = [](const request& req) {
        auto res = text(status::ok, "x");
        res.reason(req.param("why"));
        return res;
    };
    running.server.get("/{why}", [&](const request& req, deferred& after) {
        seen.register_both(after);
        return saying(req);
    });
    running.server.stream(verb::get, "/whole/{why}", [&](exchange& e) -> awaitable<void> {
        co_await e.respond(saying(e.get_request()));
    });
    running.start();
    auto client = running.connect();
    for (const std::string under : {"/", "/whole/"}) {
        CHECK(client.get(under + "Fine%20so").reason() == "Fine so");
        for (const auto* why : {"OK%0d%0aSet-Cookie:%20x=1", "OK%0aSet-Cookie:%20x=1", "OK%0d"}) {
            const auto forged = client.get(under + why);
            CHECK(forged.result() == status::internal_server_error);
            CHECK(forged.reason() == "Internal Server Error");
            CHECK(forged["Set-Cookie"].empty());
        }
    }
    running.stop();
    CHECK(seen.handled == 1);
    CHECK(seen.failed == 3);
}

TEST_CASE("a forged response is not written in a server of one's own") {
    const auto spoil = GENERATE(
        as<void (*)(response&)>{}, [](response& res) { res.set("X", "a\nb: c"); },
        [](response& res) { res.reason("OK\nb: c"); }, [](response& res) { res.reason("OK\r"); },
        [](response& res) { res.reason({"O\0K", 3}); });
    const bool blocking = GENERATE(true, false);
    outcome seen;
    postlude::dispatcher dispatcher;
    boost::asio::io_context io;
    boost::beast::test::stream stream(io);
    auto peer = boost::beast::test::connect(stream);
    {
        deferred after(dispatcher);
        seen.register_both(after);
        auto res = text(status::ok, "x");
        spoil(res);
        boost::system::error_code ec;
        std::size_t n = 1;
        if (blocking) {
            n = postlude::respond(stream, res, after, ec);
        } else {
            postlude::async_respond(stream, res, after,
                                    [&](boost::system::error_code got, std::size_t size) {
                                        ec = got;
                                        n = size;
                                    });
            io.run();
        }
        CHECK(n == 0);
        CHECK(ec == postlude::errc::bad_header);
    }
    CHECK(peer.nwrite_bytes() == 0);
    REQUIRE(dispatcher.shutdown(10s).clean());
    CHECK(seen.handled == 0);
    CHECK(seen.failed == 1);
}

TEST_CASE("a WebSocket handshake that fails is no success") {
    test::running_server running;
    outcome seen;
    running.server.stream(verb::get, "/", [&](exchange& e) -> awaitable<void> {
        seen.register_both(e.after());
        co_await postlude::http::accept(e);
    });
    running.start();
    auto client = running.connect();
    const auto got = client.ask(
        "GET / HTTP/1.1\r\nHost: t\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n");
    CHECK(got.result() == status::bad_request);
    running.stop();
    CHECK(seen.handled == 0);
    CHECK(seen.failed == 1);
}

TEST_CASE("over the connection limit a silent connection makes room at once") {
    server_options options;
    options.connection_limit = 2;
    options.threads = 2;
    test::running_server running(std::move(options));
    test::door door;
    const test::door_opener opener(door);
    running.server.get("/", [](const request&, deferred&) { return text(status::ok, "x"); });
    running.server.get("/held", [door](const request&, deferred&) {
        door.wait();
        return text(status::ok, "held");
    });
    running.start();
    auto held = running.connect();
    held.send("GET /held HTTP/1.1\r\nHost: t\r\n\r\n");
    REQUIRE(door.wait_for_waiters(1));
    auto silent = running.connect();
    CHECK(silent.get("/").body() == "x");
    for (int i = 0; i < 50; ++i) {  // each closes the one before, which does not close its end
        auto next = running.connect();
        CHECK(next.get("/").body() == "x");
        CHECK(silent.ended());
        silent = std::move(next);
    }
    CHECK(running.server.counters().evicted >= 50);
    CHECK(running.server.counters().refused == 0);
    CHECK(running.log.count({"2 connections already"}) >= 1);
    door.open();
    CHECK(held.read()->body() == "held");
}
