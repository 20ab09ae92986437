// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/dispatch/commit.hpp"

#include "dispatch/job_world.hpp"

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>

#include <catch2/catch.hpp>

#include <atomic>

using namespace std::chrono_literals;
using namespace postlude;
using test::at_rest;
using test::call;
using test::durable_mail;
using test::job_world;
using test::journal;
using test::mailers;
using test::memory_mail;
using test::request_with;
using test::respond;
using test::spill_mail;

namespace asio = boost::asio;

TEST_CASE("a commit completes on its handler's executor, whatever the token is") {
    job_world world;
    journal sent;
    dispatcher work(world.options(mailers(sent)));
    deferred after(work);
    after.enqueue(durable_mail{"ada"});
    asio::io_context loop;
    SECTION("a callback") {
        asio::io_context other;
        int calls = 0;
        async_commit(after, 200, loop.get_executor(),
                     asio::bind_executor(other, [&](boost::system::error_code ec) {
                         CHECK_FALSE(ec);
                         ++calls;
                     }));
        loop.run();
        CHECK(calls == 0);
        other.run();
        CHECK(calls == 1);
    }
    SECTION("a future") {
        auto done = async_commit(after, 200, loop.get_executor(), asio::use_future);
        loop.run();
        CHECK_NOTHROW(done.get());
    }
    SECTION("a coroutine") {
        bool done = false;
        asio::co_spawn(
            loop,
            [&]() -> asio::awaitable<void> {
                co_await async_commit(after, 200, loop.get_executor(), asio::use_awaitable);
                done = true;
            },
            asio::detached);
        loop.run();
        CHECK(done);
    }
    CHECK(work.find({}).size() == 1);
    CHECK(sent.size() == 0);
    CHECK(respond(after) == 200);
    CHECK(at_rest(work));
    CHECK(sent.size() == 1);
}

TEST_CASE("a request without jobs to be stored has nothing to commit") {
    job_world world;
    journal sent;
    dispatcher work(world.options(mailers(sent)));
    deferred after(work);
    CHECK_FALSE(after.must_commit(200));
    after.enqueue(memory_mail{"ada"});
    after.enqueue(spill_mail{"bob"});
    CHECK_FALSE(after.must_commit(200));
    after.enqueue(durable_mail{"cleo"});
    CHECK(after.must_commit(200));
    CHECK_FALSE(after.must_commit(404));
    CHECK_FALSE(after.must_commit(500));
    after.enqueue(durable_mail{"the operator"}, {.when = when::failed});
    CHECK(after.must_commit(500));
    CHECK(world.trouble->count(call::commit) == 0);
    CHECK_FALSE(commit(after, 200));
    CHECK_FALSE(after.must_commit(200));
    CHECK(world.trouble->count(call::commit) == 1);
    respond(after);
    CHECK(at_rest(work));
    CHECK(work.job_counters().discarded == 1);
}

TEST_CASE("an interim response stores nothing and decides nothing") {
    job_world world;
    journal sent;
    dispatcher work(world.options(mailers(sent)));
    deferred after(work);
    after.enqueue(durable_mail{"ada"});
    CHECK_FALSE(after.must_commit(103));
    CHECK_FALSE(commit(after, 103));
    CHECK(work.find({}).empty());
    CHECK(after.must_commit(101));
    CHECK(respond(after, 404) == 404);
    CHECK(at_rest(work));
    CHECK(sent.size() == 0);
    CHECK(work.job_counters().discarded == 1);
}

TEST_CASE("a response that turns out to be an error withdraws what was stored for it") {
    const bool runs_here = GENERATE(true, false);  // stored as claimed, and as ready
    job_world world;
    journal sent;
    auto options = world.options(mailers(sent));
    options.jobs.runs_jobs = runs_here;
    dispatcher work(std::move(options));
    {
        deferred after(work);
        after.enqueue(durable_mail{"ada"});
        REQUIRE_FALSE(commit(after, 200));
        REQUIRE(work.find({}).size() == 1);
        pending_response response(after, 500);
        response.end({});
    }
    CHECK(test::eventually([&] { return work.find({}).empty(); }));
    CHECK(at_rest(work));
    CHECK(sent.size() == 0);
    CHECK(work.job_counters().discarded == 1);
}

TEST_CASE("a list that is destroyed after its commit, without a response, has failed") {
    job_world world;
    journal sent;
    dispatcher work(world.options(mailers(sent)));
    {
        deferred after(work);
        after.enqueue(durable_mail{"ada"});
        after.enqueue(durable_mail{"the operator"}, {.when = when::failed});
        REQUIRE_FALSE(commit(after, 200));
    }
    CHECK(test::eventually([&] { return sent.size() == 1; }));
    CHECK(at_rest(work));
    CHECK(sent.lines() == std::vector<std::string>{"the operator"});
    CHECK(test::eventually([&] { return work.find({}).size() <= 1; }));
}

TEST_CASE("a durable job of a list that is abandoned is stored, and its place is free again") {
    const auto condition = GENERATE(when::failed, when::always);
    job_world world;
    journal sent;
    test::door door;
    dispatcher work(world.options(mailers(sent)));
    const test::door_opener opener(door);
    REQUIRE_FALSE(work.try_run([door] { door.wait(); }));
    REQUIRE(door.wait_for_waiters(1));
    {
        deferred after(work);
        after.enqueue(durable_mail{"the operator"}, {.when = condition});
    }
    CHECK(test::eventually([&] { return work.find({}).size() == 1; }));
    CHECK(work.counters().discarded == 1);
    CHECK(sent.size() == 0);
    door.open();
    CHECK(test::eventually([&] { return work.job_counters().completed == 1; }));
    CHECK(at_rest(work));
    CHECK(sent.size() == 1);
    CHECK(work.job_counters().handed_over == 1);
    CHECK(test::eventually([&] { return work.counters().left == 0; }));
}

TEST_CASE("a list may be destroyed while another handle to it commits") {
    job_world world;
    journal sent;
    dispatcher work(world.options(mailers(sent)));
    auto after = std::make_unique<deferred>(work);
    after->enqueue(durable_mail{"ada"});
    auto other = after->hold_for_commit();
    asio::io_context loop;
    auto done = async_commit(other, 200, loop.get_executor(), asio::use_future);
    after.reset();
    loop.run();
    CHECK_NOTHROW(done.get());
    CHECK(respond(other) == 200);
    CHECK(at_rest(work));
    CHECK(sent.size() == 1);
}

TEST_CASE("a commit whose event loop ends before it completes leaves its list to be abandoned") {
    job_world world;
    journal sent;
    dispatcher work(world.options(mailers(sent)));
    const test::releaser end(world.trouble);
    world.trouble->hold(call::commit);
    {
        asio::io_context loop;
        struct op {
            std::unique_ptr<deferred> after;
            void operator()(boost::system::error_code) const { FAIL("the loop never runs"); }
        };
        auto after = std::make_unique<deferred>(work);
        auto& list = *after;
        list.enqueue(durable_mail{"ada"});
        async_commit(list, 200, loop.get_executor(), op{std::move(after)});
        REQUIRE(world.trouble->wait_for_held(call::commit));
        world.trouble->release(call::commit);
        REQUIRE(test::eventually([&] { return work.find({}).size() == 1; }));
        // Its answer is posted once the next commit is under way.
        REQUIRE(request_with(work, durable_mail{"bob"}) == 200);
    }
    CHECK(at_rest(work));
    CHECK(sent.lines() == std::vector<std::string>{"bob"});
    CHECK(test::eventually([&] { return work.find({}).size() == 1; }));
}

TEST_CASE("what is registered while the response waits for its commit is stored behind it") {
    job_world world;
    journal sent;
    auto options = world.options(mailers(sent));
    options.jobs.runs_jobs = false;
    dispatcher work(std::move(options));
    deferred after(work);
    after.enqueue(durable_mail{"ada"});
    REQUIRE_FALSE(commit(after, 200));
    pending_response response(after, 200);
    after.enqueue(durable_mail{"bob"});
    CHECK(work.find({}).size() == 1);
    response.end({});
    CHECK(test::eventually([&] { return work.find({}).size() == 2; }));
    // Late: after the response.
    after.enqueue(durable_mail{"cleo"});
    CHECK(test::eventually([&] { return work.find({}).size() == 3; }));
    CHECK(at_rest(work));
    CHECK(work.job_counters().handed_over == 3);
}

TEST_CASE("the jobs of requests that wait at the same time are committed together") {
    struct waiter final : detail::commit_waiter {
        explicit waiter(std::atomic<int>& n) : stored(n) {}
        void done(std::unique_ptr<commit_waiter> /*self*/,
                  boost::system::error_code ec) noexcept override {
            stored += ec ? 0 : 1;
        }
        std::atomic<int>& stored;
    };
    job_world world;
    journal sent;
    dispatcher work(world.options(mailers(sent)));
    const test::releaser end(world.trouble);
    world.trouble->hold(call::commit);
    std::vector<std::unique_ptr<deferred>> requests;
    std::atomic<int> stored{0};
    for (int i = 0; i != 10; ++i) {
        auto& after = *requests.emplace_back(std::make_unique<deferred>(work));
        after.enqueue(durable_mail{"ada"});
        after.commit(200, std::make_unique<waiter>(stored));
        REQUIRE(world.trouble->wait_for_held(call::commit));
    }
    world.trouble->release(call::commit);
    REQUIRE(test::eventually([&] { return stored == 10; }));
    CHECK(world.trouble->count(call::commit) == 2);
    for (auto& after : requests) {
        respond(*after);
    }
    CHECK(at_rest(work));
    CHECK(test::eventually([&] { return sent.size() == 10; }));
}
