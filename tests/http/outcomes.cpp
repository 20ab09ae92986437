// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
// Every condition against everything that a request can come to.
#include "postlude/http/respond.hpp"

#include "support/catch.hpp"
#include "support/eventually.hpp"
#include "support/running_server.hpp"

#include <boost/beast/_experimental/test/stream.hpp>

#include <mutex>
#include <set>
#include <stdexcept>
#include <string>

using postlude::deferred;
using postlude::when;
using postlude::http::request;
using postlude::http::response;
using postlude::http::status;
using postlude::http::text;

namespace {

enum class client {
    reads_all,
    gone_before,  ///< resets the connection before the response is written
    gone_during,  ///< after the first megabyte of sixteen
    gone_after,   ///< when it has read everything
};

using conditions = std::set<when>;
const conditions succeeded{when::handled, when::sent, when::always};
const conditions unsent{when::handled, when::always};
const conditions failed{when::failed, when::always};

struct row {
    const char* name;
    const char* target;
    client behaviour;
    conditions runs;
};

const row rows[] = {
    {"200", "/ok", client::reads_all, succeeded},
    {"200, client gone before the write", "/held", client::gone_before, unsent},
    {"200, client gone during the write", "/large", client::gone_during, unsent},
    {"200, client gone after the write", "/ok", client::gone_after, succeeded},
    {"404", "/missing", client::reads_all, failed},
    {"404, client gone before the write", "/held-missing", client::gone_before, failed},
    {"500", "/broken", client::reads_all, failed},
    {"handler throws", "/throws", client::reads_all, failed},
    {"handler throws no exception", "/throws-int", client::reads_all, failed},
    {"handler throws, client gone before the write", "/held-throws", client::gone_before, failed},
    {"refused", "/refused", client::reads_all, failed},
    {"refused, client gone before the write", "/held-refused", client::gone_before, failed},
};

/// Notes which conditions ran, and how often anything did.
class recorder {
public:
    void watch(deferred& after) {
        for (const auto condition : {when::handled, when::sent, when::failed, when::always}) {
            after.run(
                [this, condition] {
                    const std::lock_guard lock(mutex_);
                    ran_.insert(condition);
                },
                {.when = condition});
        }
    }
    void check(const conditions& expected) {
        const std::lock_guard lock(mutex_);
        CHECK(conditions(ran_.begin(), ran_.end()) == expected);
        CHECK(ran_.size() == expected.size());
        ran_.clear();
    }

private:
    std::mutex mutex_;
    std::multiset<when> ran_;
};

/// What one request has added to the counters: each of its four tasks once.
void check_counted(const postlude::counters& before, const postlude::counters& now,
                   const conditions& ran) {
    CHECK(now.completed - before.completed == ran.size());
    CHECK(now.discarded - before.discarded == 4 - ran.size());
    CHECK((now.registered - now.refused) - (before.registered - before.refused) == 4);
    CHECK(now.registered == now.refused + now.discarded + now.completed);
    CHECK(now.left == 0);
}

constexpr std::uint32_t too_many = 100'000;
constexpr std::size_t large = 16 << 20;

}  // namespace

TEST_CASE("each condition runs after the outcomes that it names, whatever the client does") {
    test::running_server running;
    recorder ran;
    test::door door;
    const auto held = [&](auto handler) {
        return [&, handler](const request& req, deferred& after) {
            door.wait();
            return handler(req, after);
        };
    };
    const auto answer = [&](status code, std::size_t size = 4) {
        return [&, code, size](const request&, deferred& after) {
            ran.watch(after);
            return text(code, std::string(size, 'x'));
        };
    };
    const auto throws = [&](const request&, deferred& after) -> response {
        ran.watch(after);
        throw std::runtime_error("on purpose");
    };
    const auto refused = [&](const request&, deferred& after) {
        ran.watch(after);
        after.reserve(too_many);
        return text(status::ok, "not sent");
    };
    running.server.get("/ok", answer(status::ok));
    running.server.get("/large", answer(status::ok, large));
    running.server.get("/missing", answer(status::not_found));
    running.server.get("/broken", answer(status::internal_server_error));
    running.server.get("/throws", throws);
    running.server.get("/throws-int", [&](const request&, deferred& after) -> response {
        ran.watch(after);
        throw 42;
    });
    running.server.get("/refused", refused);
    running.server.get("/held", held(answer(status::ok)));
    running.server.get("/held-missing", held(answer(status::not_found)));
    running.server.get("/held-throws", held(throws));
    running.server.get("/held-refused", held(refused));
    running.start();

    for (const auto& row : rows) {
        INFO(row.name);
        door = test::door();
        const test::door_opener opener(door);
        const auto before = running.counters();
        test::http_client client(running.server.port());
        client.send("GET " + std::string(row.target) + " HTTP/1.1\r\nHost: test\r\n\r\n");
        switch (row.behaviour) {
        case client::reads_all: REQUIRE(client.read()); break;
        case client::gone_before:
            REQUIRE(door.wait_for_waiters(1));
            client.reset();
            door.open();
            break;
        case client::gone_during:
            client.discard(1 << 20);
            client.reset();
            break;
        case client::gone_after:
            REQUIRE(client.read());
            client.reset();
            break;
        }
        REQUIRE(test::eventually([&] {
            const auto now = running.counters();
            return now.left == 0 &&
                   now.registered - now.refused != before.registered - before.refused;
        }));
        ran.check(row.runs);
        check_counted(before, running.counters(), row.runs);
    }
    CHECK(running.stop().clean());
}

TEST_CASE("each condition runs after the outcomes that it names, whichever write fails") {
    constexpr std::size_t writes = 5;
    postlude::dispatcher dispatcher({.pool = {.threads = 1}});
    recorder ran;
    for (const unsigned code : {200U, 404U}) {
        for (std::size_t fails = 1; fails <= writes + 1; ++fails) {
            INFO("status " << code << ", write " << fails << " fails");
            const auto before = dispatcher.counters();
            boost::asio::io_context loop;
            boost::beast::test::fail_count fail(fails, boost::asio::error::broken_pipe);
            boost::beast::test::stream server(loop, fail);
            auto peer = boost::beast::test::connect(server);
            auto res = text(static_cast<status>(code), std::string(40'000, 'x'));
            server.write_size(9'000);
            boost::system::error_code result;
            {
                deferred after(dispatcher);
                ran.watch(after);
                postlude::async_respond(
                    server, res, after,
                    [&](boost::system::error_code ec, std::size_t) { result = ec; });
                loop.run();
            }
            const bool written = fails > writes;
            CHECK(result.failed() != written);
            const auto& expected = code >= 400 ? failed : written ? succeeded : unsent;
            REQUIRE(test::eventually([&] { return dispatcher.counters().left == 0; }));
            ran.check(expected);
            check_counted(before, dispatcher.counters(), expected);
        }
    }
}

TEST_CASE("a list without a response, and an operation without an end, count as well") {
    postlude::dispatcher dispatcher({.pool = {.threads = 1}});
    recorder ran;
    const auto before = dispatcher.counters();
    {
        deferred abandoned(dispatcher);
        ran.watch(abandoned);
    }
    REQUIRE(test::eventually([&] { return dispatcher.counters().left == 0; }));
    ran.check(failed);
    check_counted(before, dispatcher.counters(), failed);

    const auto before_second = dispatcher.counters();
    {
        boost::asio::io_context loop;
        boost::beast::test::stream server(loop);
        auto peer = boost::beast::test::connect(server);
        deferred after(dispatcher);
        ran.watch(after);
        auto res = text(status::ok, "never completed");
        postlude::async_respond(server, res, after, [](boost::system::error_code, std::size_t) {});
    }
    REQUIRE(test::eventually([&] { return dispatcher.counters().left == 0; }));
    ran.check(unsent);
    check_counted(before_second, dispatcher.counters(), unsent);
}
