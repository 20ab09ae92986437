// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/dispatch/log_jobs.hpp"

#include "dispatch/job_world.hpp"

#include "support/catch.hpp"

#include <stdexcept>

using namespace postlude;
using test::durable_mail;
using test::job_world;
using test::journal;
using test::mailers;

TEST_CASE("each run of a job has a line with its attempt and its request, and no arguments") {
    job_world world;
    journal sent;
    test::captured_log runs;
    auto options = world.options(mailers(sent, [](job_context& job) {
        if (job.attempt() == 1) {
            throw std::runtime_error("no route");
        }
    }));
    options.jobs.around.push_back(log_jobs(runs.logger()));
    dispatcher work(std::move(options));
    {
        deferred after(work, {.id = "request-1"});
        after.enqueue(durable_mail{"ada@example.org"});
        CHECK(test::respond(after) == 200);
    }
    REQUIRE(test::eventually([&] { return work.job_counters().completed == 1; }));
    CHECK(runs.count(
              {"'durable_mail' failed in ", " ms, attempt 1: no route (request request-1)"}) == 1);
    CHECK(runs.count({"'durable_mail' done in ", " ms, attempt 2 (request request-1)"}) == 1);
    CHECK(runs.count({"ada@example.org"}) == 0);
    CHECK(test::at_rest(work));
}

TEST_CASE("a log of jobs takes a logger") {
    CHECK_THROWS_WITH(log_jobs(nullptr), Catch::StartsWith("log_jobs takes a logger"));
}
