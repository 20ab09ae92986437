// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_DISPATCH_JOB_TIMERS_HPP
#define POSTLUDE_SRC_DISPATCH_JOB_TIMERS_HPP

#include "postlude/dispatch/detail/job.hpp"

#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

namespace postlude::detail {

class job_service;

/// The jobs of memory alone that wait for their time, and the time-outs of commits. The one thread
/// that never waits for the store.
class job_timers {
public:
    using clock = std::chrono::steady_clock;

    explicit job_timers(job_service& service) noexcept : service_(service) {}
    void start();

    /// False when the thread has been ended.
    bool add(const job_ptr& job, clock::time_point when);
    /// Somebody waits for a commit.
    void watch_commits();
    /// Ends the thread. What still waits is returned.
    job_list stop();

private:
    void run();

    job_service& service_;
    std::thread thread_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::multimap<clock::time_point, job_ptr> jobs_;
    bool watching_ = false;
    bool stopping_ = false;
};

}  // namespace postlude::detail

#endif
