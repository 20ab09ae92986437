// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/http/server.hpp"

#include "support/catch.hpp"
#include "support/running_server.hpp"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

#include <atomic>
#include <mutex>
#include <set>

using namespace std::chrono_literals;
using postlude::deferred;
using postlude::when;
using postlude::http::request;
using postlude::http::response;
using postlude::http::server;
using postlude::http::server_options;
using postlude::http::status;
using postlude::http::text;
using postlude::http::verb;

namespace {

/// Registers a task for each condition, which notes that it ran.
class conditions {
public:
    void register_all(deferred& after) {
        note(after, when::handled, "handled");
        note(after, when::sent, "sent");
        note(after, when::failed, "failed");
        note(after, when::always, "always");
    }
    std::set<std::string> ran() const {
        const std::lock_guard lock(mutex_);
        return ran_;
    }

private:
    void note(deferred& after, when condition, const char* name) {
        after.run(
            [this, name] {
                const std::lock_guard lock(mutex_);
                ran_.insert(name);
            },
            {.when = condition});
    }

    mutable std::mutex mutex_;
    std::set<std::string> ran_;
};

std::string refused(server_options options) {
    try {
        const server s(std::move(options));
    } catch (const boost::system::system_error& e) {
        return e.what();
    }
    return "";
}

}  // namespace

TEST_CASE("a handler is a function or a coroutine") {
    test::running_server running;
    running.server.get("/function", [](const request& req, deferred&) {
        return text(status::ok, std::string(postlude::http::query(req, "name")));
    });
    running.server.get(
        "/coroutine", [](const request&, deferred&) -> boost::asio::awaitable<response> {
            boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor, 1ms);
            co_await timer.async_wait(boost::asio::use_awaitable);
            co_return text(status::created, "later");
        });
    running.start();
    auto client = running.connect();

    const auto first = client.get("/function?a=b&name=Ada&name=Bob");
    CHECK(first.result() == status::ok);
    CHECK(first.body() == "Ada");
    CHECK(first["Content-Type"] == "text/plain; charset=utf-8");
    const auto second = client.get("/coroutine");
    CHECK(second.result() == status::created);
    CHECK(second.body() == "later");
}

TEST_CASE("what nobody handles is 404 or, with Allow, 405; GET answers HEAD") {
    test::running_server running;
    const auto handler = [](const request&, deferred&) { return text(status::ok, "a page"); };
    running.server.get("/page", handler);
    running.server.post("/page", handler);
    running.server.route(verb::put, "/thing", handler);
    running.start();
    auto client = running.connect();

    CHECK(client.get("/none").result() == status::not_found);
    CHECK(client.get("/page/").result() == status::not_found);
    const auto thing = client.get("/thing");
    CHECK(thing.result() == status::method_not_allowed);
    CHECK(thing["Allow"] == "PUT, OPTIONS");
    const auto page = client.ask("DELETE /page HTTP/1.1\r\nHost: test\r\n\r\n");
    CHECK(page.result() == status::method_not_allowed);
    CHECK(page["Allow"] == "GET, POST, HEAD, OPTIONS");

    const auto head = client.ask("HEAD /page HTTP/1.1\r\nHost: test\r\n\r\n", true);
    CHECK(head.result() == status::ok);
    CHECK(head["Content-Length"] == "6");
    // Had HEAD a body, this would not be the next response.
    CHECK(client.get("/page").body() == "a page");
}

TEST_CASE("a response carries the request's id: the client's if it is valid, else a new one") {
    test::running_server running;
    running.server.get("/", [](const request&, deferred& after) {
        return text(status::ok, std::string(after.request_id()));
    });
    running.start();
    auto client = running.connect();

    CHECK(client.get("/", "X-Request-Id: abc-1\r\n")["X-Request-Id"] == "abc-1");
    CHECK(client.get("/none", "X-Request-Id: abc-2\r\n")["X-Request-Id"] == "abc-2");
    const auto made = client.get("/", "X-Request-Id: a b\r\n");
    CHECK(made["X-Request-Id"].size() == 32);
    CHECK(made["X-Request-Id"] == made.body());
}

TEST_CASE("a handler that throws is answered with 500, and failed and always tasks run") {
    conditions of_function;
    conditions of_coroutine;
    conditions of_int;
    test::running_server running;
    running.server.get("/function", [&](const request&, deferred& after) -> response {
        of_function.register_all(after);
        throw std::runtime_error("no luck");
    });
    running.server.get("/coroutine",
                       [&](const request&, deferred& after) -> boost::asio::awaitable<response> {
                           of_coroutine.register_all(after);
                           throw std::runtime_error("no luck either");
                           co_return response{};
                       });
    running.server.get("/int", [&](const request&, deferred& after) -> response {
        of_int.register_all(after);
        throw 1;
    });
    running.start();
    auto client = running.connect();

    CHECK(client.get("/function", "X-Request-Id: id-1\r\n").result_int() == 500);
    CHECK(client.get("/coroutine", "X-Request-Id: id-2\r\n").result_int() == 500);
    CHECK(client.get("/int", "X-Request-Id: id-3\r\n").result_int() == 500);
    running.stop();

    const std::set<std::string> expected{"failed", "always"};
    CHECK(of_function.ran() == expected);
    CHECK(of_coroutine.ran() == expected);
    CHECK(of_int.ran() == expected);
    CHECK(running.log.count({"/function", "no luck", "id-1"}) == 1);
    CHECK(running.log.count({"/coroutine", "no luck either", "id-2"}) == 1);
    CHECK(running.log.count({"/int", "id-3"}) == 1);
}

TEST_CASE("a full pool is answered with 503 and Retry-After, and works again afterwards") {
    server_options options;
    options.dispatcher.pool.threads = 1;
    options.dispatcher.pool.default_queue.capacity = 2;
    options.dispatcher.retry_after = 7s;
    test::running_server running(std::move(options));
    test::door door;
    const test::door_opener opener(door);
    std::atomic<int> ran{0};
    running.server.post("/", [&](const request&, deferred& after) {
        after.run([&ran, door] {
            door.wait();
            ++ran;
        });
        return text(status::created, "made");
    });
    running.start();
    auto client = running.connect();
    const std::string_view request = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n";

    CHECK(client.ask(request).result() == status::created);
    CHECK(client.ask(request).result() == status::created);
    for (int i = 0; i < 100; ++i) {
        const auto refused = client.ask(request);
        CHECK(refused.result() == status::service_unavailable);
        CHECK(refused["Retry-After"] == "7");
    }
    door.open();
    REQUIRE(test::eventually([&] { return running.counters().left == 0; }));
    CHECK(client.ask(request).result() == status::created);
    CHECK(running.stop().clean());
    CHECK(ran == 3);
    CHECK(running.counters().refused == 100);
    CHECK(running.counters().completed == 3);
}

TEST_CASE("a connection stays or is closed as the client asks") {
    test::running_server running;
    running.server.get("/", [](const request&, deferred&) { return text(status::ok, "x"); });
    running.start();

    auto stays = running.connect();
    CHECK(stays.get("/").keep_alive());
    CHECK(stays.get("/").keep_alive());

    auto closes = running.connect();
    CHECK(!closes.get("/", "Connection: close\r\n").keep_alive());
    CHECK(closes.ended());

    auto old = running.connect();
    CHECK(old.ask("GET / HTTP/1.0\r\n\r\n").body() == "x");
    CHECK(old.ended());

    auto old_stays = running.connect();
    const std::string_view request = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    CHECK(old_stays.ask(request)["Connection"] == "keep-alive");
    CHECK(old_stays.ask(request).body() == "x");

    // A handler that wants it closed.
    running.stop();
    CHECK(stays.ended());
}

TEST_CASE("a handler can close the connection") {
    test::running_server running;
    running.server.get("/", [](const request&, deferred&) {
        auto res = text(status::ok, "bye");
        res.keep_alive(false);
        return res;
    });
    running.start();
    auto client = running.connect();
    CHECK(client.get("/")["Connection"] == "close");
    CHECK(client.ended());
}

TEST_CASE("what is malformed or too large is answered and the connection closed") {
    server_options options;
    options.header_limit = 1'000;
    options.body_limit = 2'000;
    test::running_server running(std::move(options));
    running.server.post("/", [](const request& req, deferred&) {
        return text(status::ok, std::to_string(req.body().size()));
    });
    running.start();

    const auto answer = [&](const std::string& bytes) {
        auto client = running.connect();
        client.send(bytes);
        const auto got = client.read();
        REQUIRE(got);
        CHECK(got->result_int() >= 400);
        CHECK((*got)["Connection"] == "close");
        CHECK((*got)["X-Request-Id"].size() == 32);
        CHECK(client.ended());
        return got->result_int();
    };
    const std::string post = "POST / HTTP/1.1\r\nHost: test\r\n";
    CHECK(answer("nonsense\r\n\r\n") == 400);
    CHECK(answer("GET / HTTP/3.7\r\n\r\n") == 505);
    CHECK(answer(post + "X: " + std::string(1'200, 'x') + "\r\n\r\n") == 431);
    CHECK(answer("GET /" + std::string(100'000, 'x') + " HTTP/1.1\r\n\r\n") == 414);
    CHECK(answer(post + "Content-Length: 2001\r\n\r\n") == 413);
    CHECK(answer(post + "Content-Length: 500000\r\n\r\n" + std::string(500'000, 'x')) == 413);
    CHECK(answer(post + "Transfer-Encoding: chunked\r\n\r\n7d1\r\n" + std::string(2'001, 'x') +
                 "\r\n0\r\n\r\n") == 413);

    auto client = running.connect();
    CHECK(client.ask(post + "Content-Length: 2000\r\n\r\n" + std::string(2'000, 'x')).body() ==
          "2000");
    CHECK(client.ask(post + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n").body() ==
          "3");
}

TEST_CASE("a request that does not get on is answered with 408, and silence ends a connection") {
    server_options options;
    options.header_timeout = 1s;
    options.keep_alive_timeout = 1s;
    test::running_server running(std::move(options));
    running.server.get("/", [](const request&, deferred&) { return text(status::ok, "x"); });
    running.start();

    auto slow = running.connect();
    auto silent = running.connect();
    slow.send("GET / HTTP/1.1\r\nHos");
    const auto got = slow.read();
    REQUIRE(got);
    CHECK(got->result() == status::request_timeout);
    CHECK(slow.ended());
    CHECK(silent.ended());
}

TEST_CASE("a client that ends in the middle of a request gets no answer") {
    test::running_server running;
    running.start();
    auto client = running.connect();
    client.send("GET / HTTP/1.1\r\nHos");
    client.shutdown_send();
    CHECK(client.ended());
    auto half_closed = running.connect();
    half_closed.send("GET /none HTTP/1.1\r\nHost: test\r\n\r\n");
    half_closed.shutdown_send();
    CHECK(half_closed.read()->result() == status::not_found);
}

TEST_CASE("a server that cannot listen says where and why") {
    const server first({.port = 0});
    const auto busy = refused({.port = first.port()});
    CHECK(busy.find("127.0.0.1:" + std::to_string(first.port()) +
                    " is in use by another program; choose another port") == 0);
    CHECK(refused({.address = "somewhere"}).find("'somewhere', which is no IP address") !=
          std::string::npos);
    CHECK(refused({.address = "192.0.2.1", .port = 0}).find("192.0.2.1:0: this machine has no") ==
          0);
    CHECK(refused({.port = 0, .threads = 0}).find("server_options::threads takes 1 to 1024") == 0);
    CHECK(refused({.port = 0, .header_timeout = 0s}).find("server_options::header_timeout") == 0);
}
