// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/backends/postgres.hpp"

#include "conformance.hpp"
#include "postgres_support.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <stdexcept>
#include <thread>

using namespace postlude;

namespace {

/// The server runs on the same machine.
store_time postgres_now() {
    return std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
}

class postgres_under_test final : public test::backend_under_test {
public:
    /// @param pooled as it is used behind a pooler.
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
        const auto name = std::string(schema_.name()).append("_doomed");
        const auto child = ::fork();
        if (child == 0) {
            die_after(options, work, name);
        }
        int status = 0;
        if (child < 0 || ::waitpid(child, &status, 0) != child || !WIFSIGNALED(status) ||
            WTERMSIG(status) != SIGKILL) {
            throw std::runtime_error("the owner that was to be killed ended otherwise");
        }
        // The server sees it as soon as it looks at what the system has closed.
        const test::psql person(schema_.url);
        std::string left = "SELECT count(*) FROM pg_stat_activity WHERE application_name = '";
        left.append(name).append("'");
        if (!test::eventually([&] { return person(left) == "0"; })) {
            throw std::runtime_error("the server does not see that its client has died");
        }
    }
    store_time now() override { return postgres_now(); }
    void pass(std::chrono::milliseconds time) override {
        const auto until = postgres_now() + time;
        while (postgres_now() < until) {
            std::this_thread::sleep_until(until);
        }
    }
    std::chrono::milliseconds lease() const override { return std::chrono::milliseconds(400); }
    std::chrono::milliseconds grain() const override { return std::chrono::milliseconds(2); }

private:
    postgres_options options() const {
        auto options = schema_.options();
        options.pooled = pooled_;
        options.poll = std::chrono::milliseconds(5);
        return options;
    }
    /// Catch must not see the child end: it would report for the parent.
    [[noreturn]] void die_after(const open_options& options,
                                const std::function<void(backend&)>& work,
                                const std::string& name) {
        try {
            auto own = this->options();
            own.url.append("?application_name=").append(name);
            const auto doomed = postgres_backend(own);
            doomed->open(options);
            work(*doomed);
            ::kill(::getpid(), SIGKILL);
        } catch (const std::exception& e) {
            ::fprintf(stderr, "the doomed owner: %s\n", e.what());
        }
        ::_exit(1);
    }

    test::postgres_schema schema_;
    bool pooled_;
};

const test::conforming postgres_conforms("postgres", [] {
    return std::make_unique<postgres_under_test>(false);
});
const test::conforming pooled_postgres_conforms("postgres, as behind a pooler", [] {
    return std::make_unique<postgres_under_test>(true);
});

}  // namespace
