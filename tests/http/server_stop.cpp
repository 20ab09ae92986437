// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
// The end of a server: by a call, and by signals to a process of its own.
#include "postlude/http/server.hpp"

#include "postlude/http/exchange.hpp"
#include "support/catch.hpp"
#include "support/child_program.hpp"
#include "support/running_server.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <atomic>
#include <set>
#include <thread>

using namespace std::chrono_literals;
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

class serve : public test::child_program {
public:
    explicit serve(std::vector<std::string> arguments)
        : child_program(with_path(std::move(arguments))) {}

    unsigned short port() const {
        REQUIRE(test::eventually([this] { return !values("port").empty(); }));
        return static_cast<unsigned short>(std::stoi(values("port")[0]));
    }

private:
    static std::vector<std::string> with_path(std::vector<std::string> arguments) {
        arguments.insert(arguments.begin(), PROGRAM_SERVE);
        return arguments;
    }
};

/// Clients that ask for /work, each on connections that it keeps, until nobody listens any more.
class load {
public:
    load(unsigned short port, int clients) {
        for (int i = 0; i < clients; ++i) {
            threads_.emplace_back([this, port, i] { ask_until_refused(port, i); });
        }
    }
    std::size_t answered() const {
        const std::lock_guard lock(mutex_);
        return answered_.size();
    }
    /// The ids of the requests that were answered, after all clients have ended.
    std::set<std::string> finish() {
        threads_.clear();
        CHECK(broken_ == 0);
        return answered_;
    }

private:
    void ask_until_refused(unsigned short port, int who) {
        try {
            for (int n = 0;;) {
                test::http_client client(port);
                for (bool open = true; open; ++n) {
                    const auto id = std::to_string(who) + "-" + std::to_string(n);
                    client.send("GET /work HTTP/1.1\r\nHost: test\r\nX-Request-Id: " + id +
                                "\r\n\r\n");
                    const auto got = client.read();
                    open = got && got->keep_alive();
                    if (got) {
                        const std::lock_guard lock(mutex_);
                        answered_.insert(id);
                    }
                }
            }
        } catch (const std::system_error& e) {
            // Reset: it came between the last look at the system's backlog and the socket's end.
            const bool nobody_listens = e.code() == std::errc::connection_refused ||
                                        e.code() == std::errc::connection_reset;
            broken_ += nobody_listens ? 0 : 1;
        } catch (const std::exception&) {
            ++broken_;  // a response that was cut
        }
    }

    mutable std::mutex mutex_;
    std::set<std::string> answered_;
    std::atomic<int> broken_{0};
    std::vector<std::jthread> threads_;
};

std::set<std::string> set_of(const std::vector<std::string>& values) {
    return {values.begin(), values.end()};
}

}  // namespace

TEST_CASE("a stop closes silent connections and answers what has begun to arrive") {
    test::running_server running;
    running.server.get("/", [](const request&, deferred&) { return text(status::ok, "x"); });
    running.start();
    auto silent = running.connect();
    auto begun = running.connect();
    auto next = running.connect();
    CHECK(next.get("/").keep_alive());
    begun.send("GET / HTTP/1.1\r\nHo");
    // Once it is there, the connection of this later request has been accepted behind it.
    CHECK(running.connect().get("/").body() == "x");

    std::jthread stopper([&] { CHECK(running.stop().clean()); });
    CHECK(silent.ended());
    CHECK(next.ended());
    const auto got = begun.ask("st: test\r\n\r\n");
    CHECK(got.body() == "x");
    CHECK(!got.keep_alive());
    CHECK(begun.ended());
}

TEST_CASE("during a stop, responses in flight are finished and may still register work") {
    test::running_server running;
    test::door door;
    const test::door_opener opener(door);
    std::atomic<int> ran{0};
    running.server.get("/", [&](const request&, deferred& after) {
        door.wait();
        after.run([&] { ++ran; });
        return text(status::ok, "in time");
    });
    running.start();
    auto client = running.connect();
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\nGET / HTTP/1.1\r\nHost: test\r\n\r\n");
    REQUIRE(door.wait_for_waiters(1));
    std::jthread stopper([&] { CHECK(running.stop().clean()); });
    REQUIRE(test::eventually([&] { return running.log.count({"stopping"}) == 1; }));
    door.open();

    const auto first = client.read();
    REQUIRE(first);
    CHECK(first->body() == "in time");
    const auto pipelined = client.read();
    REQUIRE(pipelined);
    CHECK(pipelined->body() == "in time");
    CHECK(!pipelined->keep_alive());
    CHECK(client.ended());
    stopper.join();
    CHECK(ran == 2);
    CHECK(running.counters().completed == 2);
}

TEST_CASE("a stop goes on though a function given to on_stop throws what is no exception") {
    test::running_server running;
    std::atomic<bool> waits{false};
    running.server.stream(verb::get, "/", [&](exchange& e) -> boost::asio::awaitable<void> {
        boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor, 1h);
        e.on_stop([&timer] {
            timer.cancel();
            throw 1;
        });
        waits = true;
        co_await timer.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
        co_await e.respond(text(status::ok, "in time"));
    });
    running.start();
    auto client = running.connect();
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    REQUIRE(test::eventually([&] { return waits.load(); }));
    CHECK(running.stop().clean());
    CHECK(client.read()->body() == "in time");
    CHECK(running.log.count({"exchange::on_stop failed", "no std::exception"}) == 1);
}

TEST_CASE("a thread goes on serving though something on its loop throws what is no exception") {
    test::running_server running;
    running.server.get("/", [](const request&, deferred&) -> boost::asio::awaitable<response> {
        boost::asio::post(co_await boost::asio::this_coro::executor, [] { throw 1; });
        co_return text(status::ok, "x");
    });
    running.start();
    CHECK(running.connect().get("/").body() == "x");
    CHECK(running.connect().get("/").body() == "x");
    CHECK(running.stop().clean());
    CHECK(running.log.count({"a thread that serves threw", "no std::exception"}) == 2);
}

TEST_CASE("a coroutine that does not end in time is cancelled, and its list abandoned") {
    server_options options;
    options.drain = 5s;
    test::running_server running(std::move(options));
    std::atomic<bool> handled{false};
    std::atomic<bool> failed{false};
    std::atomic<bool> waits{false};
    running.server.get(
        "/slow", [&](const request&, deferred& after) -> boost::asio::awaitable<response> {
            after.run([&] { handled = true; });
            after.run([&] { failed = true; }, {.when = when::failed});
            boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor, 1h);
            waits = true;
            co_await timer.async_wait(boost::asio::use_awaitable);
            co_return response{};
        });
    running.start();
    auto client = running.connect();
    client.send("GET /slow HTTP/1.1\r\nHost: test\r\nX-Request-Id: slow-1\r\n\r\n");
    REQUIRE(test::eventually([&] { return waits.load(); }));
    CHECK(running.stop().clean());
    CHECK(client.ended());
    CHECK(failed);
    CHECK(!handled);
    CHECK(running.log.count({"/slow", "did not end in time", "slow-1"}) == 1);
}

TEST_CASE("a handler that does not return holds up neither the stop nor the others' work") {
    server_options options;
    options.threads = 2;
    options.drain = 500ms;
    test::door door;
    std::atomic<bool> returned{false};
    {
        test::running_server running(std::move(options));
        running.server.get("/stuck", [&, door](const request&, deferred&) {
            door.wait();
            returned = true;
            return text(status::ok, "late");
        });
        running.start();
        auto client = running.connect();
        client.send("GET /stuck HTTP/1.1\r\nHost: test\r\n\r\n");
        REQUIRE(door.wait_for_waiters(1));
        CHECK(running.stop().clean());
        CHECK(running.log.count({"1 threads are left"}) == 1);
    }
    door.open();
    CHECK(test::eventually([&] { return returned.load(); }));
}

TEST_CASE("SIGTERM under load: each accepted request is answered, and each of its tasks runs") {
    serve server({"50000", "0"});
    load clients(server.port(), 8);
    REQUIRE(test::eventually([&] { return clients.answered() > 2'000; }));
    server.send_signal(SIGTERM);
    CHECK(server.wait() == 0);
    const auto answered = clients.finish();
    CHECK(server.values("handled") == std::vector{std::to_string(answered.size())});
    CHECK(server.values("ran").size() == answered.size());
    CHECK(set_of(server.values("ran")) == answered);
    CHECK(server.values("lost").empty());
}

TEST_CASE("SIGTERM with more work than time: each accepted task has run or is named in the log") {
    serve server({"5000", "50"});
    load clients(server.port(), 8);
    REQUIRE(test::eventually([&] { return clients.answered() > 1'000; }));
    server.send_signal(SIGTERM);
    CHECK(server.wait() == 0);
    const auto answered = clients.finish();
    CHECK(server.values("handled") == std::vector{std::to_string(answered.size())});
    const auto lost = set_of(server.values("lost"));
    CHECK(!lost.empty());
    auto known = set_of(server.values("ran"));
    known.insert(lost.begin(), lost.end());
    CHECK(known == answered);
    for (const auto& id : lost) {
        CHECK(server.count({"task 'work' is lost", "(request " + id + ","}) == 1);
    }
}

TEST_CASE("a second signal ends the process at once, with 128 and the signal's number") {
    const auto signal = GENERATE(SIGTERM, SIGINT);
    serve server({"600000", "0"});
    CHECK(test::http_client(server.port()).get("/hang").body() == "done");
    REQUIRE(test::eventually([&] { return !server.values("hangs").empty(); }));
    server.send_signal(signal);
    REQUIRE(test::eventually([&] { return server.count({"stopping: "}) == 1; }));
    server.send_signal(signal);
    CHECK(server.wait() == 128 + signal);
    CHECK(server.count({"ended at once"}) == 1);
}

TEST_CASE("a server that ran out of file descriptors serves again when there are some") {
    serve server({"10000", "0", "40"});
    {
        std::vector<test::http_client> clients;
        for (int i = 0; i < 60; ++i) {
            clients.emplace_back(server.port());
        }
        REQUIRE(test::eventually([&] { return server.count({"cannot accept"}) >= 1; }));
    }
    CHECK(test::http_client(server.port()).get("/work").body() == "done");
    server.send_signal(SIGTERM);
    CHECK(server.wait() == 0);
}
