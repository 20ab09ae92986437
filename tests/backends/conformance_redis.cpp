// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/backends/redis.hpp"

#include "conformance_real.hpp"
#include "redis_support.hpp"

using namespace postlude;

namespace {

class redis_under_test : public test::real_backend_under_test {
public:
    capabilities can() const override {
        return {.stored_as_claimed = true,
                .atomic_follow_ups = true,
                .leases = true,
                .sees_death = false,
                .exact_crash_counts = true,
                .priorities = true,
                .history = true,
                .query = true,
                .callers_transaction = false,
                .longest_delay = std::chrono::hours(24 * 36525)};
    }
    std::unique_ptr<backend> connect() override { return redis_backend({.url = url_}); }

private:
    const std::string url_ = test::new_redis_url();
};

/// A server that does not sync each commit.
class quick_redis_under_test final : public redis_under_test {
public:
    capabilities can() const override {
        auto c = redis_under_test::can();
        c.commits_at_once = 2;
        return c;
    }

private:
    const test::redis_setting sync_{"appendfsync", "everysec"};
};

const test::conforming redis_conforms("redis", [] { return std::make_unique<redis_under_test>(); });
const test::conforming quick_redis_conforms("redis, appendfsync everysec", [] {
    return std::make_unique<quick_redis_under_test>();
});

}  // namespace
