// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_DISPATCH_JOB_KEEPER_HPP
#define POSTLUDE_SRC_DISPATCH_JOB_KEEPER_HPP

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace postlude::detail {

class job_service;

/// The one thread that sees to the store: renews leases, rescues what dead owners held, removes
/// what is too old. It also does what others ask of the store. However much of that there is, a
/// lease is renewed after one call of each at most.
class job_keeper {
public:
    using clock = std::chrono::steady_clock;

    explicit job_keeper(job_service& service) noexcept : service_(service) {}
    void start();
    void post(std::function<void()> work);
    /// False when it hangs in the store.
    bool stop(clock::time_point until);

private:
    void run();
    void do_one_asked(std::unique_lock<std::mutex>& lock);
    bool renew();
    bool rescue();
    bool prune();

    job_service& service_;
    std::thread thread_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::function<void()>> asked_;
    std::atomic<bool> stopping_{false};
    bool ended_ = false;
};

}  // namespace postlude::detail

#endif
