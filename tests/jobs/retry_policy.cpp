// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/jobs/retry_policy.hpp"

#include "support/catch.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <limits>

using namespace std::chrono_literals;
using postlude::retry_policy;

namespace {

constexpr double middle = 0.5;
constexpr double nearly_one = 1 - std::numeric_limits<double>::epsilon() / 2;

}  // namespace

TEST_CASE("the default waits 16 s, 31 s, 96 s, 271 s, and 1.5 days in the end") {
    const retry_policy policy;
    constexpr std::array expected{16s,    31s,    96s,    271s,    640s,   1311s,  2416s,
                                  4111s,  6576s,  10015s, 14656s,  20751s, 28576s, 38431s,
                                  50640s, 65551s, 83536s, 104991s, 130336s};
    for (std::size_t i = 0; i < expected.size(); ++i) {
        CAPTURE(i);
        CHECK(policy.delay(static_cast<unsigned>(i + 1), middle) == expected[i]);
    }
}

TEST_CASE("the jitter stays within its bounds and reaches them") {
    const retry_policy policy;
    CHECK(policy.delay(1, 0) == 14'400ms);
    CHECK(policy.delay(1, nearly_one) == 17'600ms);
    CHECK(policy.delay(1, 0.25) == 15'200ms);
    CHECK(policy.delay(1, 0.75) == 16'800ms);
    for (int i = 0; i < 1000; ++i) {
        const auto delay = policy.delay(3, i / 1000.0);
        CHECK(delay >= 86'400ms);
        CHECK(delay <= 105'600ms);
    }
}

TEST_CASE("without jitter the delay does not depend on the random number") {
    const retry_policy policy{.jitter = 0};
    CHECK(policy.delay(2, 0) == 31s);
    CHECK(policy.delay(2, nearly_one) == 31s);
}

TEST_CASE("a full jitter reaches from nothing to twice the delay") {
    const retry_policy policy{.jitter = 1};
    CHECK(policy.delay(1, 0) == 0ms);
    CHECK(policy.delay(1, nearly_one) == 32s);
}

TEST_CASE("the longest delay is a limit before the jitter") {
    const retry_policy policy{.longest = 20s};
    CHECK(policy.delay(1, middle) == 16s);
    CHECK(policy.delay(2, middle) == 20s);
    CHECK(policy.delay(2, 0) == 18s);
    CHECK(policy.delay(1000, nearly_one) == 22s);
    CHECK(retry_policy{.longest = 0ms}.delay(5, middle) == 0ms);
}

TEST_CASE("exponents and units give constant, linear and quadratic delays") {
    CHECK(retry_policy{.base = 5s, .exponent = 0}.delay(7, middle) == 6s);
    CHECK(retry_policy{.base = 5s, .unit = 0s}.delay(7, middle) == 5s);
    CHECK(retry_policy{.base = 0s, .exponent = 1, .unit = 60s}.delay(7, middle) == 7min);
    CHECK(retry_policy{.base = 1ms, .exponent = 2}.delay(3, middle) == 9001ms);
}

TEST_CASE("no number of failures overflows") {
    constexpr auto most = std::numeric_limits<unsigned>::max();
    constexpr auto forever = std::chrono::milliseconds::max();
    CHECK(retry_policy{}.delay(most, middle) == 168h);
    CHECK(retry_policy{.exponent = 8}.delay(most, nearly_one) >= 168h);
    const retry_policy endless{
        .exponent = 8, .unit = std::chrono::seconds::max(), .longest = forever};
    CHECK(endless.delay(most, middle) == forever);
    CHECK(endless.delay(most, nearly_one) == forever);
    CHECK(endless.delay(most, 0) > 0ms);
    CHECK(retry_policy{}.delay(0, middle) == 15s);
}
