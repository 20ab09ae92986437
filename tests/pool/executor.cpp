// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/pool/thread_pool.hpp"

#include "support/catch.hpp"
#include "support/eventually.hpp"
#include "support/log.hpp"

#include <boost/asio.hpp>

#include <algorithm>
#include <atomic>
#include <future>
#include <thread>

namespace asio = boost::asio;
using namespace std::chrono_literals;
using postlude::errc;
using postlude::task_context;
using postlude::task_report;
using postlude::thread_pool;

static_assert(asio::execution::is_executor<thread_pool::executor_type>::value);

TEST_CASE("asio::post, dispatch and bind_executor run on the pool's workers") {
    thread_pool pool({.threads = 1});
    std::promise<bool> posted;
    asio::post(pool, [&] { posted.set_value(pool.running_in_this_thread()); });
    CHECK(posted.get_future().get());

    std::promise<bool> inline_inside;
    asio::post(pool, [&] {
        bool ran = false;
        asio::dispatch(pool.get_executor(), [&] { ran = true; });
        inline_inside.set_value(ran);
    });
    CHECK(inline_inside.get_future().get());

    asio::io_context loop;
    asio::steady_timer timer(loop, 1ms);
    std::promise<bool> bound;
    timer.async_wait(asio::bind_executor(pool.get_executor(), [&](boost::system::error_code) {
        bound.set_value(pool.running_in_this_thread());
    }));
    loop.run();
    CHECK(bound.get_future().get());
    CHECK(pool.drain(test::patience).clean());
    // A function is counted when it has returned, and a drain does not wait for that.
    CHECK(test::eventually([&] { return pool.counters().posted == 3; }));
    CHECK(pool.counters().registered == 0);
}

TEST_CASE("an exception in a posted function is logged and ends nothing") {
    const test::captured_log log;
    std::atomic<int> hooked{0};
    thread_pool pool({.threads = 1,
                      .on_error = [&](const postlude::task_failure&) { ++hooked; },
                      .logger = log.logger()});
    asio::post(pool, [] { throw std::runtime_error("thrown in a post"); });
    std::promise<void> next;
    asio::post(pool, [&] { next.set_value(); });
    next.get_future().get();
    CHECK(test::eventually([&] { return pool.counters().posted == 2; }));
    CHECK(hooked == 1);
    CHECK(log.count({"failed: thrown in a post"}) == 1);
}

TEST_CASE("co_spawn works on the pool, with timers and sockets made on its executor") {
    thread_pool pool({.threads = 2});
    auto result = asio::co_spawn(
        pool,
        [&]() -> asio::awaitable<std::string> {
            using asio::ip::tcp;
            const auto executor = co_await asio::this_coro::executor;
            tcp::acceptor acceptor(executor, {asio::ip::address_v4::loopback(), 0});
            tcp::socket client(executor);
            client.connect(acceptor.local_endpoint());
            auto server = co_await acceptor.async_accept(asio::use_awaitable);
            asio::steady_timer timer(executor, 1ms);
            co_await timer.async_wait(asio::use_awaitable);
            co_await asio::async_write(server, asio::buffer("hello", 5), asio::use_awaitable);
            std::string read(5, '\0');
            co_await asio::async_read(client, asio::buffer(read), asio::use_awaitable);
            co_return read;
        },
        asio::use_future);
    CHECK(result.get() == "hello");
}

TEST_CASE("a coroutine that waits holds its place in the queue, but no worker") {
    thread_pool pool({.threads = 1, .default_queue = {.name = "default", .capacity = 2}});
    asio::steady_timer never(pool.get_executor(), 1h);
    std::atomic<bool> waiting{false};
    std::atomic<bool> on_worker{true};
    auto text = std::make_unique<std::string>("captured");
    std::string seen;
    // What the coroutine captured lives as long as it does.
    REQUIRE_FALSE(pool.try_run(
        [&, text = std::move(text)]() -> asio::awaitable<void> {
            waiting = true;
            boost::system::error_code ec;
            co_await never.async_wait(asio::redirect_error(asio::use_awaitable, ec));
            on_worker = pool.running_in_this_thread();
            seen = *text;
        },
        {.name = "waits"}));
    REQUIRE(test::eventually([&] { return waiting.load(); }));

    // The only worker is free for others, while the place is taken.
    std::promise<void> other;
    REQUIRE_FALSE(pool.try_run([&] { other.set_value(); }));
    other.get_future().get();
    REQUIRE(test::eventually([&] { return pool.counters().left == 1; }));
    CHECK(pool.counters().completed == 1);
    CHECK_FALSE(pool.try_run([] {}));
    REQUIRE(test::eventually([&] { return pool.counters().completed == 2; }));
    const auto running = pool.running();
    REQUIRE(running.size() == 1);
    CHECK(running[0].name == "waits");
    CHECK(running[0].state == task_report::where::suspended);

    asio::post(pool, [&] { never.cancel(); });
    REQUIRE(test::eventually([&] { return pool.counters().left == 0; }));
    CHECK(on_worker);
    CHECK(seen == "captured");
    CHECK(pool.counters().completed == 3);
    CHECK(pool.counters().posted > 0);
}

TEST_CASE("what resumes a coroutine passes a full queue") {
    thread_pool pool({.threads = 1, .default_queue = {.name = "default", .capacity = 1}});
    REQUIRE_FALSE(pool.try_run([&]() -> asio::awaitable<void> {
        for (int i = 0; i < 100; ++i) {
            co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
        }
    }));
    CHECK(test::eventually([&] { return pool.counters().completed == 1; }));
    CHECK(pool.counters().posted >= 100);
}

TEST_CASE("a coroutine that throws fails like any task") {
    const test::captured_log log;
    thread_pool pool({.threads = 1, .logger = log.logger()});
    REQUIRE_FALSE(pool.try_run(
        [](task_context& context) -> asio::awaitable<void> {
            co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
            context.checkpoint();
            throw std::runtime_error("late failure");
        },
        {.name = "coroutine"}));
    // It may also throw before it is a coroutine.
    REQUIRE_FALSE(
        pool.try_run([]() -> asio::awaitable<void> { throw std::runtime_error("early failure"); },
                     {.name = "no coroutine"}));
    CHECK(pool.drain(test::patience).clean());
    CHECK(pool.counters().failed == 2);
    CHECK(log.count({"'coroutine' failed", "late failure"}) == 1);
    CHECK(log.count({"'no coroutine' failed", "early failure"}) == 1);
}

TEST_CASE("a coroutine over its limit is cancelled where it waits, and has failed") {
    const test::captured_log log;
    thread_pool pool({.threads = 1,
                      .default_queue = {.name = "default", .run_limit = 40ms},
                      .logger = log.logger()});
    REQUIRE_FALSE(pool.try_run(
        []() -> asio::awaitable<void> {
            asio::steady_timer never(co_await asio::this_coro::executor, 1h);
            co_await never.async_wait(asio::use_awaitable);
        },
        {.name = "waits for ever"}));
    CHECK(test::eventually([&] { return pool.counters().failed == 1; }));
    CHECK(log.count({"'waits for ever' is still", "limit is 40 ms"}) >= 1);
}

TEST_CASE("a drain cancels a waiting coroutine, names it and counts it once") {
    thread_pool pool({.threads = 1});
    std::atomic<bool> waiting{false};
    REQUIRE_FALSE(pool.try_run(
        [&]() -> asio::awaitable<void> {
            asio::steady_timer never(co_await asio::this_coro::executor, 1h);
            waiting = true;
            co_await never.async_wait(asio::use_awaitable);
        },
        {.name = "cancelled"}));
    REQUIRE(test::eventually([&] { return waiting.load(); }));
    const auto report = pool.drain(5s);
    REQUIRE(report.lost.size() == 1);
    CHECK(report.lost[0].name == "cancelled");
    CHECK(report.lost[0].state == task_report::where::stopped);
    CHECK(pool.counters().lost == 1);
    CHECK(pool.counters().left == 0);
}

TEST_CASE("a coroutine that starts after the drain has asked to stop is asked at once") {
    for (int round = 0; round < 3; ++round) {
        thread_pool pool({.threads = 2});
        test::door door;
        const test::door_opener opener(door);
        std::atomic<bool> released{false};
        // Both workers are held until the request to stop; then the coroutines begin.
        for (int i = 0; i < 2; ++i) {
            REQUIRE_FALSE(pool.try_run([&](task_context& context) {
                test::eventually([&] { return context.stop_requested(); });
                released = true;
            }));
        }
        for (int i = 0; i < 10; ++i) {
            REQUIRE_FALSE(pool.try_run(
                []() -> asio::awaitable<void> {
                    asio::steady_timer never(co_await asio::this_coro::executor, 1h);
                    co_await never.async_wait(asio::use_awaitable);
                },
                {.name = "late"}));
        }
        const auto report = pool.drain(5s);
        CHECK(released);
        CHECK(report.lost.size() == 10);
        CHECK(std::ranges::all_of(report.lost, [](const auto& task) {
            return task.state == task_report::where::stopped;
        }));
        CHECK(pool.counters().left == 0);
        CHECK(pool.counters().lost == 10);
    }
}

TEST_CASE("a drain waits for what was posted, and names what it has to drop") {
    const test::captured_log log;
    std::atomic<int> ran{0};
    {
        thread_pool pool({.threads = 1, .logger = log.logger()});
        for (int i = 0; i < 1'000; ++i) {
            asio::post(pool, [&] { ++ran; });
        }
    }
    CHECK(ran == 1'000);
    test::door door;
    const test::door_opener opener(door);
    thread_pool pool({.threads = 1, .logger = log.logger()});
    asio::post(pool, [door] { door.wait(); });
    REQUIRE(door.wait_for_waiters(1));
    asio::post(pool, [&] { ++ran; });
    pool.drain(10ms);
    CHECK(log.count({"1 functions that were posted", "dropped"}) == 1);
    CHECK(ran == 1'000);
}

TEST_CASE("a coroutine that ignores its cancellation is given up and destroyed with the pool") {
    const auto token = std::make_shared<int>();
    {
        thread_pool pool({.threads = 1});
        std::atomic<bool> waiting{false};
        REQUIRE_FALSE(pool.try_run(
            [&, token]() -> asio::awaitable<void> {
                co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
                asio::steady_timer never(co_await asio::this_coro::executor, 1h);
                waiting = true;
                co_await never.async_wait(asio::use_awaitable);
            },
            {.name = "ignores"}));
        REQUIRE(test::eventually([&] { return waiting.load(); }));
        const auto report = pool.drain(50ms);
        REQUIRE(report.lost.size() == 1);
        CHECK(report.lost[0].state == task_report::where::suspended);
        CHECK(pool.counters().lost == 1);
    }
    CHECK(token.use_count() == 1);
}
