// Copyright 2026 The Postlude authors. Distributed under the Boost Software
// License, Version 1.0. The end of a dispatcher: what becomes of each job that
// it has.
#include "dispatch/job_world.hpp"
#include "postlude/dispatch/async_jobs.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>

#include <catch2/catch.hpp>

#include <atomic>
#include <chrono>
#include <exception>
#include <future>

using namespace std::chrono_literals;
using namespace postlude;
using test::adds_up;
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

/// A job that a lease of its own keeps, and that waits at the door.
job_registry waiting_at(const test::door& door, journal& begun) {
    return mailers(begun, [door](job_context&) { door.wait(); });
}

/// One that stops as soon as it is asked to.
job_registry obedient(journal& begun) {
    return mailers(begun, [](job_context& job) {
        eventually([&] { return job.stop_requested(); });
        job.checkpoint();
    });
}

std::size_t count(job_world& world, job_query query) {
    auto other = world.store.connect();
    other->open({});
    return other->find(query).size();
}

std::vector<std::string> way_of(job_world& world, job_id id) {
    auto other = world.store.connect();
    other->open({});
    std::vector<std::string> way;
    for (const auto& step : other->history(id)) {
        way.push_back(step.what);
    }
    return way;
}

std::chrono::milliseconds time_of(auto f) {
    const auto begin = std::chrono::steady_clock::now();
    f();
    return std::chrono::ceil<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin);
}

}  // namespace

TEST_CASE("a stop that comes between the claimer's look and its wait ends that wait") {
    job_world world;
    journal sent;
    world.trouble->hold(call::claim);
    dispatcher work(world.options(mailers(sent)));
    const test::releaser end(world.trouble);
    REQUIRE(world.trouble->wait_for_held(call::claim));
    std::future<drain_report> stopped;
    std::promise<void> begun;
    world.trouble->before(call::claim, [&] {
        if (world.trouble->count(call::claim) == 1) {
            // This claim does not wait, and uses up the interruption.
            stopped = std::async(std::launch::async, [&] { return work.shutdown(30s); });
            CHECK(eventually([&] { return world.trouble->interrupts() != 0; }));
            begun.set_value();
        }
    });
    world.trouble->release(call::claim);
    begun.get_future().wait();
    CHECK(stopped.get().clean());
    CHECK(world.trouble->count(call::claim) == 1);
}

TEST_CASE("a job that is claimed just as the stop begins goes back at once") {
    job_world world;
    journal sent;
    dispatcher sender(world.producer(mailers(sent)));
    REQUIRE(request_with(sender, durable_mail{"ada"}) == 200);
    world.trouble->hold(call::claim);
    test::door door;
    journal begun;
    dispatcher work(world.options(waiting_at(door, begun)));
    const test::door_opener opener(door);
    const test::releaser end(world.trouble);
    CHECK(request_with(work, memory_mail{"bob"}) == 200);  // whom the drain waits for
    REQUIRE(door.wait_for_waiters(1));
    REQUIRE(world.trouble->wait_for_held(call::claim));
    auto stopped = std::async(std::launch::async, [&] { return work.shutdown(1h); });
    REQUIRE(eventually([&] { return world.trouble->interrupts() != 0; }));
    world.trouble->release(call::claim);
    CHECK(eventually([&] { return work.job_counters().handed_over == 1; }));
    CHECK(eventually([&] { return count(world, {.state = job_state::ready}) == 1; }));
    CHECK(stopped.wait_for(0s) == std::future_status::timeout);
    door.open();
    CHECK(stopped.get().clean());
    CHECK(begun.lines() == std::vector<std::string>{"bob"});
    CHECK(work.job_counters().claimed == 1);
    CHECK(adds_up(work.job_counters()));
}

TEST_CASE("a question that hangs in the store at the end is answered, and touches nothing after") {
    job_world world;
    journal sent;
    const test::releaser end(world.trouble);
    boost::asio::io_context loop;
    int stopped = 0;
    const auto count = [&](const std::exception_ptr& why, const std::vector<job_view>& none) {
        CHECK(none.empty());
        try {
            std::rethrow_exception(why);
        } catch (const boost::system::system_error& e) {
            stopped += e.code() == errc::stopped ? 1 : 0;
        }
    };
    {
        dispatcher work(world.options(mailers(sent)));
        world.trouble->hold(call::find);
        async_find(work, {}, loop.get_executor(), count);
        REQUIRE(world.trouble->wait_for_held(call::find));
        async_find(work, {}, loop.get_executor(), count);
        work.shutdown(100ms);
        CHECK(!world.trouble->destroyed_in_a_call());
        async_find(work, {}, loop.get_executor(), count);
    }
    loop.run();
    CHECK(stopped == 3);
    CHECK(!world.trouble->destroyed_in_a_call());
}

TEST_CASE("a deadline is kept though the store hangs when it is closed") {
    job_world world;
    journal sent;
    test::door door;
    const test::door_opener opener(door);
    world.trouble->at_end([door] { door.wait(); });
    dispatcher work(world.options(mailers(sent)));
    CHECK(request_with(work, durable_mail{"ada"}) == 200);
    CHECK(eventually([&] { return sent.size() == 1; }));
    work.shutdown(500ms);  // or it would wait for the door
    CHECK(door.wait_for_waiters(1));
    CHECK(world.log.count({"the store of jobs has not answered to the end"}) == 1);
    door.open();
    CHECK(eventually([&] { return world.trouble->ended(); }));
}

TEST_CASE("an idle dispatcher ends at once, and is no one's owner any more") {
    job_world world;
    journal sent;
    dispatcher work(world.options(mailers(sent)));
    CHECK(request_with(work, durable_mail{"ada"}) == 200);
    CHECK(time_of([&] { CHECK(work.shutdown(30s).clean()); }) < 20s);
    CHECK(sent.size() == 1);
    CHECK(work.job_counters().left == 0);
    CHECK(adds_up(work.job_counters()));
    CHECK(count(world, {.state = job_state::done}) == 1);
    // Nothing is accepted any more, and says so.
    CHECK(request_with(work, durable_mail{"bob"}) == 503);
    CHECK(request_with(work, spill_mail{"bob"}) == 503);
    CHECK(request_with(work, memory_mail{"bob"}) == 503);
    CHECK(request_with(work, memory_mail{"bob"}, {.delay = 1ms}) == 503);
    CHECK(work.job_counters().refused == 4);
    CHECK(work.job_counters().left == 0);
    CHECK(adds_up(work.job_counters()));
    CHECK_THROWS(work.find({}));
}

TEST_CASE(
    "jobs that have not begun by the deadline go to the store; those of "
    "memory alone are "
    "lost, and named") {
    job_world world;
    journal begun;
    test::door door;
    dispatcher work(world.options(waiting_at(door, begun)));
    const test::door_opener opener(door);
    REQUIRE(!work.try_run([door] { door.wait(); }));
    REQUIRE(door.wait_for_waiters(1));
    CHECK(request_with(work, durable_mail{"ada"}) == 200);
    CHECK(request_with(work, spill_mail{"bob"}) == 200);
    CHECK(request_with(work, memory_mail{"cleo"}) == 200);
    CHECK(request_with(work, memory_mail{"dan"}, {.delay = 1h}) == 200);
    CHECK(count(world, {}) == 1);
    const auto report = work.shutdown(10s);
    std::vector<std::string> lost;
    for (const auto& one : report.lost) {
        lost.push_back(one.name);
    }
    std::ranges::sort(lost);
    REQUIRE(lost.size() == 3);  // the task, too
    CHECK(std::ranges::count(lost, "memory_mail") == 2);
    CHECK(count(world, {.state = job_state::ready, .kind = "durable_mail"}) == 1);
    CHECK(count(world, {.state = job_state::ready, .kind = "spill_mail"}) == 1);
    CHECK(begun.size() == 0);
    const auto c = work.job_counters();
    CHECK(c.handed_over == 2);
    CHECK(c.lost == 2);
    CHECK(c.left == 0);
    CHECK(c.interrupted == 0);
    CHECK(adds_up(c));
}

TEST_CASE(
    "a running job that stops when it is asked to goes back, and has not "
    "failed") {
    job_world world;
    journal begun;
    dispatcher work(world.options(obedient(begun), 3));
    CHECK(request_with(work, durable_mail{"ada"}) == 200);
    CHECK(request_with(work, spill_mail{"bob"}) == 200);
    CHECK(request_with(work, memory_mail{"cleo"}) == 200);
    REQUIRE(eventually([&] { return begun.size() == 3; }));
    const auto report = work.shutdown(10s);
    REQUIRE(report.lost.size() == 1);
    CHECK(report.lost[0].name == "memory_mail");
    const auto c = work.job_counters();
    CHECK(c.interrupted == 3);
    CHECK(c.handed_over == 2);
    CHECK(c.lost == 1);
    CHECK(c.left == 0);
    CHECK(adds_up(c));
    auto other = world.store.connect();
    other->open({});
    const auto ready = other->find({.state = job_state::ready});
    REQUIRE(ready.size() == 2);
    CHECK(ready[0].job.failures == 0);
    CHECK(ready[1].job.failures == 0);
    CHECK(ready[0].job.crashes == 0);
}

TEST_CASE("a coroutine that a drain cancels goes back, and has not failed") {
    job_world world;
    journal begun;
    job_registry kinds;
    kinds.handle<durable_mail>([&](const durable_mail&) -> boost::asio::awaitable<void> {
        begun.note("begun");
        boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor, 1h);
        co_await timer.async_wait(boost::asio::use_awaitable);
    });
    dispatcher work(world.options(std::move(kinds)));
    CHECK(request_with(work, durable_mail{"ada"}) == 200);
    CHECK(request_with(work, durable_mail{"bob"}) == 200);
    REQUIRE(eventually([&] { return begun.size() == 2; }));
    CHECK(work.shutdown(10s).clean());
    CHECK(work.job_counters().interrupted == 2);
    CHECK(work.job_counters().handed_over == 2);
    CHECK(work.job_counters().left == 0);
    CHECK(adds_up(work.job_counters()));
    CHECK(count(world, {.state = job_state::ready}) == 2);
}

TEST_CASE(
    "a job that does not stop is given back all the same; its own end "
    "changes nothing then") {
    job_world world;
    journal begun;
    test::door door;
    {
        dispatcher work(world.options(waiting_at(door, begun), 3));
        const test::door_opener opener(door);
        CHECK(request_with(work, durable_mail{"ada"}) == 200);
        CHECK(request_with(work, spill_mail{"bob"}) == 200);
        CHECK(request_with(work, memory_mail{"cleo"}) == 200);
        REQUIRE(door.wait_for_waiters(3));
        const auto report = work.shutdown(10s);
        CHECK(report.lost.size() == 1);
        CHECK(work.job_counters().left == 0);
        CHECK(work.job_counters().handed_over == 2);
        CHECK(count(world, {.state = job_state::ready}) == 2);
        door.open();
    }
    CHECK(count(world, {.state = job_state::ready}) == 2);
    const auto id = [&] {
        auto other = world.store.connect();
        other->open({});
        return other->find({.kind = "durable_mail"}).at(0).job.id;
    }();
    CHECK(way_of(world, id) == std::vector<std::string>{"enqueued", "claimed", "given back"});
}

TEST_CASE("an end without time closes the store of an idle dispatcher all the same") {
    [[maybe_unused]] const auto round = GENERATE(range(0, 10));  // the threads may be quick
    job_world world;
    journal sent;
    dispatcher work(world.options(mailers(sent)));
    CHECK(request_with(work, durable_mail{"ada"}) == 200);
    REQUIRE(test::at_rest(work));
    CHECK(work.shutdown(0ms).clean());
    CHECK(world.trouble->ended());
}

TEST_CASE("at an end without time a job is lost or in the store, and never both") {
    [[maybe_unused]] const auto round = GENERATE(range(0, 10));  // the threads may be quick
    job_world world;
    journal begun;
    test::door door;
    auto work = std::make_unique<dispatcher>(world.options(waiting_at(door, begun)));
    const test::door_opener opener(door);
    CHECK(request_with(*work, spill_mail{"ada"}) == 200);
    REQUIRE(door.wait_for_waiters(1));
    const auto report = work->shutdown(0ms);
    door.open();
    work.reset();
    REQUIRE(eventually([&] { return world.trouble->ended(); }));
    CHECK(report.lost.size() + count(world, {.state = job_state::ready}) == 1);
}

TEST_CASE("a job whose request fails when the store is closed is named: it can't be withdrawn") {
    const bool claimed = GENERATE(true, false);
    job_world world;
    journal sent;
    auto options = world.options(mailers(sent));
    options.jobs.runs_jobs = claimed;
    dispatcher work(std::move(options));
    deferred after(work);
    after.enqueue(durable_mail{"ada"});
    REQUIRE_FALSE(commit(after, 200));
    work.shutdown(50ms);
    CHECK(respond(after, 500) == 500);
    CHECK(world.log.count({"may run although its request was answered with an error"}) == 1);
    CHECK(work.job_counters().left == 0);
    CHECK(adds_up(work.job_counters()));
}

TEST_CASE("a question that was answered before is nothing to give up at an end without time") {
    job_world world;
    journal sent;
    boost::asio::io_context loop;
    dispatcher work(world.options(mailers(sent)));
    bool answered = false;
    async_find(work, {}, loop.get_executor(),
               [&](const std::exception_ptr& why, const std::vector<job_view>&) {
                   answered = why == nullptr;
               });
    loop.run();
    CHECK(answered);
    work.shutdown(0ms);
    CHECK(work.job_counters().left == 0);
}

TEST_CASE(
    "a deadline is kept while the store hangs for ever; what it could "
    "not take is named") {
    const bool all = GENERATE(true, false);
    job_world world;
    journal begun;
    const test::releaser end(world.trouble);
    test::door door;
    auto work = std::make_unique<dispatcher>(world.options(waiting_at(door, begun), 2));
    const test::door_opener opener(door);
    CHECK(request_with(*work, durable_mail{"ada"}) == 200);
    CHECK(request_with(*work, spill_mail{"bob"}) == 200);
    CHECK(request_with(*work, spill_mail{"cleo"}) == 200);
    REQUIRE(door.wait_for_waiters(2));
    if (all) {
        world.trouble->hold_all();
        // The claimer must be in it.
        world.store.wake();
        REQUIRE(world.trouble->wait_for_held(call::claim));
    } else {
        world.trouble->hold(call::commit);
    }
    drain_report report;
    CHECK(time_of([&] { report = work->shutdown(2s); }) < 20s);
    // bob, who runs, and cleo, who waits, have nowhere to go.
    CHECK(report.lost.size() == 2);
    CHECK(!world.trouble->destroyed_in_a_call());
    const auto c = work->job_counters();
    CHECK(c.lost == 2);
    CHECK(c.left == 0);
    CHECK(adds_up(c));
    CHECK(world.log.count({"is lost"}) == 2);
    CHECK(world.log.count({"is not stored", "durable_mail"}) == 1);
    // The process may go on without it: nothing is used that is gone when the
    // store answers.
    door.open();
    work.reset();
    world.trouble->release_all();
}

TEST_CASE(
    "requests that wait for a store that hangs are answered when the "
    "dispatcher ends") {
    job_world world;
    journal sent;
    const test::releaser end(world.trouble);
    auto options = world.options(mailers(sent));
    options.jobs.commit_timeout = 1h;
    dispatcher work(std::move(options));
    world.trouble->hold(call::commit);
    boost::asio::io_context loop;
    auto first =
        async_enqueue(work, durable_mail{"ada"}, {}, loop.get_executor(), boost::asio::use_future);
    REQUIRE(world.trouble->wait_for_held(call::commit));
    auto second =
        async_enqueue(work, durable_mail{"bob"}, {}, loop.get_executor(), boost::asio::use_future);
    work.shutdown(100ms);
    CHECK(!world.trouble->destroyed_in_a_call());
    loop.run();
    CHECK_THROWS(first.get());
    CHECK_THROWS(second.get());
    CHECK(work.job_counters().refused == 2);
    CHECK(work.job_counters().left == 0);
    CHECK(adds_up(work.job_counters()));
}

TEST_CASE("a store that is gone at the end keeps the jobs that it has") {
    job_world world;
    journal sent;
    {
        test::door door;
        dispatcher work(world.options(waiting_at(door, sent)));
        const test::door_opener opener(door);
        CHECK(request_with(work, durable_mail{"ada"}) == 200);
        REQUIRE(door.wait_for_waiters(1));
        world.trouble->gone();
        door.open();
        CHECK(time_of([&] { work.shutdown(500ms); }) < 20s);
        CHECK(work.job_counters().left == 0);
        CHECK(adds_up(work.job_counters()));
        CHECK(world.log.count({"is not stored", "durable_mail"}) == 1);
    }
    world.trouble->gone(false);
    CHECK(count(world, {}) == 1);
    CHECK(count(world, {.state = job_state::done}) == 0);
}

TEST_CASE("work is accepted in a drain as far as it can be kept") {
    job_world world;
    journal begun;
    test::door door;
    dispatcher work(world.options(waiting_at(door, begun)));
    const test::door_opener opener(door);
    CHECK(request_with(work, durable_mail{"ada"}) == 200);
    REQUIRE(door.wait_for_waiters(1));
    auto ends = std::async(std::launch::async, [&] { return work.shutdown(60s); });
    REQUIRE(eventually([&] { return request_with(work, memory_mail{"bob"}) == 503; }));
    CHECK(request_with(work, memory_mail{"bob"}, {.delay = 1ms}) == 503);
    CHECK(request_with(work, spill_mail{"cleo"}) == 200);
    CHECK(request_with(work, durable_mail{"dan"}) == 200);
    // The last claim, which the end has interrupted, may have taken one, and gives it back.
    CHECK(eventually([&] { return work.find({.state = job_state::ready}).size() == 2; }));
    door.open();
    CHECK(ends.get().clean());
    CHECK(count(world, {.state = job_state::ready}) == 2);
    CHECK(count(world, {.state = job_state::done}) == 1);
    CHECK(work.job_counters().left == 0);
    CHECK(adds_up(work.job_counters()));
}

TEST_CASE("a list that outlives its dispatcher's end is accounted for all the same") {
    job_world world;
    journal begun;
    dispatcher work(world.options(mailers(begun)));
    const auto answer = GENERATE(200U, 500U);
    {
        deferred after(work);
        after.enqueue(memory_mail{"ada"});
        after.enqueue(spill_mail{"bob"});
        after.enqueue(durable_mail{"cleo"});
        after.enqueue(memory_mail{"dan"}, {.delay = 1h});
        work.shutdown(50ms);
        const auto status = respond(after, answer);
        CHECK(status == (answer == 200 ? 503 : 500));
    }
    CHECK(begun.size() == 0);
    CHECK(work.job_counters().left == 0);
    CHECK(adds_up(work.job_counters()));
}
