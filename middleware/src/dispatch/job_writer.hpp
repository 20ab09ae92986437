// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_DISPATCH_JOB_WRITER_HPP
#define POSTLUDE_SRC_DISPATCH_JOB_WRITER_HPP

#include "dispatch/store_health.hpp"
#include "dispatch/store_thread.hpp"
#include "postlude/dispatch/detail/job_service.hpp"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

namespace postlude::detail {

class job_service;

/// How a run ended, on its way to the store.
struct job_ending {
    job_ptr which;  ///< null for one that nobody here counts any more
    settlement what;
    job_list follow_ups;        ///< the same as `what.follow_ups`
    bool may_be_there = false;  ///< an earlier try had no answer
};

/// A thread that writes to the store: it commits what has accumulated meanwhile as one batch.
///
/// There is one, or as many as the store's `commits_at_once`: the first writes all that is owed,
/// and what many requests wait for is shared between all.
///
/// What somebody waits for is tried once, and answered. What is owed (ends of runs, jobs that were
/// accepted before) is kept until the store takes it.
class job_writer {
public:
    using clock = std::chrono::steady_clock;

    explicit job_writer(job_service& service) noexcept : service_(service) {}
    void start();

    /// Stores the jobs of one that waits, as one. It gets errc::store_unavailable,
    /// errc::store_timeout, errc::stopped.
    void submit(std::unique_ptr<commit_waiter> waiter);
    /// Of those: how many are not stored yet. The largest number when nothing is written any more.
    std::size_t under_way() const;
    /// Stores one that was accepted already. False when nothing is written any more.
    bool owe(job_ptr job, put what);
    /// Likewise.
    bool settle(job_ending ending);
    /// Removes jobs that shall never have been, and are not claimed by this process. False
    /// likewise.
    bool withdraw(std::span<const job_id> ids);

    /// Answers whoever has waited for too long. Returns whether anybody waits.
    bool expire();
    /// Writes what is owed, for as long as there is time, and ends. What is left then is returned.
    std::vector<job_ptr> stop(clock::time_point until);
    /// False while it is still in the store, also after `stop`.
    bool ended();

private:
    using waiter_ptr = std::unique_ptr<commit_waiter>;
    struct request {
        waiter_ptr waiter;  ///< null once it is answered
        std::size_t count;  ///< of its jobs
    };
    struct owed_job {
        job_ptr job;
        put what;
        bool may_be_there = false;  ///< an earlier try had no answer
    };
    struct batch {
        std::deque<request> requests;
        std::vector<owed_job> owed;
        std::vector<job_ending> endings;
        std::vector<job_id> withdrawn;
        bool empty() const noexcept {
            return requests.empty() && owed.empty() && endings.empty() && withdrawn.empty();
        }
    };

    void run();
    void add(owed_job owed);
    bool closed() const noexcept { return ended_ || abandoned_; }
    void erase_withdrawn();
    /// After a failure: what is owed waits a little.
    void pause(store_call which);
    bool ready(clock::time_point now) const;
    void wait(std::unique_lock<std::mutex>& lock);
    void gather(std::unique_lock<std::mutex>& lock);
    /// To `writing_`, the requests; the rest is returned.
    void take();
    void write();
    /// Of the next batch.
    /// @param worked the processor time of the last one.
    void choose_size(clock::duration worked) noexcept;
    void answer(const commit_result& result);
    /// What those who wait get to know of their jobs.
    void hand_out(const commit_waiter& waiter, std::span<const put_result> results);
    /// What was stored of a request that has failed.
    void take_back(std::span<const put> puts, std::span<const put_result> results,
                   std::vector<job_id>& withdrawn);
    void fail();
    void wrote(owed_job& owed, const put_result& result);
    void wrote(job_ending& ending, settled result);

    job_service& service_;
    store_thread thread_;
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    batch waiting_;
    /// `requests` under the mutex, since they may expire; the rest is the thread's own.
    batch writing_;
    clock::time_point oldest_ending_;
    clock::time_point not_before_{};  ///< the next try of what is owed, after a failure
    std::size_t answered_ = 0;  ///< requests of the last batch, and those that waited by its end
    clock::duration took_{};    ///< the last batch
    std::size_t puts_at_once_ = 256;
    bool sleeping_ = false;
    bool stopping_ = false;
    bool abandoned_ = false;  ///< nobody waits for the thread any more
    bool ended_ = false;
    std::vector<put> puts_;                ///< the thread's own, to be used again
    std::vector<settlement> settlements_;  ///< likewise
};

}  // namespace postlude::detail

#endif
