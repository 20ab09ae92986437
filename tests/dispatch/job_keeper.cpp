// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
// Leases are renewed in time, whatever else is to be done with the store.
#include "postlude/dispatch/async_jobs.hpp"

#include "dispatch/job_world.hpp"
#include "support/catch.hpp"
#include "support/limited_backend.hpp"

#include <boost/asio/io_context.hpp>

#include <algorithm>
#include <chrono>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using namespace postlude;
using test::call;
using test::durable_mail;
using test::eventually;
using test::job_world;
using test::journal;
using test::mailers;

namespace {

/// Calls that each take longer than the time after which leases are to be renewed.
class long_rescues {
public:
    explicit long_rescues(job_world& world) {
        world.trouble->before(call::rescue, [this, of = world.trouble.get()] {
            {
                const std::lock_guard lock(mutex_);
                renewals_.push_back(of->count(call::renew));
            }
            std::this_thread::sleep_for(lease / 5);
        });
    }
    std::size_t count() {
        const std::lock_guard lock(mutex_);
        return renewals_.size();
    }
    /// Whether before each, but the first, there was a renewal.
    bool renewed_between() {
        const std::lock_guard lock(mutex_);
        return std::ranges::adjacent_find(renewals_, std::greater_equal{}) == renewals_.end();
    }

    static constexpr std::chrono::milliseconds lease{1'000};  ///< renewed six times as often

private:
    std::mutex mutex_;
    std::vector<std::size_t> renewals_;
};

}  // namespace

TEST_CASE("the store hears of this process every 10 s, however long the lease") {
    job_world world;
    journal sent;
    auto options = world.options(mailers(sent));
    options.jobs.lease = 24h;
    const dispatcher work(std::move(options));
    CHECK(world.trouble->wait_for_count(call::renew, 1));
}

TEST_CASE("leases are renewed while a question hangs in the store") {
    job_world world;
    journal sent;
    auto options = world.options(mailers(sent));
    options.jobs.lease = 1s;
    dispatcher work(std::move(options));
    const test::releaser end(world.trouble);
    world.trouble->hold(call::find);
    boost::asio::io_context loop;
    int answered = 0;
    async_find(work, {}, loop.get_executor(),
               [&](const std::exception_ptr& none, const std::vector<job_view>&) {
                   CHECK_FALSE(none);
                   ++answered;
               });
    REQUIRE(world.trouble->wait_for_held(call::find));
    const auto before = world.trouble->count(call::renew);
    CHECK(world.trouble->wait_for_count(call::renew, before + 3));
    world.trouble->release(call::find);
    loop.run();
    CHECK(answered == 1);
}

TEST_CASE("leases are renewed between the parts of a long rescue") {
    constexpr std::size_t many = 3'500;  // a thousand at once
    job_world world;
    const auto silent = world.store.connect();
    open_options asked;
    asked.kinds = {{"durable_mail", 0}};
    asked.lease = 1s;
    silent->open(asked);
    std::vector<put> jobs(many);
    for (std::size_t i = 0; i != many; ++i) {
        jobs[i].job.id = i + 1;
        jobs[i].job.kind = "durable_mail";
        jobs[i].job.queue = "mail";
        jobs[i].job.arguments = R"({"to":"ada"})";
        jobs[i].claimed = true;
    }
    silent->commit(jobs, {});
    world.pass(2s);
    long_rescues rescues(world);
    journal sent;
    auto options = world.options(mailers(sent));
    options.jobs.lease = long_rescues::lease;
    options.jobs.runs_jobs = false;
    dispatcher work(std::move(options));
    CHECK(eventually(
        [&] { return work.find({.state = job_state::ready, .limit = many}).size() == many; }));
    CHECK(rescues.count() >= 4);
    CHECK(rescues.renewed_between());
}

TEST_CASE("a job that has ended is not asked to stop when its lease is lost behind it") {
    job_world world;
    journal sent;
    test::door door;
    auto options = world.options(mailers(sent, [door](job_context&) { door.wait(); }));
    options.jobs.lease = 1s;
    dispatcher work(std::move(options));
    const test::door_opener opener(door);
    const test::releaser end(world.trouble);
    CHECK(test::request_with(work, durable_mail{"ada"}) == 200);
    REQUIRE(door.wait_for_waiters(1));
    world.trouble->hold(call::renew);
    REQUIRE(world.trouble->wait_for_held(call::renew));
    world.trouble->hold(call::commit);
    door.open();
    REQUIRE(world.trouble->wait_for_held(call::commit));
    world.pass(3s);
    const auto other = world.store.connect();
    other->open({});
    REQUIRE(other->rescue(10).size() == 1);
    const auto before = world.trouble->count(call::renew);
    world.trouble->release(call::renew);
    REQUIRE(world.trouble->wait_for_count(call::renew, before + 1));
    CHECK(world.log.count({"asked to stop"}) == 0);
    world.trouble->release(call::commit);
    CHECK(eventually([&] { return work.job_counters().revoked == 1; }));
}

TEST_CASE("what failed of the keeper's work is tried again soon, not at its next turn") {
    job_world world;
    journal sent;
    auto options = world.options(mailers(sent));
    options.jobs.store = std::make_unique<test::failing_backend>(
        std::make_unique<test::limited_backend>(world.store.connect()), world.trouble);
    options.jobs.rescue_interval = 1h;  // such a store does not see an owner's death
    world.trouble->fail(call::rescue);
    dispatcher work(std::move(options));
    CHECK(world.trouble->wait_for_count(call::rescue, 2));
    CHECK(world.log.count({"the store"}) == 0);
}

TEST_CASE("upkeep that keeps failing has a line of its own, and hides no outage") {
    job_world world;
    journal sent;
    for (std::size_t n = 1; n <= 100; ++n) {
        world.trouble->fail(call::rescue, n);
    }
    auto options = world.options(mailers(sent));
    options.jobs.rescue_interval = 100ms;
    options.jobs.runs_jobs = false;  // so each commit is a request's
    dispatcher work(std::move(options));
    const test::releaser end(world.trouble);
    CHECK(eventually([&] { return world.log.count({"rescue of jobs", "tried again"}) == 1; }));
    CHECK(world.log.count({"the store of jobs does not work"}) == 0);
    CHECK(test::request_with(work, durable_mail{"ada"}) == 200);
    world.trouble->fail(call::commit);
    CHECK(eventually([&] { return test::request_with(work, durable_mail{"bob"}) == 503; }));
    CHECK(world.log.count({"the store of jobs does not work"}) == 1);
    CHECK(eventually([&] { return test::request_with(work, durable_mail{"cleo"}) == 200; }));
    CHECK(eventually([&] { return world.log.count({"the store of jobs works again"}) == 1; }));
    CHECK(world.log.count({"rescue of jobs", "tried again"}) == 1);
}
