// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "dispatch/jobs_support.hpp"
#include "support/eventually.hpp"
#include "support/failing_backend.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <latch>

using namespace std::chrono_literals;
using namespace postlude;
using test::adds_up;
using test::durable_mail;
using test::journal;
using test::mailers;
using test::memory_mail;
using test::respond;
using test::spill_mail;

namespace {

dispatcher_options with_store(job_registry kinds, memory_store& store) {
    dispatcher_options options{.pool = {.threads = 2}, .kinds = std::move(kinds)};
    options.jobs.store = store.connect();
    return options;
}

}  // namespace

TEMPLATE_TEST_CASE("a job runs after its response, with its arguments and its request's id", "",
                   memory_mail, spill_mail, durable_mail) {
    memory_store store;
    journal sent;
    journal ids;
    dispatcher work(with_store(
        mailers(sent, [&](job_context& job) { ids.note(std::string(job.request_id())); }), store));
    deferred after(work, {.id = "request-1"});
    CHECK(after.enqueue(TestType{"ada"}));
    CHECK(commit(after, 200) == boost::system::error_code());
    CHECK(sent.size() == 0);
    CHECK(respond(after) == 200);
    REQUIRE(test::eventually([&] { return work.job_counters().completed == 1; }));
    CHECK(sent.lines() == std::vector<std::string>{"ada"});
    CHECK(ids.lines() == std::vector<std::string>{"request-1"});
    CHECK(adds_up(work.job_counters()));
    CHECK(work.job_counters().left == 0);
}

TEST_CASE("a durable job is in the store before its response begins, claimed by this process") {
    memory_store store;
    journal sent;
    dispatcher work(with_store(mailers(sent), store));
    deferred after(work);
    after.enqueue(durable_mail{"ada"});
    CHECK(work.find({}).empty());
    REQUIRE(!commit(after, 200));
    const auto found = work.find({});
    REQUIRE(found.size() == 1);
    CHECK(found[0].state == job_state::claimed);
    CHECK(found[0].job.arguments == R"({"to":"ada"})");
    CHECK(sent.size() == 0);
    respond(after);
    CHECK(test::eventually([&] { return work.find({.state = job_state::done}).size() == 1; }));
    CHECK(work.job_counters().claimed == 0);
}

TEST_CASE("a job whose handler failed is not stored, and does not run") {
    memory_store store;
    journal sent;
    dispatcher work(with_store(mailers(sent), store));
    {
        deferred after(work);
        after.enqueue(durable_mail{"ada"});
        after.enqueue(spill_mail{"bob"});
        after.enqueue(durable_mail{"the operator"}, {.when = when::failed});
        CHECK(respond(after, 500) == 500);
    }
    REQUIRE(test::eventually([&] { return work.job_counters().left == 0; }));
    CHECK(sent.lines() == std::vector<std::string>{"the operator"});
    CHECK(work.find({}).size() == 1);
    CHECK(work.job_counters().discarded == 2);
    CHECK(adds_up(work.job_counters()));
}

TEMPLATE_TEST_CASE("a job that fails is tried again, and is dead after its last attempt", "",
                   memory_mail, spill_mail, durable_mail) {
    memory_store store;
    journal sent;
    dispatcher work(with_store(mailers(sent,
                                       [&](job_context& job) {
                                           CHECK(job.attempt() == sent.size());
                                           throw std::runtime_error("no route");
                                       }),
                               store));
    deferred after(work);
    after.enqueue(TestType{"ada"});
    respond(after);
    REQUIRE(test::eventually([&] { return work.job_counters().dead == 1; }));
    CHECK(sent.size() == 3);
    CHECK(work.job_counters().retried == 2);
    CHECK(adds_up(work.job_counters()));
    if (TestType::job.stored != durability::memory) {
        CHECK(test::eventually([&] { return work.find({.state = job_state::dead}).size() == 1; }));
        CHECK(work.find({}).at(0).reason == "no route");
        CHECK(work.find({}).at(0).job.failures == 3);
    }
}

TEST_CASE(
    "a store that is gone makes a durable request a 503, holds up no other work, and nothing "
    "is lost") {
    memory_store store;
    journal sent;
    auto options = with_store(mailers(sent), store);
    const auto trouble = std::make_shared<test::store_trouble>();
    options.jobs.store =
        std::make_unique<test::failing_backend>(std::move(options.jobs.store), trouble);
    dispatcher work(std::move(options));
    trouble->gone();
    {
        deferred after(work);
        after.enqueue(durable_mail{"ada"});
        CHECK(respond(after) == 503);
    }
    {
        deferred after(work);
        after.enqueue(memory_mail{"bob"});
        CHECK(respond(after) == 200);
    }
    REQUIRE(test::eventually([&] { return sent.size() == 1; }));
    trouble->gone(false);
    CHECK(test::eventually([&] {
        deferred after(work);
        after.enqueue(durable_mail{"cleo"});
        return respond(after) == 200;
    }));
    REQUIRE(test::eventually([&] { return sent.size() == 2; }));
    CHECK(sent.lines() == std::vector<std::string>{"bob", "cleo"});
    REQUIRE(test::eventually([&] { return work.job_counters().left == 0; }));
    CHECK(work.job_counters().refused >= 1);
    CHECK(adds_up(work.job_counters()));
}
