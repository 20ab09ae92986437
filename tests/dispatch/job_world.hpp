// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_TESTS_DISPATCH_JOB_WORLD_HPP
#define POSTLUDE_TESTS_DISPATCH_JOB_WORLD_HPP

#include "dispatch/jobs_support.hpp"
#include "support/eventually.hpp"
#include "support/failing_backend.hpp"
#include "support/log.hpp"

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <utility>

namespace test {

/// A store in memory with a clock that only the test moves, and trouble of the test's own. Made
/// before the dispatchers over it; whatever is held is released before they end.
class job_world {
public:
    /// A dispatcher's options; its first pool thread is its only one unless a test says so.
    postlude::dispatcher_options options(postlude::job_registry kinds, unsigned threads = 1) {
        postlude::dispatcher_options made{.pool = {.threads = threads, .logger = log.logger()},
                                          .kinds = std::move(kinds)};
        made.jobs.store = std::make_unique<failing_backend>(store.connect(), trouble);
        return made;
    }
    /// Of a process that registers jobs and runs none.
    postlude::dispatcher_options producer(postlude::job_registry kinds) {
        postlude::dispatcher_options made{.pool = {.threads = 1, .logger = log.logger()},
                                          .kinds = std::move(kinds)};
        made.jobs.store = store.connect();
        made.jobs.runs_jobs = false;
        return made;
    }
    void pass(std::chrono::microseconds time) {
        *now_ += time.count();
        store.wake();
    }

private:
    std::shared_ptr<std::atomic<std::int64_t>> now_ =
        std::make_shared<std::atomic<std::int64_t>>(1'600'000'000'000'000);

public:
    postlude::memory_store store{
        [now = now_] { return postlude::store_time(std::chrono::microseconds(now->load())); }};
    std::shared_ptr<store_trouble> trouble = std::make_shared<store_trouble>();
    captured_log log;
};

/// Registers one job of a request that is answered at once; the status that its client gets.
template <class Args>
unsigned request_with(postlude::dispatcher& work, Args args, postlude::job_options options = {},
                      unsigned status = 200) {
    postlude::deferred after(work);
    after.enqueue(std::move(args), std::move(options));
    return respond(after, status);
}

/// Nothing is left, and all counters add up.
inline bool at_rest(const postlude::dispatcher& work) {
    return eventually([&] {
        const auto c = work.job_counters();
        return c.left == 0 && adds_up(c);
    });
}

}  // namespace test

#endif
