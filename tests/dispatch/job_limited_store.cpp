// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
// A store that can't store a job as claimed, and can't be asked for one.
#include "dispatch/job_world.hpp"
#include "support/limited_backend.hpp"

#include <catch2/catch.hpp>

#include <stdexcept>

using namespace std::chrono_literals;
using namespace postlude;
using test::at_rest;
using test::call;
using test::durable_mail;
using test::eventually;
using test::job_world;
using test::journal;
using test::mailers;
using test::request_with;

namespace {

dispatcher_options over_limited_store(job_world& world, job_registry kinds) {
    auto made = world.options({});
    made.kinds = std::move(kinds);
    made.jobs.store = std::make_unique<test::failing_backend>(
        std::make_unique<test::limited_backend>(world.store.connect()), world.trouble);
    return made;
}

struct one_try {
    std::string to;
    static constexpr job_traits job{.kind = "one_try", .attempts = 1};
};
BOOST_DESCRIBE_STRUCT(one_try, (), (to))

/// Another process, which can look at everything.
std::vector<job_view> all_jobs(job_world& world) {
    const auto other = world.store.connect();
    other->open({});
    return other->find({});
}

}  // namespace

TEST_CASE("where no job can be stored as claimed, durable ones are stored ready, claimed and run") {
    job_world world;
    journal sent;
    dispatcher work(over_limited_store(world, mailers(sent)));
    const test::releaser end(world.trouble);
    for (const auto* to : {"ada", "bob", "cleo"}) {
        CHECK(request_with(work, durable_mail{to}) == 200);
    }
    CHECK(eventually([&] { return sent.size() == 3; }));
    CHECK(at_rest(work));
    CHECK(work.job_counters().completed == 3);
}

TEST_CASE("a job of memory that is dead is kept as dead, where none can be stored as claimed") {
    job_world world;
    job_registry kinds;
    kinds.handle<one_try>(
        [](const one_try&, job_context&) { throw std::runtime_error("mailbox gone"); });
    dispatcher work(over_limited_store(world, std::move(kinds)));
    const test::releaser end(world.trouble);
    CHECK(request_with(work, one_try{"ada"}) == 200);
    CHECK(at_rest(work));
    CHECK(work.job_counters().dead == 1);
    const auto all = all_jobs(world);
    REQUIRE(all.size() == 1);
    CHECK(all[0].state == job_state::dead);
    CHECK(all[0].reason == "mailbox gone");
    CHECK(all[0].job.failures == 1);
}

TEST_CASE("what can't be withdrawn is named, runs, and holds up nothing") {
    job_world world;
    journal sent;
    dispatcher work(over_limited_store(world, mailers(sent)));
    const test::releaser end(world.trouble);
    world.trouble->lose_answer();
    CHECK(request_with(work, durable_mail{"ada"}) == 503);
    CHECK(request_with(work, durable_mail{"bob"}) == 200);
    CHECK(eventually([&] { return sent.size() == 2; }));
    CHECK(world.log.count({"may run although its request was answered with an error"}) == 1);
    CHECK(at_rest(work));
    CHECK(world.trouble->count(call::amend) == 0);
}

TEST_CASE("a question that the store can't answer is an error of its own") {
    job_world world;
    journal sent;
    dispatcher work(over_limited_store(world, mailers(sent)));
    const test::releaser end(world.trouble);
    try {
        work.find({});
        FAIL("it was answered");
    } catch (const boost::system::system_error& e) {
        CHECK(e.code() == errc::not_supported);
    }
}
