// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_DISPATCH_JOB_CLAIMER_HPP
#define POSTLUDE_SRC_DISPATCH_JOB_CLAIMER_HPP

#include "dispatch/store_thread.hpp"

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <vector>

namespace postlude::detail {

class job_service;

/// The one thread that fetches jobs from the store, as many as the workers have use for soon.
class job_claimer {
public:
    explicit job_claimer(job_service& service) noexcept : service_(service) {}
    void start();
    /// Claims nothing more from now on. Does not wait.
    void stop_claiming();
    /// Waits for the thread until then; false when it hangs in the store.
    bool stop(std::chrono::steady_clock::time_point until);
    /// There is room for more.
    void wake() noexcept;

private:
    void run();
    /// Whether any queue has room.
    bool count_credits();
    void claim();
    bool stopping();
    /// After a claim: whether a queue's jobs in the store are all claimed.
    void look_at_backlog(const std::vector<std::size_t>& got);
    void adapt(std::size_t queue, std::chrono::steady_clock::duration passed);

    job_service& service_;
    store_thread thread_;
    std::mutex mutex_;
    std::condition_variable changed_;
    bool woken_ = false;
    bool claims_for_some_ = false;  ///< it waits in the store, and not for all queues
    bool short_of_ = false;         ///< the thread's own: some queue has no credit
    bool stopping_ = false;
    std::vector<std::size_t> credits_;
    std::vector<std::uint64_t> ended_before_;  ///< by queue: runs, at the last look
    std::chrono::steady_clock::time_point looked_{};
    std::chrono::steady_clock::duration claim_took_{};  ///< about, when it did not wait for jobs
};

}  // namespace postlude::detail

#endif
