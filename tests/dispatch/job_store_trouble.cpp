// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
// A store that is slow, gone, or says no.
#include "dispatch/job_world.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <chrono>

using namespace std::chrono_literals;
using namespace postlude;
using test::adds_up;
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

TEST_CASE(
    "a store that hangs makes a durable request a 503 within its time-out; its job, stored "
    "later after all, is withdrawn and never runs") {
    const bool claimed = GENERATE(true, false);
    job_world world;
    journal sent;
    auto options = world.options(mailers(sent));
    options.jobs.commit_timeout = 100ms;
    options.jobs.runs_jobs = claimed;
    dispatcher work(std::move(options));
    const test::releaser end(world.trouble);
    world.trouble->hold(call::commit);
    const auto begin = std::chrono::steady_clock::now();
    CHECK(request_with(work, durable_mail{"ada"}) == 503);
    CHECK(std::chrono::steady_clock::now() - begin >= 100ms);
    CHECK(std::chrono::steady_clock::now() - begin < 5s);
    if (claimed) {
        CHECK(request_with(work, memory_mail{"bob"}) == 200);
    }
    world.trouble->release(call::commit);
    CHECK(eventually([&] { return request_with(work, durable_mail{"cleo"}) == 200; }));
    CHECK(eventually([&] { return work.find({}).size() == 1; }));
    CHECK(work.find({}).at(0).job.arguments == R"({"to":"cleo"})");
    if (claimed) {
        CHECK(eventually([&] { return sent.size() == 2; }));
        CHECK(sent.lines() == std::vector<std::string>{"bob", "cleo"});
    }
    CHECK(at_rest(work));
    CHECK(work.job_counters().refused >= 1);
}

TEST_CASE(
    "a job that is wanted whatever happens outlives the withdrawal of a commit that came too "
    "late") {
    const bool claimed = GENERATE(true, false);
    job_world world;
    journal sent;
    auto options = world.options(mailers(sent));
    options.jobs.commit_timeout = 20ms;
    options.jobs.runs_jobs = claimed;
    dispatcher work(std::move(options));
    const test::releaser end(world.trouble);
    world.trouble->hold(call::commit);
    CHECK(request_with(work, durable_mail{"the operator"}, {.when = when::always}) == 503);
    world.trouble->release(call::commit);
    REQUIRE(at_rest(work));
    if (claimed) {
        CHECK(sent.size() == 1);
    } else {
        // One more commit, behind whatever was to be withdrawn.
        CHECK(eventually([&] { return request_with(work, durable_mail{"ada"}) == 200; }));
        CHECK(eventually([&] { return work.find({.state = job_state::ready}).size() == 2; }));
    }
}

TEST_CASE("the end of a run that the store does not take is kept, and settled when it does") {
    job_world world;
    journal sent;
    dispatcher work(world.options(mailers(sent, [&](job_context&) {
        world.trouble->fail(call::commit, 1);
        world.trouble->fail(call::commit, 2);
    })));
    CHECK(request_with(work, durable_mail{"ada"}) == 200);
    REQUIRE(at_rest(work));
    CHECK(sent.size() == 1);
    CHECK(work.job_counters().completed == 1);
    CHECK(work.find({.state = job_state::done}).size() == 1);
    CHECK(world.trouble->count(call::commit) >= 4);
}

TEST_CASE("the end of a run whose answer was lost is settled once") {
    const bool carried_out = GENERATE(true, false);
    job_world world;
    journal sent;
    dispatcher work(world.options(
        mailers(sent, [&](job_context&) { world.trouble->lose_answer(1, carried_out); })));
    CHECK(request_with(work, durable_mail{"ada"}) == 200);
    REQUIRE(at_rest(work));
    CHECK(sent.size() == 1);
    CHECK(work.find({.state = job_state::done}).size() == 1);
    CHECK(work.job_counters().completed == 1);
    CHECK(work.job_counters().revoked == 0);
}

TEST_CASE("a commit whose answer was lost is a 503, and what it stored is withdrawn") {
    const bool claimed = GENERATE(true, false);
    job_world world;
    journal sent;
    auto options = world.options(mailers(sent));
    options.jobs.runs_jobs = claimed;
    dispatcher work(std::move(options));
    world.trouble->lose_answer(1, true);
    CHECK(request_with(work, durable_mail{"ada"}) == 503);
    CHECK(eventually([&] { return work.find({}).empty(); }));
    CHECK(at_rest(work));
    CHECK(sent.size() == 0);
    CHECK(work.job_counters().refused == 1);
}

TEST_CASE("why a commit has left jobs out is a line in the log, and only one for each reason") {
    job_world world;
    journal sent;
    dispatcher work(world.options(mailers(sent)));
    for (int i = 0; i < 3; ++i) {
        world.trouble->lose_answer(1, false);
        CHECK(request_with(work, durable_mail{"ada"}) == 503);
    }
    CHECK(world.log.count({"could not take all of a commit", "the answer was lost"}) == 1);
}

TEST_CASE("a job accepted before, whose answer was lost, is stored once") {
    const bool carried_out = GENERATE(true, false);
    job_world world;
    journal sent;
    dispatcher work(world.producer(mailers(sent)));
    auto options = world.options(mailers(sent, [](job_context& job) {
        if (job.attempt() == 1) {
            throw std::runtime_error("no route");
        }
    }));
    dispatcher runs(std::move(options));
    world.trouble->lose_answer(1, carried_out);
    CHECK(request_with(runs, spill_mail{"ada"}) == 200);  // fails, and goes to the store
    CHECK(eventually([&] { return sent.size() == 2; }));
    CHECK(at_rest(runs));
    CHECK(runs.find({}).size() == 1);
    CHECK(runs.job_counters().completed == 1);
}

TEST_CASE("a withdrawal that fails is tried again, and spoils nothing that was written with it") {
    struct waiter final : detail::commit_waiter {
        explicit waiter(std::atomic<int>& a) : answer(a) {}
        void done(std::unique_ptr<commit_waiter> /*self*/,
                  boost::system::error_code ec) noexcept override {
            answer = ec ? 503 : 200;
        }
        std::atomic<int>& answer;
    };
    job_world world;
    journal sent;
    auto options = world.options(mailers(sent));
    options.jobs.runs_jobs = false;
    dispatcher work(std::move(options));
    const test::releaser end(world.trouble);
    deferred to_withdraw(work);
    to_withdraw.enqueue(durable_mail{"ada"});
    REQUIRE(!commit(to_withdraw, 200));
    const auto withdraw = [&] {
        pending_response response(to_withdraw, 200);
        response.handler_failed();
        response.end({});
    };
    world.trouble->fail(call::amend, 1);
    SECTION("alone") {
        withdraw();
        CHECK(eventually([&] { return work.find({}).empty(); }));
    }
    SECTION("beside others") {
        std::atomic<int> first_answer{0};
        std::atomic<int> second_answer{0};
        deferred first(work);
        deferred second(work);
        world.trouble->hold(call::commit);
        first.enqueue(durable_mail{"bob"});
        first.commit(200, std::make_unique<waiter>(first_answer));
        REQUIRE(world.trouble->wait_for_held(call::commit));
        // What comes now is written together.
        withdraw();
        second.enqueue(durable_mail{"cleo"});
        second.commit(200, std::make_unique<waiter>(second_answer));
        world.trouble->release(call::commit);
        CHECK(eventually([&] { return first_answer != 0 && second_answer != 0; }));
        CHECK(first_answer == 200);
        CHECK(second_answer == 200);
        CHECK(eventually([&] { return work.find({}).size() == 2; }));
        respond(first);
        respond(second);
    }
    CHECK(at_rest(work));
}

TEST_CASE("a store that goes is one line in the log, and one when it is back") {
    job_world world;
    journal sent;
    auto options = world.options(mailers(sent));
    options.jobs.lease = 1s;
    options.jobs.rescue_interval = 100ms;
    dispatcher work(std::move(options));
    const auto tries = world.trouble->count(call::rescue);
    world.trouble->gone();
    for (int i = 0; i != 20; ++i) {
        CHECK(request_with(work, durable_mail{"ada"}) == 503);
    }
    REQUIRE(world.trouble->wait_for_count(call::rescue, tries + 3));
    world.trouble->gone(false);
    CHECK(eventually([&] { return request_with(work, durable_mail{"bob"}) == 200; }));
    CHECK(eventually([&] { return world.log.count({"works again"}) == 1; }));
    REQUIRE(world.trouble->wait_for_count(call::rescue, tries + 6));
    CHECK(world.log.count({"the store of jobs does not work"}) == 1);
    CHECK(world.log.count({"works again"}) == 1);
    CHECK(at_rest(work));
}

namespace {

/// Requests until one of them has reached the store, each refused.
void fail_a_commit(job_world& world, dispatcher& work) {
    const auto commits = world.trouble->count(call::commit);
    CHECK(eventually([&] {
        CHECK(request_with(work, durable_mail{"ada"}) == 503);
        return world.trouble->count(call::commit) > commits;
    }));
}

}  // namespace

TEST_CASE("commits that get no answer do not end an outage") {
    job_world world;
    journal sent;
    auto options = world.options(mailers(sent));
    options.jobs.lease = 1s;
    dispatcher work(std::move(options));
    for (std::size_t i = 1; i != 100; ++i) {
        if (i % 2 == 1) {
            world.trouble->fail(call::commit, i);
        } else {
            world.trouble->lose_answer(i, false);
        }
    }
    for (int i = 0; i != 6; ++i) {
        fail_a_commit(world, work);
    }
    CHECK(world.log.count({"the store of jobs does not work"}) == 1);
    CHECK(world.log.count({"works again"}) == 0);
}

TEST_CASE("a store that can be read and not written is one line in the log all the same") {
    job_world world;
    journal sent;
    auto options = world.options(mailers(sent));
    options.jobs.lease = 1s;
    dispatcher work(std::move(options));
    for (std::size_t i = 1; i != 100; ++i) {
        world.trouble->fail(call::commit, i);
    }
    for (int i = 0; i != 5; ++i) {
        fail_a_commit(world, work);
        world.store.wake();
        REQUIRE(world.trouble->wait_for_count(call::renew, world.trouble->count(call::renew) + 1));
    }
    CHECK(world.log.count({"the store of jobs does not work"}) == 1);
    CHECK(world.log.count({"works again"}) == 0);
}

TEST_CASE(
    "a job that was stored for its request stays this process's until the response ends, "
    "however long that takes") {
    job_world world;
    journal sent;
    auto options = world.options(mailers(sent));
    options.jobs.lease = 1s;
    options.jobs.rescue_interval = 100ms;
    dispatcher work(std::move(options));
    deferred after(work);
    after.enqueue(durable_mail{"ada"});
    REQUIRE(!commit(after, 200));
    pending_response response(after, 200);
    const auto some_of_each = [&] {
        const auto renewals = world.trouble->count(call::renew);
        const auto rescues = world.trouble->count(call::rescue);
        REQUIRE(world.trouble->wait_for_count(call::renew, renewals + 2));
        REQUIRE(world.trouble->wait_for_count(call::rescue, rescues + 2));
    };
    for (int i = 0; i != 3; ++i) {
        world.pass(600ms);
        some_of_each();
    }
    CHECK(sent.size() == 0);
    CHECK(work.find({.state = job_state::claimed}).size() == 1);
    response.end({});
    response.release();
    CHECK(at_rest(work));
    CHECK(sent.size() == 1);
    CHECK(work.job_counters().completed == 1);
    CHECK(work.find({}).at(0).job.crashes == 0);
}

TEST_CASE("a job that has lost its lease before it began is not run") {
    job_world world;
    journal sent;
    auto options = world.options(mailers(sent));
    options.jobs.lease = 1s;
    dispatcher work(std::move(options));
    test::door door;
    REQUIRE(!work.try_run([door] { door.wait(); }));
    const test::door_opener opener(door);
    REQUIRE(door.wait_for_waiters(1));
    CHECK(request_with(work, durable_mail{"ada"}) == 200);
    const auto found = work.find({});
    REQUIRE(found.size() == 1);
    REQUIRE(found[0].state == job_state::claimed);
    CHECK(work.cancel(std::vector{found[0].job.id}) == std::vector{amended::changed});
    REQUIRE(eventually([&] { return world.log.count({"has lost its lease"}) == 1; }));
    door.open();
    CHECK(at_rest(work));
    CHECK(sent.size() == 0);
    CHECK(work.job_counters().revoked == 1);
}

TEST_CASE("a queue with nothing to do does not slow down the others") {
    job_world world;
    journal sent;
    {
        dispatcher from(world.producer(mailers(sent)));
        deferred after(from);
        for (int i = 0; i != 400; ++i) {
            after.enqueue(durable_mail{"ada"});
        }
        REQUIRE(respond(after) == 200);
    }
    auto options = world.options(mailers(sent));
    options.pool.queues.push_back({.name = "idle"});
    dispatcher work(std::move(options));
    CHECK(eventually([&] { return sent.size() == 400; }));
    CHECK(at_rest(work));
}

TEST_CASE("a store that refuses a job for good does not make it vanish without a word") {
    job_world world;
    journal sent;
    job_registry kinds = mailers(sent, [](job_context&) { throw std::runtime_error("no route"); });
    dispatcher work(world.options(std::move(kinds)));
    // An id that the store has already: it will not take a second one under it.
    auto other = world.store.connect();
    other->open({});
    {
        deferred after(work);
        REQUIRE(after.enqueue(spill_mail{"ada"}));
        put same;
        // The first job of the first owner, whose ids begin with its number.
        same.job.id = (job_id(1) << 40) + 1;
        same.job.kind = "some_kind";
        REQUIRE(other->commit(std::vector{same}, {}).puts.at(0).what ==
                put_result::outcome::stored);
        respond(after);
    }
    CHECK(at_rest(work));
    CHECK(work.job_counters().dead == 1);
    CHECK(work.job_counters().handed_over == 0);
    CHECK(world.log.count({"the store refuses it"}) == 1);
}

TEST_CASE(
    "while the store is gone, spillable jobs run from memory, though others wait in the "
    "store") {
    job_world world;
    journal sent;
    test::door door;
    const test::releaser end(world.trouble);
    world.trouble->hold(call::claim);
    auto options = world.options(mailers(sent, [door](job_context&) { door.wait(); }));
    options.pool.default_queue.capacity = 1;
    dispatcher work(std::move(options));
    const test::door_opener opener(door);
    CHECK(request_with(work, spill_mail{"1"}) == 200);
    CHECK(request_with(work, spill_mail{"2"}) == 200);
    REQUIRE(work.find({}).size() == 1);
    world.trouble->gone();
    door.open();
    REQUIRE(eventually([&] { return work.job_counters().left == 0; }));
    CHECK(eventually([&] { return request_with(work, spill_mail{"3"}) == 200; }));
    REQUIRE(eventually([&] { return sent.size() == 2; }));
    world.trouble->gone(false);
    world.trouble->release(call::claim);
    REQUIRE(eventually([&] { return sent.size() == 3; }));
    CHECK(sent.lines() == std::vector<std::string>{"1", "3", "2"});
    CHECK(at_rest(work));
}
