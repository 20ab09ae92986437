// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/backends/memory.hpp"

#include "conformance.hpp"

#include <atomic>

using namespace postlude;

namespace {

class memory_under_test final : public test::backend_under_test {
public:
    capabilities can() const override {
        return {.stored_as_claimed = true,
                .atomic_follow_ups = true,
                .leases = true,
                .sees_death = true,
                .exact_crash_counts = true,
                .priorities = true,
                .history = true,
                .query = true,
                .callers_transaction = false,
                .longest_delay = std::chrono::hours(24 * 3650)};
    }
    std::unique_ptr<backend> connect() override { return store_.connect(); }
    void owner_dies(const open_options& options,
                    const std::function<void(backend&)>& work) override {
        const auto doomed = connect();
        const auto owner = doomed->open(options).owner;
        work(*doomed);
        store_.kill(owner);
    }
    store_time now() override { return store_time(std::chrono::microseconds(*time_)); }
    void pass(std::chrono::milliseconds time) override {
        *time_ += std::chrono::microseconds(time).count();
        store_.wake();
    }
    std::chrono::milliseconds lease() const override { return std::chrono::seconds(30); }
    std::chrono::milliseconds grain() const override { return std::chrono::milliseconds(0); }

private:
    using clock = std::atomic<std::int64_t>;
    const std::shared_ptr<clock> time_ = std::make_shared<clock>(1'800'000'000'000'000);
    memory_store store_{[time = time_] { return store_time(std::chrono::microseconds(*time)); }};
};

const test::conforming memory_conforms("memory",
                                       [] { return std::make_unique<memory_under_test>(); });

}  // namespace
