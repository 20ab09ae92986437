// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
// The order of responses and tasks, over real sockets.
#include "postlude/http/server.hpp"

#include "support/catch.hpp"
#include "support/running_server.hpp"

#include <dlfcn.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <atomic>
#include <charconv>
#include <cstring>
#include <future>
#include <mutex>
#include <set>
#include <string>
#include <thread>

using namespace std::chrono_literals;
using postlude::deferred;
using postlude::http::request;
using postlude::http::server_options;
using postlude::http::status;
using postlude::http::text;

namespace {

constexpr std::size_t requests = 10'000;
constexpr std::string_view marker = "X-Request-Id: order-";

/// Whether the last byte of response i was handed to the kernel.
std::array<std::atomic<bool>, requests + 1> written;

/// Notes the response in bytes that the kernel has taken.
void note_written(std::string_view bytes) {
    const auto at = bytes.find(marker);
    if (at != bytes.npos && bytes.find("\r\n\r\nwhole") != bytes.npos) {
        std::size_t i = 0;
        std::from_chars(bytes.data() + at + marker.size(), bytes.data() + bytes.size(), i);
        written.at(i) = true;
    }
}

}  // namespace

// The calls by which Asio writes to a socket, as libc has them but for a note of what was written.
extern "C" ssize_t sendmsg(int fd, const msghdr* message, int flags) {
    static const auto real =
        reinterpret_cast<ssize_t (*)(int, const msghdr*, int)>(::dlsym(RTLD_NEXT, "sendmsg"));
    const auto n = real(fd, message, flags);
    if (n > 0) {
        std::string bytes;
        for (std::size_t i = 0; i < message->msg_iovlen; ++i) {
            bytes.append(static_cast<const char*>(message->msg_iov[i].iov_base),
                         message->msg_iov[i].iov_len);
        }
        note_written(std::string_view(bytes).substr(0, static_cast<std::size_t>(n)));
    }
    return n;
}

extern "C" ssize_t send(int fd, const void* data, std::size_t size, int flags) {
    static const auto real = reinterpret_cast<ssize_t (*)(int, const void*, std::size_t, int)>(
        ::dlsym(RTLD_NEXT, "send"));
    const auto n = real(fd, data, size, flags);
    if (n > 0) {
        note_written({static_cast<const char*>(data), static_cast<std::size_t>(n)});
    }
    return n;
}

TEST_CASE("of 10,000 requests, no task starts before its response was completely written") {
    server_options options;
    options.threads = 2;
    test::running_server running(std::move(options));
    std::atomic<std::size_t> started{0};
    std::atomic<std::size_t> early{0};
    const auto number_of = [](const deferred& after) {
        return static_cast<std::size_t>(
            std::stoul(std::string(after.request_id().substr(std::strlen("order-")))));
    };
    const auto check = [&started, &early](std::size_t i) {
        early += written.at(i) ? 0 : 1;
        ++started;
    };
    running.server.get("/", [&](const request&, deferred& after) {
        after.run([i = number_of(after), &check] { check(i); });
        return text(status::ok, "whole");
    });
    // What this test is to find: work that does not wait for its response.
    running.server.get("/early", [&](const request&, deferred& after) {
        std::promise<void> ran;
        const auto refused = after.get_dispatcher().try_run([&, i = number_of(after)] {
            check(i);
            ran.set_value();
        });
        ran.get_future().wait();
        return text(refused ? status::service_unavailable : status::ok, "whole");
    });
    running.start();

    std::array<std::size_t, 4> answered{};
    {
        std::array<std::jthread, 4> clients;
        for (std::size_t c = 0; c < clients.size(); ++c) {
            clients[c] = std::jthread([&, c] {
                auto client = running.connect();
                for (auto i = c; i < requests; i += clients.size()) {
                    const auto id = "order-" + std::to_string(i);
                    const auto got = client.get("/", "X-Request-Id: " + id + "\r\n");
                    answered.at(c) += got.body() == "whole" && got["X-Request-Id"] == id ? 1 : 0;
                }
            });
        }
    }
    CHECK(answered[0] + answered[1] + answered[2] + answered[3] == requests);
    REQUIRE(test::eventually([&] { return started == requests; }));
    CHECK(early == 0);

    auto client = running.connect();
    const auto last = "X-Request-Id: order-" + std::to_string(requests) + "\r\n";
    CHECK(client.get("/early", last).body() == "whole");
    CHECK(early == 1);
    CHECK(running.stop().clean());
}

TEST_CASE("a task waits for a response that its client takes slowly, and holds up no other") {
    constexpr std::size_t size = 64 << 20;
    constexpr std::size_t held_back = 32 << 20;  // more than the system keeps for a connection
    test::running_server running;
    std::atomic<bool> slow_ran{false};
    std::atomic<int> others_ran{0};
    running.server.get("/slow", [&](const request&, deferred& after) {
        after.run([&] { slow_ran = true; });
        return text(status::ok, std::string(size, 'x'));
    });
    running.server.get("/other", [&](const request&, deferred& after) {
        after.run([&] { ++others_ran; });
        return text(status::ok, "other");
    });
    running.start();

    test::http_client slow(running.server.port(), 64 * 1024);
    slow.send("GET /slow HTTP/1.1\r\nHost: test\r\n\r\n");
    slow.discard(size - held_back);
    auto client = running.connect();
    for (int i = 1; i <= 100; ++i) {
        CHECK(client.get("/other").body() == "other");
        REQUIRE(test::eventually([&] { return others_ran == i; }));
    }
    CHECK(!slow_ran);
    slow.discard(held_back);
    CHECK(test::eventually([&] { return slow_ran.load(); }));
    CHECK(running.stop().clean());
}

TEST_CASE("the next request is answered while the earlier one's task is held") {
    test::running_server running;
    test::door door;
    const test::door_opener opener(door);
    std::atomic<int> ran{0};
    running.server.get("/hold", [&](const request&, deferred& after) {
        after.run([&ran, door] {
            door.wait();
            ++ran;
        });
        return text(status::ok, "held");
    });
    running.server.get("/next", [](const request&, deferred&) { return text(status::ok, "next"); });
    running.start();
    auto client = running.connect();

    SECTION("sent after the response") {
        CHECK(client.get("/hold").body() == "held");
        REQUIRE(door.wait_for_waiters(1));
        CHECK(client.get("/next").body() == "next");
    }
    SECTION("pipelined behind it") {
        client.send(
            "GET /hold HTTP/1.1\r\nHost: test\r\n\r\nGET /next HTTP/1.1\r\nHost: test\r\n\r\n");
        CHECK(client.read()->body() == "held");
        CHECK(client.read()->body() == "next");
        REQUIRE(door.wait_for_waiters(1));
    }
    CHECK(ran == 0);
    door.open();
    CHECK(running.stop().clean());
    CHECK(ran == 1);
}

TEST_CASE("pipelined requests are answered in their order, each with a list of its own") {
    test::running_server running;
    std::mutex mutex;
    std::multiset<std::string> ran;
    running.server.post("/", [&](const request& req, deferred& after) {
        CHECK(after.size() == 0);
        after.run([&, name = req.body()] {
            const std::lock_guard lock(mutex);
            ran.insert(name);
        });
        return text(status::ok, req.body());
    });
    running.start();
    auto client = running.connect();

    constexpr int n = 1'000;
    std::string all;
    std::multiset<std::string> expected;
    for (int i = 0; i < n; ++i) {
        const auto body = std::to_string(1'000 + i);
        expected.insert(body);
        all += "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\n" + body;
    }
    std::jthread sender([&] { client.send(all); });
    for (int i = 0; i < n; ++i) {
        CHECK(client.read()->body() == std::to_string(1'000 + i));
    }
    sender.join();
    CHECK(running.stop().clean());
    CHECK(ran == expected);
}

TEST_CASE("the work of a client that has gone runs all the same") {
    test::running_server running;
    test::door door;
    const test::door_opener opener(door);
    std::atomic<bool> handled{false};
    std::atomic<bool> sent{false};
    running.server.get("/", [&](const request&, deferred& after) {
        after.run([&] { handled = true; });
        after.run([&] { sent = true; }, {.when = postlude::when::sent});
        door.wait();
        return text(status::ok, std::string(16 << 20, 'x'));
    });
    running.start();
    {
        auto client = running.connect();
        client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
        REQUIRE(door.wait_for_waiters(1));
    }
    door.open();
    CHECK(test::eventually([&] { return handled.load(); }));
    CHECK(running.stop().clean());
    CHECK(!sent);
    CHECK(running.counters().discarded == 1);
}
