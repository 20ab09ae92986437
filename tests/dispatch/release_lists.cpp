// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/dispatch/detail/release_lists.hpp"

#include "postlude/dispatch/deferred.hpp"
#include "support/catch.hpp"
#include "support/eventually.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>

#include <atomic>
#include <deque>
#include <memory>
#include <thread>

namespace asio = boost::asio;
using postlude::deferred;
using postlude::dispatcher;
using postlude::pending_response;

namespace {

/// One request whose task adds one, released behind `executor`'s loop.
template <class Executor>
void request(dispatcher& d, std::atomic<int>& ran, const Executor& executor) {
    deferred after(d);
    after.run([&ran] { ++ran; });
    pending_response response(after, 200);
    response.end({});
    response.release(executor);
}

/// Whether everything in the pool has run, and what was counted then.
int settled(dispatcher& d, std::atomic<int>& ran) {
    std::atomic<bool> passed{false};
    CHECK_FALSE(d.try_run([&] { passed = true; }));
    CHECK(test::eventually([&] { return passed.load(); }));
    return ran;
}

}  // namespace

TEST_CASE("tasks are handed over behind what the event loop has to do already") {
    dispatcher d({.pool = {.threads = 1}});
    std::atomic<int> ran{0};
    asio::io_context loop;
    const auto plain = loop.get_executor();
    const auto strand = asio::make_strand(loop);
    const asio::any_io_executor any = plain;
    const asio::any_io_executor any_strand = strand;
    const auto strand_of_any = asio::make_strand(any);
    const asio::any_io_executor any_strand_of_any = strand_of_any;
    const auto check = [&](const auto& executor) {
        ran = 0;
        int seen = -1;
        asio::post(loop, [&] {
            request(d, ran, executor);
            request(d, ran, executor);
            // Like the read of the next request: it was queued before the tasks are handed over.
            asio::defer(loop, [] {});
        });
        asio::post(loop, [&] { seen = settled(d, ran); });
        loop.restart();
        loop.run();
        CHECK(seen == 0);
        CHECK(test::eventually([&] { return ran == 2; }));
    };
    check(plain);
    check(strand);
    check(any);
    check(any_strand);
    check(strand_of_any);
    check(any_strand_of_any);
}

TEST_CASE("a loop that does not run holds up no work but its own") {
    dispatcher d({.pool = {.threads = 1}});
    std::atomic<int> stopped_ran{0};
    std::atomic<int> ran{0};
    asio::io_context stopped;
    asio::io_context running;
    request(d, stopped_ran, stopped.get_executor());
    for (int i = 0; i < 3; ++i) {
        request(d, ran, running.get_executor());
    }
    running.run();
    CHECK(test::eventually([&] { return ran == 3; }));
    CHECK(settled(d, stopped_ran) == 0);
    stopped.run();
    CHECK(test::eventually([&] { return stopped_ran == 1; }));
}

TEST_CASE("a busy strand holds up nobody else's work on its loop") {
    dispatcher d({.pool = {.threads = 1}});
    std::atomic<int> ran{0};
    asio::io_context loop;
    test::door door;
    const test::door_opener opener(door);
    const auto strand = asio::make_strand(loop);
    asio::post(strand, [&, door] {
        asio::post(strand, [door] { door.wait(); });
        request(d, ran, strand);
    });
    std::jthread first([&] { loop.run(); });
    std::jthread second([&] { loop.run(); });
    REQUIRE(door.wait_for_waiters(1));
    CHECK(test::eventually([&] { return ran == 1; }));
    door.open();
}

TEST_CASE("tasks run although their loop is destroyed before it could hand them over") {
    dispatcher d({.pool = {.threads = 1}});
    std::atomic<int> ran{0};
    {
        asio::io_context loop;
        request(d, ran, loop.get_executor());
        request(d, ran, loop.get_executor());
        CHECK(settled(d, ran) == 0);
    }
    CHECK(test::eventually([&] { return ran == 2; }));
}

TEST_CASE("shutdown runs what a stopped loop still holds") {
    asio::io_context loop;
    std::atomic<int> ran{0};
    {
        dispatcher d({.pool = {.threads = 1}});
        request(d, ran, loop.get_executor());
        CHECK(d.shutdown(test::patience).clean());
        CHECK(ran == 1);
    }
    // The dispatcher is gone; its late hand-over finds nothing.
    loop.run();
    CHECK(ran == 1);
}

TEST_CASE("more loops than there are lists are served at once") {
    dispatcher d({.pool = {.threads = 1}});
    std::atomic<int> ran{0};
    std::deque<asio::io_context> loops;
    for (int i = 0; i < 80; ++i) {
        request(d, ran, loops.emplace_back().get_executor());
    }
    CHECK(test::eventually([&] { return ran == 16; }));
    for (auto& loop : loops) {
        loop.run();
    }
    CHECK(test::eventually([&] { return ran == 80; }));
}

TEST_CASE("other execution contexts work too") {
    dispatcher d({.pool = {.threads = 1}});
    std::atomic<int> ran{0};
    asio::thread_pool loop(1);
    request(d, ran, loop.get_executor());
    CHECK(test::eventually([&] { return ran == 1; }));
    loop.join();
}
