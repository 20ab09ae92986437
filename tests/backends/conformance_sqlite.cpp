// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/backends/sqlite.hpp"

#include "conformance_real.hpp"
#include "support/temporary_directory.hpp"

using namespace postlude;

namespace {

class sqlite_under_test final : public test::real_backend_under_test {
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
                .longest_delay = std::chrono::hours(24 * 36525)};
    }
    std::unique_ptr<backend> connect() override {
        return sqlite_backend({.file = directory_.file("jobs.sqlite")});
    }

private:
    test::temporary_directory directory_;
};

const test::conforming sqlite_conforms("sqlite",
                                       [] { return std::make_unique<sqlite_under_test>(); });

}  // namespace
