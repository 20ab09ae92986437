// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/core/counters.hpp"

#include "support/catch.hpp"

TEST_CASE("counters add up member by member") {
    const postlude::counters a{1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    postlude::counters sum = a;
    sum += a;
    CHECK(sum.registered == 2);
    CHECK(sum.refused == 4);
    CHECK(sum.discarded == 6);
    CHECK(sum.completed == 8);
    CHECK(sum.failed == 10);
    CHECK(sum.lost == 12);
    CHECK(sum.left == 14);
    CHECK(sum.posted == 16);
    CHECK(sum.overrunning == 18);
    CHECK(sum.overran == 20);
}
