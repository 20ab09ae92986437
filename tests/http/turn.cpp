// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
// What a server with one thread does with requests that come together.
#include "http/turn.hpp"

#include "support/catch.hpp"
#include "support/eventually.hpp"
#include "support/running_server.hpp"

#include <sys/ioctl.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <chrono>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using postlude::deferred;
using postlude::http::request;
using postlude::http::status;
using postlude::http::text;

namespace {

constexpr std::size_t connections = 100;

std::size_t number(std::string_view digits) {
    std::size_t n = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), n);
    return n;
}

std::string request_for(std::string_view target) {
    return "GET " + std::string(target) + " HTTP/1.1\r\nHost: test\r\n\r\n";
}

/// Keeps the thread that serves busy until it says that all requests have been sent.
class gate {
public:
    void wait() const {
        while (!open_) {
            std::this_thread::sleep_for(1ms);
        }
    }
    void open() { open_ = true; }

private:
    std::atomic<bool> open_{false};
};

/// That tells how many bytes have come to it. Between two ends of one machine, what was sent has
/// come.
class watched_client : public test::http_client {
public:
    using test::http_client::http_client;
    std::size_t arrived() const noexcept {
        int bytes = 0;
        ::ioctl(descriptor(), FIONREAD, &bytes);
        return static_cast<std::size_t>(bytes);
    }
};

/// So that all that is sent meanwhile comes together.
test::http_client hold(test::running_server& running, std::string_view target = "/hold") {
    auto holder = running.connect();
    holder.send(request_for(target));
    return holder;
}

}  // namespace

TEST_CASE("of requests that come together, no task starts before its own response has gone") {
    test::running_server running;
    std::vector<watched_client> clients;
    std::atomic<std::size_t> started{0};
    std::atomic<std::size_t> early{0};
    gate all_sent;
    running.server.get("/hold", [&](const request&, deferred&) {
        all_sent.wait();
        return text(status::ok, "held");
    });
    running.server.get("/of/{client}", [&](const request& req, deferred& after) {
        const auto i = number(req.param("client"));
        after.run([&, i] {
            early += clients[i].arrived() != 0 ? 0 : 1;
            ++started;
        });
        return text(status::ok, std::to_string(i));
    });
    running.start();
    for (std::size_t i = 0; i < connections; ++i) {
        clients.emplace_back(running.server.port());
        clients.back().get("/none");
    }
    auto holder = hold(running);
    for (std::size_t i = 0; i < connections; ++i) {
        clients[i].send(request_for("/of/" + std::to_string(i)));
    }
    all_sent.open();
    CHECK(holder.read()->body() == "held");
    REQUIRE(test::eventually([&] { return started == connections; }));
    CHECK(early == 0);
    for (std::size_t i = 0; i < connections; ++i) {
        CHECK(clients[i].read()->body() == std::to_string(i));
        CHECK(clients[i].get("/of/" + std::to_string(i)).body() == std::to_string(i));
    }
    CHECK(running.stop().clean());
}

TEST_CASE("requests that come together are answered each for itself, whatever the others do") {
    test::running_server running;
    gate all_sent;
    running.server.get("/hold", [&](const request&, deferred&) {
        all_sent.wait();
        return text(status::ok, "held");
    });
    running.server.get("/plain",
                       [](const request&, deferred&) { return text(status::ok, "plain"); });
    running.server.get("/large", [](const request&, deferred&) {
        return text(status::ok, std::string(8 << 20, 'x'));
    });
    running.server.get("/throws", [](const request&, deferred&) -> postlude::http::response {
        throw std::runtime_error("on purpose");
    });
    running.server.get(
        "/coroutine",
        [](const request&, deferred&) -> boost::asio::awaitable<postlude::http::response> {
            co_return text(status::ok, "coroutine");
        });
    running.server.post("/body",
                        [](const request& req, deferred&) { return text(status::ok, req.body()); });
    running.start();

    struct kind {
        std::string bytes;
        unsigned status;
        std::size_t size;
    };
    const std::vector<kind> kinds{
        {request_for("/plain"), 200, 5},
        {request_for("/large"), 200, 8 << 20},
        {request_for("/throws"), 500, 0},
        {request_for("/coroutine"), 200, 9},
        {"POST /body HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nbody", 200, 4},
        {"bad request\r\n\r\n", 400, 0},
        {"\r\n\r\n" + request_for("/plain"), 200, 5},
        {"GET /plain HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n", 200, 5},
    };
    std::vector<watched_client> clients;
    for (std::size_t i = 0; i < connections; ++i) {
        clients.emplace_back(running.server.port());
        clients.back().get("/none");
    }
    auto holder = hold(running);
    for (std::size_t i = 0; i < connections; ++i) {
        clients[i].send(kinds[i % kinds.size()].bytes);
    }
    // Those that have gone meanwhile, among them.
    for (std::size_t i = 0; i < 20; ++i) {
        auto gone = running.connect();
        gone.send(request_for("/large"));
    }
    all_sent.open();
    CHECK(holder.read()->body() == "held");
    for (std::size_t i = 0; i < connections; ++i) {
        const auto& expected = kinds[i % kinds.size()];
        const auto got = clients[i].read();
        REQUIRE(got);
        CHECK(got->result_int() == expected.status);
        if (expected.size != 0) {
            CHECK(got->body().size() == expected.size);
        }
    }
    CHECK(running.stop().clean());
}

TEST_CASE("where handlers take their time, responses do not wait for each other") {
    test::running_server running;
    constexpr std::size_t many = 32;
    std::vector<watched_client> clients;
    std::atomic<std::size_t> handled{0};
    std::atomic<std::size_t> written_before{0};
    std::array<gate, 4> all_sent;
    running.server.get("/hold/{round}", [&](const request& req, deferred&) {
        all_sent.at(number(req.param("round"))).wait();
        return text(status::ok, "held");
    });
    running.server.get("/slow", [&](const request&, deferred&) {
        // How many of the others have their response already?
        std::size_t written = 0;
        for (const auto& client : clients) {
            written += client.arrived() != 0 ? 1 : 0;
        }
        std::this_thread::sleep_for(2ms);
        if (++handled % many == 0) {
            written_before = written;
        }
        return text(status::ok, "slow");
    });
    running.start();
    for (std::size_t i = 0; i < many; ++i) {
        clients.emplace_back(running.server.port());
        clients.back().get("/none");
    }
    for (std::size_t round = 0; round != all_sent.size(); ++round) {
        auto holder = hold(running, "/hold/" + std::to_string(round));
        for (auto& client : clients) {
            client.send(request_for("/slow"));
        }
        all_sent[round].open();
        CHECK(holder.read()->body() == "held");
        REQUIRE(test::eventually([&] {
            return std::ranges::all_of(clients, [](auto& c) { return c.arrived() != 0; });
        }));
        for (auto& client : clients) {
            client.read();
        }
    }
    CHECK(written_before >= many - 2);
    CHECK(running.stop().clean());
}
