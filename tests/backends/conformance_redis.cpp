// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/backends/redis.hpp"

#include "conformance.hpp"
#include "redis_server.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <stdexcept>
#include <thread>

using namespace postlude;

namespace {

/// Where the server has its time from, being on the same machine.
store_time redis_now() {
    return std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
}

class redis_under_test final : public test::backend_under_test {
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
    void owner_dies(const open_options& options,
                    const std::function<void(backend&)>& work) override {
        const auto child = ::fork();
        if (child == 0) {
            die_after(options, work);
        }
        int status = 0;
        if (child < 0 || ::waitpid(child, &status, 0) != child || !WIFSIGNALED(status) ||
            WTERMSIG(status) != SIGKILL) {
            throw std::runtime_error("the owner that was to be killed ended otherwise");
        }
    }
    store_time now() override { return redis_now(); }
    void pass(std::chrono::milliseconds time) override {
        const auto until = redis_now() + time;
        while (redis_now() < until) {
            std::this_thread::sleep_until(until);
        }
    }
    std::chrono::milliseconds lease() const override { return std::chrono::milliseconds(400); }
    std::chrono::milliseconds grain() const override { return std::chrono::milliseconds(2); }

private:
    /// Catch must not see the child end: it would report for the parent.
    [[noreturn]] void die_after(const open_options& options,
                                const std::function<void(backend&)>& work) {
        try {
            const auto doomed = connect();
            doomed->open(options);
            work(*doomed);
            ::kill(::getpid(), SIGKILL);
        } catch (...) {
        }
        ::_exit(1);
    }

    const std::string url_ = test::new_redis_url();
};

const test::conforming redis_conforms("redis", [] { return std::make_unique<redis_under_test>(); });

}  // namespace
