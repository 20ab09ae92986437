// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/jobs/traits.hpp"

#include "support/catch.hpp"

#include <boost/describe/class.hpp>

#include <memory>
#include <string>

using postlude::durability;
using postlude::job_traits;
using postlude::job_type;

namespace {

struct complete {
    std::string to;
    static constexpr job_traits job{.kind = "complete"};
};
BOOST_DESCRIBE_STRUCT(complete, (), (to))

struct undescribed {
    static constexpr job_traits job{.kind = "undescribed"};
};

struct without_contract {};
BOOST_DESCRIBE_STRUCT(without_contract, (), ())

struct move_only {
    std::unique_ptr<int> p;
    static constexpr job_traits job{.kind = "move_only"};
};
BOOST_DESCRIBE_STRUCT(move_only, (), (p))

struct without_default {
    explicit without_default(int) {}
    static constexpr job_traits job{.kind = "without_default"};
};
BOOST_DESCRIBE_STRUCT(without_default, (), ())

struct another_contract {
    static constexpr int job = 1;
};
BOOST_DESCRIBE_STRUCT(another_contract, (), ())

}  // namespace

TEST_CASE("a job is a described struct with a contract, that can be copied and made") {
    STATIC_REQUIRE(job_type<complete>);
    STATIC_REQUIRE_FALSE(job_type<undescribed>);
    STATIC_REQUIRE_FALSE(job_type<without_contract>);
    STATIC_REQUIRE_FALSE(job_type<move_only>);
    STATIC_REQUIRE_FALSE(job_type<without_default>);
    STATIC_REQUIRE_FALSE(job_type<another_contract>);
    STATIC_REQUIRE_FALSE(job_type<int>);
}

TEST_CASE("a contract that says nothing takes the defaults") {
    constexpr job_traits traits{.kind = "k"};
    STATIC_REQUIRE(traits.queue == "default");
    STATIC_REQUIRE(traits.stored == durability::spill);
    STATIC_REQUIRE(traits.priority == 1);
    STATIC_REQUIRE(traits.run_limit.count() == 0);
    STATIC_REQUIRE(traits.secret[0].empty());
    STATIC_REQUIRE(traits.former[0].empty());
}

TEST_CASE("a job is tried 20 times, 3 times in memory, or as often as its contract says") {
    STATIC_REQUIRE(job_traits{.kind = "k"}.most_attempts() == 20);
    STATIC_REQUIRE(job_traits{.kind = "k", .stored = durability::durable}.most_attempts() == 20);
    STATIC_REQUIRE(job_traits{.kind = "k", .stored = durability::memory}.most_attempts() == 3);
    STATIC_REQUIRE(job_traits{.kind = "k", .attempts = 1}.most_attempts() == 1);
    STATIC_REQUIRE(
        job_traits{.kind = "k", .stored = durability::memory, .attempts = 7}.most_attempts() == 7);
}
