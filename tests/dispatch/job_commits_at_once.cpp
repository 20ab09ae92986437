// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
// A store that takes two commits at the same time.
#include "dispatch/job_world.hpp"
#include "postlude/dispatch/async_jobs.hpp"

#include <boost/asio/io_context.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using namespace postlude;
using boost::system::error_code;
using test::adds_up;
using test::at_rest;
using test::call;
using test::durable_mail;
using test::eventually;
using test::job_world;
using test::journal;
using test::mailers;

namespace {

constexpr std::size_t many = 40;

/// Registrations that wait for their commit.
class registrations {
public:
    explicit registrations(dispatcher& work) : work_(work) {}

    void add(std::size_t n) {
        for (std::size_t i = 0; i != n; ++i) {
            async_enqueue(work_, durable_mail{"ada"}, {}, loop_.get_executor(),
                          [this](error_code ec, job_id) { answers_.push_back(ec); });
        }
    }
    /// How many have got this answer by now.
    std::size_t count(error_code ec) {
        loop_.restart();
        loop_.poll();
        return static_cast<std::size_t>(std::ranges::count(answers_, ec));
    }

private:
    dispatcher& work_;
    boost::asio::io_context loop_;
    std::vector<error_code> answers_;
};

dispatcher_options over_wide_store(job_world& world, journal& sent) {
    world.trouble->commits_at_once(2);
    auto options = world.options(mailers(sent));
    options.jobs.runs_jobs = false;
    options.jobs.commit_timeout = 1h;
    return options;
}

/// Has half of `many` registrations in each of two commits, and lets one of those hang in the store
/// until the door opens.
void let_one_hang(job_world& world, registrations& all, test::door door, bool the_first_writer) {
    struct state {
        std::thread::id first;
        std::atomic<bool> armed{false};
    };
    const auto shared = std::make_shared<state>();
    world.trouble->before(call::commit, [=] {
        if (!shared->armed) {
            shared->first = std::this_thread::get_id();
        } else if ((shared->first == std::this_thread::get_id()) == the_first_writer) {
            door.wait();
        }
    });
    all.add(1);
    REQUIRE(eventually([&] { return all.count({}) == 1; }));
    world.trouble->hold(call::commit);
    all.add(many);
    REQUIRE(world.trouble->wait_for_held(call::commit, 2));
    shared->armed = true;
    world.trouble->release(call::commit);
}

}  // namespace

TEST_CASE("many requests are shared between two commits at the same time; few are one") {
    job_world world;
    journal sent;
    dispatcher work(over_wide_store(world, sent));
    const test::releaser end(world.trouble);
    registrations all(work);
    world.trouble->hold(call::commit);
    all.add(8);
    REQUIRE(world.trouble->wait_for_held(call::commit));
    CHECK(world.trouble->count(call::commit) == 1);
    all.add(many);
    CHECK(world.trouble->wait_for_held(call::commit, 2));
    world.trouble->release(call::commit);
    CHECK(eventually([&] { return all.count({}) == 8 + many; }));
    CHECK(work.find({}).size() == 8 + many);
    CHECK(at_rest(work));
}

TEST_CASE("a commit that hangs holds up no other one") {
    const bool the_first_writer = GENERATE(true, false);
    job_world world;
    journal sent;
    test::door door;
    dispatcher work(over_wide_store(world, sent));
    const test::releaser end(world.trouble);
    const test::door_opener opener(door);
    registrations all(work);
    let_one_hang(world, all, door, the_first_writer);
    CHECK(eventually([&] { return all.count({}) == 1 + many / 2; }));
    REQUIRE(door.wait_for_waiters(1));
    CHECK(all.count({}) == 1 + many / 2);
    door.open();
    CHECK(eventually([&] { return all.count({}) == 1 + many; }));
    CHECK(work.find({}).size() == 1 + many);
    CHECK(at_rest(work));
}

TEST_CASE("what two commits have stored too late is withdrawn") {
    job_world world;
    journal sent;
    auto options = over_wide_store(world, sent);
    options.jobs.commit_timeout = 1s;
    dispatcher work(std::move(options));
    const test::releaser end(world.trouble);
    registrations all(work);
    world.trouble->hold(call::commit);
    all.add(many);
    REQUIRE(world.trouble->wait_for_held(call::commit, 2));
    CHECK(eventually([&] { return all.count(errc::store_timeout) == many; }));
    world.trouble->release(call::commit);
    CHECK(at_rest(work));
    CHECK(work.job_counters().refused == many);
    work.shutdown(test::patience);
    CHECK(world.trouble->count(call::commit) == 2);
    const auto other = world.store.connect();
    other->open({});
    CHECK(other->find({}).empty());
}

TEST_CASE("at the end a commit that hangs is left behind, and the others are not") {
    const bool the_first_writer = GENERATE(true, false);
    job_world world;
    journal sent;
    test::door door;
    const test::releaser end(world.trouble);
    const test::door_opener opener(door);
    dispatcher work(over_wide_store(world, sent));
    registrations all(work);
    let_one_hang(world, all, door, the_first_writer);
    CHECK(eventually([&] { return all.count({}) == 1 + many / 2; }));
    REQUIRE(door.wait_for_waiters(1));
    work.shutdown(500ms);
    CHECK(!world.trouble->destroyed_in_a_call());
    CHECK(all.count(errc::stopped) == many / 2);
    CHECK(all.count({}) == 1 + many / 2);
    CHECK(work.job_counters().left == 0);
    CHECK(adds_up(work.job_counters()));
}
