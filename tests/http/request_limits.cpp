// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/http/server.hpp"

#include "support/catch.hpp"
#include "support/raw_responses.hpp"
#include "support/running_server.hpp"

#include <algorithm>
#include <atomic>
#include <vector>

using namespace std::chrono_literals;
using postlude::deferred;
using postlude::when;
using postlude::http::request;
using postlude::http::response;
using postlude::http::server_options;
using postlude::http::status;
using postlude::http::text;
using test::http_client;
using test::raw_responses;

namespace {

const std::string post = "POST / HTTP/1.1\r\nHost: t\r\n";
const std::string sized = post + "Content-Length: 200000\r\n\r\n";
const std::string chunked = post + "Transfer-Encoding: chunked\r\n\r\n";

/// A server that has less patience than the test, and counts what it handles.
struct impatient_server : test::running_server {
    explicit impatient_server(std::chrono::seconds limit = 1s) : running_server(within(limit)) {
        const auto handler = [this](const request& req, deferred& after) {
            ++handled;
            after.run([this] { ++tasks; });
            return text(status::ok, std::to_string(req.body().size()));
        };
        server.get("/", handler);
        server.post("/", handler);
    }

    static server_options within(std::chrono::seconds limit) {
        server_options options;
        options.header_timeout = limit;
        options.body_timeout = limit;
        options.write_timeout = limit;
        options.keep_alive_timeout = limit;
        return options;
    }

    std::atomic<int> handled{0};
    std::atomic<int> tasks{0};
};

/// What comes until the end of the connection is one 408.
void check_timed_out(http_client& client) {
    const auto got = client.read_to_end();
    INFO(got);
    const auto all = raw_responses::parse(got);
    REQUIRE(all.size() == 1);
    CHECK(all[0].status == 408);
    CHECK(all[0]["Connection"] == "close");
    CHECK(all[0].count("X-Request-Id") == 1);
}

}  // namespace

TEST_CASE("a request that stops anywhere is answered with 408, and holds nobody else up") {
    impatient_server running;
    running.start();
    const auto stops = {
        std::string("G"),
        std::string("GET / HTTP/1.1\r"),
        std::string("GET / HTTP/1.1\r\n"),
        std::string("GET / HTTP/1.1\r\nHost"),
        std::string("GET / HTTP/1.1\r\nHost: t\r\n"),
        std::string("GET / HTTP/1.1\r\nHost: t\r\n\r"),
        std::string(sized),
        sized + "x",
        sized + std::string(100'000, 'x'),
        chunked,
        chunked + "5",
        chunked + "5;a",
        chunked + "5\r\n",
        chunked + "5\r\nhell",
        chunked + "5\r\nhello",
        chunked + "5\r\nhello\r\n",
        chunked + "5\r\nhello\r\n0\r\n",
        chunked + "5\r\nhello\r\n0\r\nX: y",
        chunked + "5\r\nhello\r\n0\r\nX: y\r\n",
    };
    std::vector<http_client> clients;
    for (const auto& bytes : stops) {
        clients.push_back(running.connect());
        clients.back().send(bytes);
    }
    CHECK(running.connect().get("/").result() == status::ok);
    auto sent = stops.begin();
    for (auto& client : clients) {
        INFO(*sent++);
        check_timed_out(client);
    }
    CHECK(running.handled == 1);
    CHECK(running.stop().clean());
    CHECK(running.tasks == 1);
}

TEST_CASE("a header, a body or a trailer that comes byte by byte is answered with 408 in time") {
    impatient_server running;
    running.start();
    const auto since = std::chrono::steady_clock::now();
    std::vector<http_client> clients;
    for (const auto& begin : {std::string("GET / HTTP/1.1\r\nX: "), sized,
                              chunked + "5;a=", chunked + "5\r\nhello\r\n0\r\nX: "}) {
        clients.push_back(running.connect());
        clients.back().send(begin);
    }
    const auto waits = [](http_client& client) { return !client.readable(20ms); };
    while (std::ranges::any_of(clients, waits) &&
           std::chrono::steady_clock::now() - since < test::patience) {
        for (auto& client : clients) {
            client.send("x");
        }
    }
    CHECK(std::chrono::steady_clock::now() - since >= 900ms);
    for (auto& client : clients) {
        check_timed_out(client);
    }
    CHECK(running.handled == 0);
}

TEST_CASE("a body that comes steadily may take longer than the limit for its parts") {
    constexpr auto limit = 6s;
    constexpr auto pause = 2s;
    impatient_server running(limit);
    running.start();
    auto client = running.connect();
    const std::string part(64 * 1024, 'x');
    client.send(post + "Content-Length: " + std::to_string(5 * part.size()) + "\r\n\r\n");
    for (int i = 0; i < 4; ++i) {
        client.send(part);
        CHECK(!client.readable(pause));
    }
    CHECK(client.ask(part).body() == std::to_string(5 * part.size()));
}

TEST_CASE(
    "a client that does not read its response is cut off, and the handler's work still runs") {
    constexpr std::size_t size = 32 * 1024 * 1024;
    std::atomic<int> handled{0};
    std::atomic<int> sent{0};
    impatient_server running;
    running.server.get("/large", [&](const request&, deferred& after) {
        after.run([&] { ++handled; });
        after.run([&] { ++sent; }, {.when = when::sent});
        return text(status::ok, std::string(size, 'x'));
    });
    running.start();
    http_client client(running.server.port(), 4'096);
    client.send("GET /large HTTP/1.1\r\nHost: t\r\n\r\n");
    CHECK(running.connect().get("/").result() == status::ok);
    REQUIRE(test::eventually([&] { return handled == 1; }));
    CHECK(client.read_to_end().size() < size);
    CHECK(running.stop().clean());
    CHECK(sent == 0);
}

TEST_CASE("a connection that is silent between requests ends without a word") {
    impatient_server running;
    running.start();
    const auto since = std::chrono::steady_clock::now();
    auto fresh = running.connect();
    auto used = running.connect();
    CHECK(used.get("/").result() == status::ok);
    CHECK(fresh.read_to_end().empty());
    CHECK(used.read_to_end().empty());
    CHECK(std::chrono::steady_clock::now() - since >= 900ms);
}
