// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/http/middleware.hpp"

#include "postlude/http/exchange.hpp"
#include "support/catch.hpp"
#include "support/running_server.hpp"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <atomic>
#include <mutex>
#include <regex>
#include <stdexcept>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using boost::asio::awaitable;
using postlude::deferred;
using postlude::when;
using postlude::http::middleware;
using postlude::http::next;
using postlude::http::request;
using postlude::http::response;
using postlude::http::server_options;
using postlude::http::status;
using postlude::http::text;

namespace {

/// The order in which things were called.
class trace {
public:
    void add(const std::string& name) {
        const std::lock_guard lock(mutex_);
        names_ += (names_.empty() ? "" : " ") + name;
    }
    std::string take() {
        const std::lock_guard lock(mutex_);
        return std::exchange(names_, {});
    }

private:
    std::mutex mutex_;
    std::string names_;
};

middleware check(trace& t, std::string name, bool answers = false) {
    return [&t, name = std::move(name), answers](request&, deferred&) -> std::optional<response> {
        t.add(name);
        return answers ? std::optional(text(status::forbidden, name)) : std::nullopt;
    };
}

middleware finish(trace& t, std::string name) {
    return [&t, name = std::move(name)](const request&, response& res) {
        t.add(name + std::to_string(res.result_int()));
        res.insert("X-Finished", name);
    };
}

middleware around(trace& t, std::string name) {
    return [&t, name = std::move(name)](request& req, deferred& after,
                                        const next& rest) -> awaitable<response> {
        t.add(name + "(");
        auto res = co_await rest(req, after);
        t.add(")" + name);
        co_return res;
    };
}

/// Two routes, one for each kind of handler, that note when they run.
void add_handlers(test::running_server& running, trace& t) {
    running.server.get("/function", [&t](const request&, deferred&) {
        t.add("function");
        return text(status::ok, "function");
    });
    running.server.get("/coroutine", [&t](const request&, deferred&) -> awaitable<response> {
        boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor, 1ms);
        co_await timer.async_wait(boost::asio::use_awaitable);
        t.add("coroutine");
        co_return text(status::ok, "coroutine");
    });
    running.server.get("/throws", [&t](const request&, deferred&) -> response {
        t.add("throws");
        throw std::runtime_error("no luck");
    });
}

std::size_t finished(const test::http_client::reply& got) {
    const auto range = got.equal_range("X-Finished");
    return static_cast<std::size_t>(std::distance(range.first, range.second));
}

}  // namespace

TEST_CASE("checks and finishes stand around functions and coroutines, in order and back") {
    trace t;
    test::running_server running;
    add_handlers(running, t);
    running.server.use(check(t, "a"));
    running.server.use(finish(t, "b"));
    running.server.use(check(t, "c"));
    running.server.use(finish(t, "d"));
    running.start();
    auto client = running.connect();
    CHECK(client.get("/function").body() == "function");
    CHECK(t.take() == "a c function d200 b200");
    CHECK(finished(client.get("/coroutine")) == 2);
    CHECK(t.take() == "a c coroutine d200 b200");
}

TEST_CASE("coroutines stand around the rest of the chain, whatever it is") {
    trace t;
    test::running_server running;
    add_handlers(running, t);
    running.server.use(finish(t, "a"));
    running.server.use(around(t, "b"));
    running.server.use(check(t, "c"));
    running.server.use(finish(t, "d"));
    running.server.use(around(t, "e"));
    running.start();
    auto client = running.connect();
    CHECK(client.get("/function").body() == "function");
    CHECK(t.take() == "b( c e( function )e d200 )b a200");
    CHECK(client.get("/coroutine").body() == "coroutine");
    CHECK(t.take() == "b( c e( coroutine )e d200 )b a200");
}

TEST_CASE("a check that answers keeps the rest from being called; finishes before it see that") {
    const bool with_coroutine = GENERATE(false, true);
    trace t;
    test::running_server running;
    add_handlers(running, t);
    running.server.use(finish(t, "a"));
    if (with_coroutine) {
        running.server.use(around(t, "b"));
    }
    running.server.use(check(t, "c", true));
    running.server.use(finish(t, "d"));
    running.server.use(check(t, "e"));
    running.start();
    const auto got = running.connect().get("/function");
    CHECK(got.result() == status::forbidden);
    CHECK(got.body() == "c");
    CHECK(t.take() == (with_coroutine ? "b( c )b a403" : "c a403"));
}

TEST_CASE("a coroutine may answer itself, change the request, or the response") {
    trace t;
    test::running_server running;
    running.server.get("/", [](const request& req, deferred&) {
        return text(status::ok, std::string(req["X-User"]));
    });
    running.server.use([](request& req, deferred& after, const next& rest) -> awaitable<response> {
        if (req["X-User"].empty()) {
            co_return text(status::unauthorized, "who?");
        }
        req.set("X-User", "not " + std::string(req["X-User"]));
        auto res = co_await rest(req, after);
        res.body() += "!";
        co_return res;
    });
    running.start();
    auto client = running.connect();
    CHECK(client.get("/").result() == status::unauthorized);
    CHECK(client.get("/", "X-User: Ada\r\n").body() == "not Ada!");
}

TEST_CASE("a coroutine sees what the handler throws, and may answer for it") {
    std::atomic<int> failed{0};
    test::running_server running;
    running.server.get("/", [&](const request&, deferred& after) -> response {
        after.run([&failed] { ++failed; }, {.when = when::failed});
        throw std::runtime_error("no luck");
    });
    running.server.use([](request& req, deferred& after, const next& rest) -> awaitable<response> {
        std::string why;
        try {
            co_return co_await rest(req, after);
        } catch (const std::runtime_error& e) {
            why = e.what();
        }
        co_return text(status::bad_gateway, why);
    });
    running.start();
    const auto got = running.connect().get("/");
    CHECK(got.result() == status::bad_gateway);
    CHECK(got.body() == "no luck");
    running.stop();
    CHECK(failed == 1);
    CHECK(running.log.count({"no luck"}) == 0);  // it was dealt with
}

TEST_CASE("finishes see each response: also of a 404, a 405 and a handler that failed") {
    const bool with_coroutine = GENERATE(false, true);
    trace t;
    test::running_server running;
    add_handlers(running, t);
    running.server.use(check(t, "a"));
    running.server.use(finish(t, "b"));
    if (with_coroutine) {
        running.server.use(around(t, "c"));
    }
    running.server.use(finish(t, "d"));
    running.start();
    auto client = running.connect();
    const auto went = [&](std::string plain, std::string around) {
        CHECK(t.take() == (with_coroutine ? around : plain));
    };
    CHECK(finished(client.get("/none")) == 2);
    went("a d404 b404", "a c( d404 )c b404");
    CHECK(finished(client.ask("PUT /function HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n")) ==
          2);
    went("a d405 b405", "a c( d405 )c b405");
    const auto thrown = client.get("/throws");
    CHECK(thrown.result() == status::internal_server_error);
    CHECK(finished(thrown) == 2);
    went("a throws d500 b500", "a c( throws d500 b500");
    CHECK(client.get("/throws").keep_alive());
}

TEST_CASE("what middleware throws is as if the handler had") {
    std::atomic<int> handled{0};
    std::atomic<int> failed{0};
    const auto kind = GENERATE("check", "finish", "around");
    test::running_server running;
    running.server.get("/", [&](const request&, deferred& after) {
        after.run([&] { ++handled; });
        return text(status::ok, "x");
    });
    running.server.use([&](request&, deferred& after) {
        after.run([&] { ++failed; }, {.when = when::failed});
        return std::optional<response>();
    });
    if (kind == std::string("check")) {
        running.server.use([](request&, deferred&) -> std::optional<response> {
            throw std::runtime_error("check broke");
        });
    } else if (kind == std::string("finish")) {
        running.server.use(
            [](const request&, response&) { throw std::runtime_error("finish broke"); });
    } else {
        running.server.use(
            [](request& req, deferred& after, const next& rest) -> awaitable<response> {
                co_await rest(req, after);
                throw std::runtime_error("around broke");
            });
    }
    running.start();
    auto client = running.connect();
    const auto got = client.get("/", "X-Request-Id: broken-1\r\n");
    CHECK(got.result() == status::internal_server_error);
    CHECK(client.get("/none").result() == status::internal_server_error);
    running.stop();
    CHECK(handled == 0);
    CHECK(failed == 2);
    CHECK(running.log.count({"the handler of / failed: ", kind, "broke", "broken-1"}) == 1);
}

TEST_CASE("admit refuses a request before its handler has run, with 503 and Retry-After") {
    server_options options;
    options.dispatcher.pool.threads = 1;
    options.dispatcher.pool.default_queue.capacity = 3;
    options.dispatcher.retry_after = 9s;
    test::running_server running(std::move(options));
    test::door door;
    const test::door_opener opener(door);
    std::atomic<int> handled{0};
    running.server.use(postlude::http::admit(2));
    running.server.post("/", [&](const request&, deferred& after) {
        ++handled;
        after.run([door] { door.wait(); });
        after.run([] {});
        return text(status::created, "made");
    });
    running.start();
    auto client = running.connect();
    const std::string_view post = "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n";
    CHECK(client.ask(post).result() == status::created);
    REQUIRE(door.wait_for_waiters(1));
    const auto refused = client.ask(post);
    CHECK(refused.result() == status::service_unavailable);
    CHECK(refused["Retry-After"] == "9");
    CHECK(handled == 1);
    door.open();
    REQUIRE(test::eventually([&] { return running.counters().left == 0; }));
    CHECK(client.ask(post).result() == status::created);
    REQUIRE(test::eventually([&] { return running.counters().left == 0; }));
    CHECK(client.get("/none").result() == status::not_found);  // and gives back what it took
    CHECK(client.get("/none").result() == status::not_found);
    CHECK(running.stop().clean());
    CHECK(handled == 2);
    const auto counted = running.counters();
    CHECK(counted.completed == 4);
    CHECK(counted.left == 0);
    CHECK(counted.registered == counted.completed + counted.refused + counted.discarded);
}

TEST_CASE("limit_body and limit_header answer what is longer, and nothing else") {
    test::running_server running;
    running.server.use(postlude::http::limit_body(5));
    running.server.use(postlude::http::limit_header(200));
    running.server.post("/",
                        [](const request& req, deferred&) { return text(status::ok, req.body()); });
    running.start();
    auto client = running.connect();
    const auto post = [&](std::string body, std::string more = "") {
        return client.ask("POST / HTTP/1.1\r\nHost: t\r\n" + more +
                          "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
    };
    CHECK(post("12345").body() == "12345");
    CHECK(post("123456").result() == status::payload_too_large);
    const std::string head = "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\nX: \r\n\r\n";
    const auto with_header_of = [&](std::size_t n) {
        return post("1", "X: " + std::string(n - head.size(), 'x') + "\r\n");
    };
    CHECK(with_header_of(200).result() == status::ok);
    CHECK(with_header_of(201).result() == status::request_header_fields_too_large);
    CHECK(post("12345").body() == "12345");
}

TEST_CASE("request_id and access_log, the middleware, serve a router without a server") {
    const test::captured_log lines;
    test::running_server running;
    running.server.use(postlude::http::request_id());
    running.server.use(postlude::http::access_log(lines.logger()));
    running.server.get("/a/{x}", [](const request&, deferred& after) {
        after.run([] {});
        after.run([] {});
        return text(status::accepted, "x");
    });
    running.server.get("/throws", [](const request&, deferred&) -> response {
        throw std::runtime_error("no luck");
    });
    running.server.stream(postlude::http::verb::get, "/stream",
                          [](postlude::http::exchange& e) -> awaitable<void> {
                              e.after().run([] {});
                              co_await e.respond(text(status::created, "x"));
                          });
    running.start();
    auto client = running.connect();
    CHECK(client.get("/a/%22b?secret", "X-Request-Id: id-1\r\n")["X-Request-Id"] == "id-1");
    client.get("/throws", "X-Request-Id: id-2\r\n");
    client.get("/none", "X-Request-Id: id-3\r\n");
    CHECK(client.get("/stream", "X-Request-Id: id-4\r\n").result() == status::created);
    running.stop();
    CHECK(lines.count({"\"GET /a/%22b\" 202 - ", " ms 2 tasks id-1"}) == 1);
    CHECK(lines.count({"\"GET /throws\" 500 - ", " ms 0 tasks id-2"}) == 1);
    CHECK(lines.count({"\"GET /none\" 404 - ", " ms 0 tasks id-3"}) == 1);
    CHECK(lines.count({"\"GET /stream\" 201 - ", " ms 1 tasks id-4"}) == 1);
    CHECK(lines.count({""}) == 4);
}

namespace {

/// The lines of a server's access log, each without the logger's own prefix.
struct logged_server {
    explicit logged_server(server_options options = {}) : running(with(lines, std::move(options))) {
        running.server.get("/", [](const request&, deferred& after) {
            after.run([] {});
            return text(status::ok, "hello");
        });
    }
    static server_options with(const test::captured_log& lines, server_options options) {
        options.access_log = lines.logger();
        options.header_timeout = 1s;
        return options;
    }
    /// @param parts all in one line.
    void check_line(std::initializer_list<std::string_view> parts) const {
        INFO(*(parts.end() - 1));
        CHECK(test::eventually([&] { return lines.count(parts) == 1; }));
    }

    test::captured_log lines;
    test::running_server running;
};

}  // namespace

TEST_CASE("the server's access log has one line for each response, with what was really sent") {
    logged_server logged;
    auto& running = logged.running;
    running.server.get("/large", [](const request&, deferred&) {
        return text(status::ok, std::string(1'000'000, 'x'));
    });
    running.server.stream(postlude::http::verb::get, "/stream",
                          [](postlude::http::exchange& e) -> awaitable<void> {
                              e.after().run([] {});
                              e.after().run([] {});
                              co_await e.begin(response(status::ok, 11));
                              co_await e.write("hello, ");
                              co_await e.write("world");
                          });
    running.start();
    const auto bytes_of = [&](std::string_view request) {
        auto client = running.connect();
        client.send(request);
        client.shutdown_send();
        return " " + std::to_string(client.read_to_end().size()) + " ";
    };
    const auto small = bytes_of("GET /?a=secret HTTP/1.1\r\nHost: t\r\nX-Request-Id: a-1\r\n\r\n");
    logged.check_line({"127.0.0.1 \"GET /\" 200" + small, " ms 1 tasks a-1"});
    CHECK(logged.lines.count({"secret"}) == 0);
    const auto head = bytes_of("HEAD / HTTP/1.1\r\nHost: t\r\nX-Request-Id: a-2\r\n\r\n");
    logged.check_line({"\"HEAD /\" 200" + head, " tasks a-2"});
    const auto large = bytes_of("GET /large HTTP/1.1\r\nHost: t\r\nX-Request-Id: a-3\r\n\r\n");
    logged.check_line({"\"GET /large\" 200" + large, " ms 0 tasks a-3"});
    const auto stream = bytes_of("GET /stream HTTP/1.1\r\nHost: t\r\nX-Request-Id: a-4\r\n\r\n");
    logged.check_line({"\"GET /stream\" 200" + stream, " ms 2 tasks a-4"});
    const auto bad = bytes_of("nonsense\r\n\r\n");
    logged.check_line({"127.0.0.1 \"- -\" 400" + bad, " ms 0 tasks "});
    {
        auto client = running.connect();
        client.send("GET / HTTP/1.1\r\n");
        CHECK(client.read()->result() == status::request_timeout);
    }
    logged.check_line({"\"- -\" 408 "});
    CHECK(logged.lines.count({""}) == 6);
}

TEST_CASE("no path can forge a line of the access log") {
    logged_server logged;
    logged.running.start();
    auto client = logged.running.connect();
    client.get("/a\"b\\c%0d%0a127.0.0.1", "X-Request-Id: f-1\r\n");
    logged.check_line({R"("GET /a\x22b\x5cc%0d%0a127.0.0.1" 404)", "f-1"});
    client.get("/", "X-Request-Id: a b\r\n");  // no valid id: another one is made
    CHECK(test::eventually([&] { return logged.lines.count({""}) == 2; }));
    CHECK(logged.lines.count({"a b"}) == 0);
}
