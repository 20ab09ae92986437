// Copyright 2026 The Postlude authors. Distributed under the Boost Software
// License, Version 1.0.
#include "postlude/dispatch/job_context.hpp"

#include "dispatch/job_world.hpp"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

#include <catch2/catch.hpp>

using namespace std::chrono_literals;
using namespace postlude;
using boost::asio::awaitable;
using test::at_rest;
using test::call;
using test::durable_mail;
using test::eventually;
using test::job_world;
using test::journal;
using test::mailers;
using test::memory_mail;
using test::request_with;
using test::respond;
using test::spill_mail;

namespace {

/// One attempt, and a run-time limit of its own.
struct limited_mail {
    std::string to = "nobody";
    static constexpr job_traits job{.kind = "limited_mail", .attempts = 1, .run_limit = 20ms};
};
BOOST_DESCRIBE_STRUCT(limited_mail, (), (to))

struct elsewhere_mail {
    static constexpr job_traits job{.kind = "elsewhere_mail", .stored = durability::memory};
};
BOOST_DESCRIBE_STRUCT(elsewhere_mail, (), ())

}  // namespace

TEMPLATE_TEST_CASE("a running job knows who and where it is", "", memory_mail, spill_mail,
                   durable_mail) {
    job_world world;
    journal seen;
    job_registry kinds;
    kinds.handle<TestType>([&](const TestType&, job_context& job) {
        CHECK(job.id() != 0);
        CHECK(job.kind() == TestType::job.kind);
        CHECK(job.attempts() == 3);
        CHECK(job.request_id() == "the-request");
        CHECK_FALSE(job.deadline());
        CHECK_FALSE(job.stop_requested());
        CHECK_FALSE(job.stop_token().stop_requested());
        CHECK_NOTHROW(job.checkpoint());
        REQUIRE(job.tags().size() == 1);
        seen.note(std::to_string(job.attempt()) + " " + job.tags()[0]);
        if (job.attempt() < 3) {
            throw std::runtime_error("again");
        }
    });
    dispatcher work(world.options(std::move(kinds)));
    deferred after(work, {.id = "the-request"});
    after.enqueue(TestType{}, {.tags = {"customer:17"}});
    respond(after);
    REQUIRE(eventually([&] { return work.job_counters().completed == 1; }));
    REQUIRE(at_rest(work));
    CHECK(seen.lines() ==
          std::vector<std::string>{"1 customer:17", "2 customer:17", "3 customer:17"});
    CHECK(work.job_counters().completed == 1);
}

TEST_CASE(
    "a job past its run-time limit is asked to stop, and has failed when "
    "it does") {
    const bool coroutine = GENERATE(false, true);
    job_world world;
    journal seen;
    job_registry kinds;
    if (coroutine) {
        kinds.handle<limited_mail>([&](const limited_mail&, job_context& job) -> awaitable<void> {
            seen.note(job.deadline() ? "limited" : "not limited");
            boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor, 1h);
            co_await timer.async_wait(boost::asio::use_awaitable);
        });
    } else {
        kinds.handle<limited_mail>([&](const limited_mail&, job_context& job) {
            seen.note(job.deadline() ? "limited" : "not limited");
            eventually([&] { return job.stop_token().stop_requested(); });
            job.checkpoint();
        });
    }
    auto options = world.options(std::move(kinds));
    options.pool.default_queue.run_limit = 50ms;  // how often it is looked at
    dispatcher work(std::move(options));
    CHECK(request_with(work, limited_mail{}) == 200);
    REQUIRE(at_rest(work));
    CHECK(seen.lines() == std::vector<std::string>{"limited"});
    CHECK(work.job_counters().dead == 1);
    CHECK(work.job_counters().interrupted == 0);
    CHECK(eventually([&] { return work.find({.state = job_state::dead}).size() == 1; }));
}

TEMPLATE_TEST_CASE(
    "what follows from a job exists when it has succeeded, "
    "under the same request",
    "", memory_mail, spill_mail, durable_mail) {
    job_world world;
    journal seen;
    job_registry kinds;
    kinds.handle<TestType>([&](const TestType& mail, job_context& job) {
        seen.note(mail.to + " " + std::string(job.request_id()));
        if (mail.to == "the first") {
            job.enqueue(TestType{"a failed attempt's"});
            if (job.attempt() == 1) {
                throw std::runtime_error("again");
            }
        }
    });
    dispatcher work(world.options(std::move(kinds)));
    deferred after(work, {.id = "the-request"});
    after.enqueue(TestType{"the first"});
    respond(after);
    REQUIRE(eventually([&] { return work.job_counters().completed == 2; }));
    REQUIRE(at_rest(work));
    CHECK(seen.lines() == std::vector<std::string>{"the first the-request", "the first the-request",
                                                   "a failed attempt's the-request"});
    if constexpr (std::is_same_v<TestType, durable_mail>) {
        CHECK(work.find({.state = job_state::done, .request_id = "the-request"}).size() == 2);
    }
}

TEST_CASE("what follows from a stored job is committed together with its end") {
    job_world world;
    journal seen;
    const test::releaser end(world.trouble);
    job_registry kinds;
    kinds.handle<durable_mail>([&](const durable_mail&, job_context& job) {
        job.enqueue(spill_mail{"next"}, {.delay = 1h, .tags = {"follows"}});
        job.enqueue(memory_mail{"and next"});
        world.trouble->hold(call::commit);
        seen.note("ran");
    });
    kinds.handle<memory_mail>([&](const memory_mail&) { seen.note("followed"); });
    kinds.declare<spill_mail>();
    dispatcher work(world.options(std::move(kinds)));
    CHECK(request_with(work, durable_mail{}) == 200);
    REQUIRE(world.trouble->wait_for_held(call::commit));
    CHECK(work.find({}).size() == 1);
    CHECK(work.find({}).at(0).state == job_state::claimed);
    world.trouble->release(call::commit);
    REQUIRE(eventually([&] { return seen.size() == 2; }));
    REQUIRE(at_rest(work));
    CHECK(work.find({.state = job_state::done}).size() == 2);
    CHECK(work.find({.state = job_state::ready, .tag = "follows"}).size() == 1);
    CHECK(work.job_counters().registered == 3);
}

TEST_CASE("nothing follows from a job whose lease was lost") {
    job_world world;
    journal seen;
    test::door door;
    job_registry kinds;
    kinds.handle<durable_mail>([&, door](const durable_mail&, job_context& job) {
        door.wait();
        job.enqueue(durable_mail{"next"});
    });
    dispatcher work(world.options(std::move(kinds)));
    const test::door_opener opener(door);
    CHECK(request_with(work, durable_mail{"first"}) == 200);
    REQUIRE(door.wait_for_waiters(1));
    CHECK(work.erase(std::vector{work.find({}).at(0).job.id}) == std::vector{amended::changed});
    door.open();
    REQUIRE(at_rest(work));
    CHECK(work.find({}).empty());
    CHECK(work.job_counters().revoked == 1);
    CHECK(work.job_counters().completed == 0);
    CHECK(work.job_counters().discarded == 1);
}

TEST_CASE("a follow-up that can't be is thrown into the job that asks for it") {
    job_world world;
    journal seen;
    job_registry kinds;
    const auto code_of = [](auto f) {
        try {
            f();
        } catch (const boost::system::system_error& e) {
            return e.code();
        }
        return boost::system::error_code();
    };
    kinds.declare<elsewhere_mail>();
    kinds.handle<spill_mail>([&](const spill_mail&, job_context& job) {
        CHECK(code_of([&] { job.enqueue(elsewhere_mail{}); }) == errc::bad_kind);
        seen.note("spill");
    });
    kinds.handle<durable_mail>([&](const durable_mail&, job_context& job) {
        CHECK(code_of([&] { job.enqueue(spill_mail{"\xff"}); }) == errc::bad_arguments);
        CHECK(code_of([&] { job.enqueue(limited_mail{}); }) == errc::bad_kind);
        CHECK(code_of([&] { job.enqueue(durable_mail{}, {.priority = 4}); }) == errc::bad_option);
        seen.note("durable");
    });
    dispatcher work(world.options(std::move(kinds)));
    CHECK(request_with(work, durable_mail{}) == 200);
    CHECK(request_with(work, spill_mail{}) == 200);
    REQUIRE(at_rest(work));
    CHECK(seen.size() == 2);
    CHECK(work.job_counters().completed == 2);
    CHECK(work.job_counters().registered == 2);
}

TEST_CASE(
    "a job that is cancelled while it runs is asked to stop, and its end "
    "is refused") {
    const bool returns = GENERATE(true, false);
    job_world world;
    journal seen;
    job_registry kinds;
    test::door door;
    kinds.handle<durable_mail>([&, door](const durable_mail&, job_context& job) {
        door.wait();
        CHECK(eventually([&] { return job.stop_requested(); }));
        seen.note("asked to stop");
        if (!returns) {
            job.checkpoint();
        }
    });
    auto options = world.options(std::move(kinds));
    options.jobs.lease = 1s;
    dispatcher work(std::move(options));
    const test::door_opener opener(door);
    CHECK(request_with(work, durable_mail{}) == 200);
    REQUIRE(door.wait_for_waiters(1));
    const auto id = work.find({}).at(0).job.id;
    CHECK(work.cancel(std::vector{id}) == std::vector{amended::changed});
    door.open();
    REQUIRE(at_rest(work));
    CHECK(seen.size() == 1);
    CHECK(work.find({}).at(0).state == job_state::cancelled);
    CHECK(work.job_counters().revoked == 1);
    CHECK(work.job_counters().retried == 0);
    CHECK(work.cancel(std::vector{id}) == std::vector{amended::not_possible});
    CHECK(work.history(id).back().what == "cancelled");
}

TEST_CASE("a coroutine job suspends without a worker, and may run on after it") {
    job_world world;
    journal seen;
    job_registry kinds;
    kinds.handle<durable_mail>([&](const durable_mail& mail, job_context& job) -> awaitable<void> {
        seen.note("begin");
        // Both wait at the same time, on one worker.
        boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor);
        while (seen.size() < 2) {
            timer.expires_after(1ms);
            co_await timer.async_wait(boost::asio::use_awaitable);
        }
        if (mail.to == "fails" && job.attempt() < 3) {
            throw std::runtime_error("again");
        }
        job.enqueue(memory_mail{mail.to});
    });
    kinds.handle<memory_mail>([&](const memory_mail&) { seen.note("followed"); });
    dispatcher work(world.options(std::move(kinds)));
    CHECK(request_with(work, durable_mail{"ada"}) == 200);
    CHECK(request_with(work, durable_mail{"fails"}) == 200);
    REQUIRE(eventually([&] { return seen.size() == 6; }));
    REQUIRE(eventually([&] { return work.job_counters().completed == 4; }));
    REQUIRE(at_rest(work));
    CHECK(work.job_counters().retried == 2);
}

TEMPLATE_TEST_CASE("functions around each run are called in order, the first outermost", "",
                   memory_mail, durable_mail) {
    const bool coroutine = GENERATE(false, true);
    job_world world;
    journal seen;
    job_registry kinds;
    if (coroutine) {
        kinds.handle<TestType>([&](const TestType&, job_context& job) -> awaitable<void> {
            seen.note("the job");
            if (job.attempt() == 1) {
                throw std::runtime_error("no route");
            }
            co_return;
        });
    } else {
        kinds.handle<TestType>([&](const TestType&, job_context& job) {
            seen.note("the job");
            if (job.attempt() == 1) {
                throw std::runtime_error("no route");
            }
        });
    }
    auto options = world.options(std::move(kinds));
    options.jobs.around.emplace_back(
        [&](job_context& job, const job_next& next) -> awaitable<void> {
            seen.note("outer begins " + std::string(job.kind()));
            try {
                co_await next();
            } catch (const std::exception& e) {
                seen.note(std::string("outer sees ") + e.what());
                throw;
            }
            seen.note("outer ends");
        });
    options.jobs.around.emplace_back([&](job_context&, const job_next& next) -> awaitable<void> {
        seen.note("inner begins");
        co_await next();
        seen.note("inner ends");
    });
    dispatcher work(std::move(options));
    CHECK(request_with(work, TestType{}) == 200);
    REQUIRE(eventually([&] { return work.job_counters().completed == 1; }));
    REQUIRE(at_rest(work));
    const auto begins = "outer begins " + std::string(TestType::job.kind);
    CHECK(seen.lines() == std::vector<std::string>{begins, "inner begins", "the job",
                                                   "outer sees no route", begins, "inner begins",
                                                   "the job", "inner ends", "outer ends"});
    CHECK(work.job_counters().completed == 1);
    CHECK(work.job_counters().retried == 1);
}

TEST_CASE("a function around a run may fail it, or end it without the job") {
    job_world world;
    journal sent;
    auto options = world.options(mailers(sent));
    options.jobs.around.emplace_back(
        [&](job_context& job, const job_next& next) -> awaitable<void> {
            if (job.request_id() == "skipped") {
                co_return;
            }
            co_await next();
            if (job.attempt() == 1) {
                throw std::runtime_error("the transaction failed");
            }
        });
    dispatcher work(std::move(options));
    for (const auto* id : {"skipped", "twice"}) {
        deferred after(work, {.id = id});
        after.enqueue(durable_mail{id});
        respond(after);
    }
    REQUIRE(eventually([&] { return work.job_counters().completed == 2; }));
    REQUIRE(at_rest(work));
    CHECK(sent.lines() == std::vector<std::string>{"twice", "twice"});
    CHECK(work.job_counters().completed == 2);
}
