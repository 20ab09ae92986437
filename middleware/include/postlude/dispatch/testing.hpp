// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_DISPATCH_TESTING_HPP
#define POSTLUDE_DISPATCH_TESTING_HPP

#include "postlude/backends/memory.hpp"
#include "postlude/dispatch/dispatcher.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <utility>
#include <vector>

namespace postlude::testing {

/// For tests of programs that use Postlude: a dispatcher whose jobs go to a store in memory, with a
/// clock that only the test moves. What handlers have enqueued can be looked at, and is run when
/// the test says so. Used by one thread.
class job_tester {
public:
    /// @param when `job_running::at_once` runs each job as it is released.
    explicit job_tester(job_registry kinds, job_running when = job_running::by_hand,
                        pool_options pool = {.threads = 1})
        : dispatcher_(options(std::move(kinds), when, std::move(pool))) {}

    /// To make a `deferred` with, or to give to what is tested.
    dispatcher& get_dispatcher() noexcept { return dispatcher_; }

    /// The arguments of all jobs of a kind that were ever enqueued, in order.
    template <job_type Args>
    std::vector<Args> enqueued() {
        std::vector<Args> found;
        for (const auto& job : dispatcher_.find(
                 {.kind = std::string(Args::job.kind), .limit = std::size_t(1) << 20})) {
            found.push_back(from_text<Args>(job.job.arguments));
        }
        return found;
    }
    /// Whether a job was enqueued with exactly these arguments.
    template <job_type Args>
    bool was_enqueued(const Args& args) {
        const auto text = to_text(args);
        return std::ranges::any_of(enqueued<Args>(),
                                   [&](const Args& other) { return to_text(other) == text; });
    }

    /// Runs all that is ready now; how many runs there were.
    std::size_t run_ready() { return dispatcher_.run_ready(); }

    /// Time passes: delays and the waits before a retry end.
    void pass(std::chrono::microseconds time) {
        now_ += time.count();
        store_.wake();
    }

private:
    dispatcher_options options(job_registry kinds, job_running when, pool_options pool) {
        dispatcher_options options{.pool = std::move(pool), .kinds = std::move(kinds)};
        options.jobs.store = store_.connect();
        options.jobs.running = when;
        return options;
    }

    std::atomic<std::int64_t> now_{1'600'000'000'000'000};
    memory_store store_{[this] { return store_time(std::chrono::microseconds(now_.load())); }};
    dispatcher dispatcher_;
};

}  // namespace postlude::testing

#endif
