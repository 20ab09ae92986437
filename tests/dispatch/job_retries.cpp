// Copyright 2026 The Postlude authors. Distributed under the Boost Software
// License, Version 1.0.
#include "dispatch/job_world.hpp"

#include <catch2/catch.hpp>

#include <atomic>

using namespace std::chrono_literals;
using namespace postlude;
using test::at_rest;
using test::durable_mail;
using test::eventually;
using test::job_world;
using test::journal;
using test::mailers;
using test::memory_mail;
using test::request_with;
using test::spill_mail;

namespace {

/// Waits a minute, then two.
struct patient_mail {
    std::string to = "nobody";
    static constexpr job_traits job{
        .kind = "patient_mail",
        .attempts = 3,
        .retry = {.base = 0ms, .exponent = 1, .unit = 60s, .jitter = 0}};
};
BOOST_DESCRIBE_STRUCT(patient_mail, (), (to))

/// What a handler may throw that is no std::exception.
struct no_exception {};

class says_nothing : public std::exception {
public:
    const char* what() const noexcept override { return ""; }
};

}  // namespace

TEST_CASE(
    "a failed job waits in the store for its next attempt, by the "
    "store's clock, and any "
    "process may make it") {
    job_world world;
    journal first;
    journal second;
    const auto fails = [](journal& seen) {
        job_registry kinds;
        kinds.handle<patient_mail>([&seen](const patient_mail&, job_context& job) {
            seen.note(std::to_string(job.attempt()));
            if (job.attempt() != 3) {
                throw std::runtime_error("no route");
            }
        });
        return kinds;
    };
    auto here = std::make_unique<dispatcher>(world.options(fails(first)));
    CHECK(request_with(*here, patient_mail{}) == 200);
    REQUIRE(eventually([&] { return here->job_counters().left == 0; }));
    CHECK(here->job_counters().retried == 1);
    CHECK(here->job_counters().handed_over == 1);
    const auto waiting = here->find({.state = job_state::ready});
    REQUIRE(waiting.size() == 1);
    CHECK(waiting[0].job.failures == 1);
    CHECK(waiting[0].run_at - waiting[0].created == 1min);
    CHECK(here->stats().at(0).scheduled == 1);
    here.reset();

    dispatcher other(world.options(fails(second)));
    world.pass(1min);
    REQUIRE(eventually([&] { return other.job_counters().retried == 1; }));
    REQUIRE(at_rest(other));
    CHECK(other.find({}).at(0).reason == "no route");
    world.pass(2min);
    REQUIRE(eventually([&] { return other.job_counters().completed == 1; }));
    REQUIRE(at_rest(other));
    CHECK(first.lines() == std::vector<std::string>{"1"});
    CHECK(second.lines() == std::vector<std::string>{"2", "3"});
    CHECK(other.find({.state = job_state::done}).size() == 1);
}

TEMPLATE_TEST_CASE(
    "each failure is given to the error hook with its names, "
    "and a hook that fails "
    "spoils nothing",
    "", memory_mail, durable_mail) {
    job_world world;
    journal sent;
    journal failures;
    std::atomic<dispatcher*> running{nullptr};
    auto options =
        world.options(mailers(sent, [](job_context&) { throw std::runtime_error("no route"); }));
    journal counted;
    options.pool.on_error = [&](const task_failure& failure) {
        const auto c = running.load()->job_counters();
        counted.note(std::to_string(c.retried + c.dead));
        try {
            std::rethrow_exception(failure.error);
        } catch (const std::exception& e) {
            failures.note(std::string(failure.name) + " " + std::string(failure.request_id) + " " +
                          std::string(failure.queue) + " " + e.what());
        }
        throw std::runtime_error("the hook");
    };
    dispatcher work(std::move(options));
    running = &work;
    deferred after(work, {.id = "the-request"});
    after.enqueue(TestType{});
    test::respond(after);
    REQUIRE(eventually([&] { return work.job_counters().dead == 1; }));
    REQUIRE(at_rest(work));
    CHECK(counted.lines() == std::vector<std::string>{"0", "1", "2"});  // told before it is counted
    CHECK(failures.lines() == std::vector<std::string>(3, std::string(TestType::job.kind) +
                                                              " the-request default no route"));
    CHECK(work.job_counters().dead == 1);
    CHECK(world.log.count({"the error hook failed"}) == 3);
    CHECK(world.log.count({TestType::job.kind, "is tried again", "no route", "the-request"}) == 2);
    CHECK(world.log.count({TestType::job.kind, "is dead", "no route", "the-request"}) == 1);
}

TEMPLATE_TEST_CASE("whatever a job throws is a failure", "", memory_mail, spill_mail,
                   durable_mail) {
    job_world world;
    journal sent;
    std::atomic<int> what{0};
    const bool silent = GENERATE(true, false);
    dispatcher work(world.options(mailers(sent, [&](job_context&) {
        ++what;
        if (silent) {
            throw says_nothing();
        }
        throw no_exception();
    })));
    CHECK(request_with(work, TestType{}) == 200);
    REQUIRE(eventually([&] { return work.job_counters().dead == 1; }));
    REQUIRE(at_rest(work));
    CHECK(what == 3);
    if (TestType::job.stored != durability::memory) {
        REQUIRE(eventually([&] { return work.find({.state = job_state::dead}).size() == 1; }));
        CHECK(work.find({}).at(0).reason != "");
    }
}

TEST_CASE(
    "a dead job can be tried again by hand, with all its attempts, and "
    "its way is told") {
    job_world world;
    journal sent;
    std::atomic<bool> route{false};
    dispatcher work(world.options(mailers(sent, [&](job_context& job) {
        if (!route) {
            throw std::runtime_error("no route");
        }
        CHECK(job.attempt() == 1);
    })));
    CHECK(request_with(work, durable_mail{}) == 200);
    REQUIRE(eventually([&] { return work.find({.state = job_state::dead}).size() == 1; }));
    REQUIRE(at_rest(work));
    const std::vector id{work.find({}).at(0).job.id};
    route = true;
    CHECK(work.retry(id) == std::vector{amended::changed});
    REQUIRE(eventually([&] { return work.job_counters().completed == 1; }));
    REQUIRE(at_rest(work));
    CHECK(sent.size() == 4);
    std::vector<std::string> way;
    for (const auto& step : work.history(id[0])) {
        way.push_back(step.what);
    }
    CHECK(way == std::vector<std::string>{"enqueued", "claimed", "failed", "claimed", "failed",
                                          "claimed", "failed", "dead", "retried by hand", "claimed",
                                          "done"});
    CHECK(work.retry(std::vector<job_id>{12345}) == std::vector{amended::not_found});
    CHECK(work.erase(id) == std::vector{amended::changed});
    CHECK(work.find({}).empty());
}

TEST_CASE("retries of jobs of memory alone count against the queue's capacity") {
    job_world world;
    journal sent;
    job_registry kinds;
    struct local {
        static void fails(const memory_mail&) { throw std::runtime_error("no route"); }
    };
    kinds.handle<memory_mail>(&local::fails);
    auto options = world.options(std::move(kinds));
    options.pool.default_queue.capacity = 1;
    dispatcher work(std::move(options));
    // One waits for its time in the only place that there is.
    CHECK(request_with(work, memory_mail{}, {.delay = 1h}) == 200);
    CHECK(request_with(work, memory_mail{}) == 200);
    REQUIRE(eventually([&] { return work.job_counters().dead == 1; }));
    CHECK(world.log.count({"too many wait in memory"}) == 1);
    CHECK(work.job_counters().left == 1);
    const auto report = work.shutdown(50ms);
    CHECK(report.lost.size() == 1);
    CHECK(work.job_counters().left == 0);
    CHECK(test::adds_up(work.job_counters()));
}
