// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/core/counters.hpp"

#include "support/catch.hpp"

TEST_CASE("counters add up member by member") {
    const postlude::counters a{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    postlude::counters sum = a;
    sum += a;
    CHECK(sum.registered == 2);
    CHECK(sum.refused == 4);
    CHECK(sum.discarded == 6);
    CHECK(sum.completed == 8);
    CHECK(sum.failed == 10);
    CHECK(sum.lost == 12);
    CHECK(sum.handed_over == 14);
    CHECK(sum.left == 16);
    CHECK(sum.posted == 18);
    CHECK(sum.overrunning == 20);
    CHECK(sum.overran == 22);
}

TEST_CASE("counters of jobs add up member by member") {
    const postlude::job_counters a{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    postlude::job_counters sum = a;
    sum += a;
    CHECK(sum.registered == 2);
    CHECK(sum.claimed == 4);
    CHECK(sum.refused == 6);
    CHECK(sum.discarded == 8);
    CHECK(sum.completed == 10);
    CHECK(sum.dead == 12);
    CHECK(sum.lost == 14);
    CHECK(sum.handed_over == 16);
    CHECK(sum.revoked == 18);
    CHECK(sum.left == 20);
    CHECK(sum.spilled == 22);
    CHECK(sum.retried == 24);
    CHECK(sum.interrupted == 26);
    CHECK(sum.rescued == 28);
    CHECK(sum.quarantined == 30);
    CHECK(sum.unstored == 32);
}
