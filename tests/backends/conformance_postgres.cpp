// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/backends/postgres.hpp"

#include "conformance_real.hpp"
#include "postgres_support.hpp"

using namespace postlude;

namespace {

class postgres_under_test final : public test::real_backend_under_test {
public:
    /// @param pooled behind a pooler, which the store has to find out.
    explicit postgres_under_test(bool pooled) : pooled_(pooled) {}

    capabilities can() const override {
        return {.stored_as_claimed = true,
                .atomic_follow_ups = true,
                .leases = true,
                .sees_death = !pooled_,
                .exact_crash_counts = true,
                .priorities = true,
                .history = true,
                .query = true,
                .callers_transaction = true,
                .longest_delay = std::chrono::hours(24 * 36525)};
    }
    std::unique_ptr<backend> connect() override { return postgres_backend(options()); }
    void owner_dies(const open_options& options,
                    const std::function<void(backend&)>& work) override {
        real_backend_under_test::owner_dies(options, work);
        if (pooled_) {
            return;
        }
        // The server sees it as soon as it looks at what the system has closed.
        const test::psql person(schema_.url);
        std::string left = "SELECT count(*) FROM pg_stat_activity WHERE application_name = '";
        left.append(name_of_doomed()).append("'");
        if (!test::eventually([&] { return person(left) == "0"; })) {
            throw std::runtime_error("the server does not see that its client has died");
        }
    }

private:
    std::string name_of_doomed() const { return std::string(schema_.name()).append("_doomed"); }
    std::unique_ptr<backend> connect_doomed() override {
        auto own = options();
        if (!pooled_) {
            own.url.append("?application_name=").append(name_of_doomed());
        }
        return postgres_backend(own);
    }
    postgres_options options() const {
        auto options = schema_.options();
        if (pooled_) {
            options.url = test::pgbouncer().url();
        }
        // What wakes a claim is the server's notice, and behind a pooler a look.
        options.poll = pooled_ ? std::chrono::milliseconds(5) : std::chrono::hours(1);
        return options;
    }

    test::postgres_schema schema_;
    bool pooled_;
};

const test::conforming postgres_conforms("postgres", [] {
    return std::make_unique<postgres_under_test>(false);
});
const test::conforming pooled_postgres_conforms("postgres, behind PgBouncer", [] {
    return std::make_unique<postgres_under_test>(true);
});

}  // namespace
