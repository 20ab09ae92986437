// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_DISPATCH_JOB_KEEPER_HPP
#define POSTLUDE_SRC_DISPATCH_JOB_KEEPER_HPP

#include "dispatch/store_thread.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>

namespace postlude::detail {

class job_service;

/// The one thread that sees to the store: renews leases, rescues what dead owners held, removes
/// what is too old. However much of that there is, leases are renewed between its parts.
class job_keeper {
public:
    using clock = std::chrono::steady_clock;

    explicit job_keeper(job_service& service) noexcept : service_(service) {}
    void start();
    /// False when it hangs in the store.
    bool stop(clock::time_point until);

private:
    void run();
    bool renew();
    bool rescue();
    bool prune();

    job_service& service_;
    store_thread thread_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::atomic<bool> stopping_{false};
};

}  // namespace postlude::detail

#endif
