// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/jobs/record.hpp"

#include "support/catch.hpp"

#include <string>

using postlude::job_state;

TEST_CASE("a state's number is stored, so it never changes") {
    CHECK(static_cast<int>(job_state::ready) == 1);
    CHECK(static_cast<int>(job_state::claimed) == 2);
    CHECK(static_cast<int>(job_state::done) == 3);
    CHECK(static_cast<int>(job_state::dead) == 4);
    CHECK(static_cast<int>(job_state::quarantined) == 5);
    CHECK(static_cast<int>(job_state::cancelled) == 6);
}

TEST_CASE("each state has a name, and a number that is none says so") {
    CHECK(to_string(job_state::ready) == "ready");
    CHECK(to_string(job_state::claimed) == "claimed");
    CHECK(to_string(job_state::done) == "done");
    CHECK(to_string(job_state::dead) == "dead");
    CHECK(to_string(job_state::quarantined) == "quarantined");
    CHECK(to_string(job_state::cancelled) == "cancelled");
    CHECK(to_string(job_state{0}) == "unknown");
    CHECK(to_string(job_state{7}) == "unknown");
}

TEST_CASE("a record begins as a job that nobody has tried") {
    const postlude::job_record record;
    CHECK(record.arguments == "{}");
    CHECK(record.priority == 1);
    CHECK(record.failures == 0);
    CHECK(record.crashes == 0);
    CHECK(record.request_id.empty());
}
