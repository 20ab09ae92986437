// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_DISPATCH_DETAIL_JOB_SERVICE_HPP
#define POSTLUDE_DISPATCH_DETAIL_JOB_SERVICE_HPP

#include "postlude/dispatch/detail/job.hpp"
#include "postlude/dispatch/job_options.hpp"

#include <boost/system/error_code.hpp>

#include <chrono>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace postlude::detail {

/// A commit that somebody waits for, with what is to be stored.
///
/// It goes through the dispatcher and back to its maker as one object, and so do the texts in it:
/// memory that another thread frees costs both of them the allocator's lock, more than the job
/// itself.
class commit_waiter {
public:
    commit_waiter() = default;
    commit_waiter(const commit_waiter&) = delete;
    commit_waiter& operator=(const commit_waiter&) = delete;
    virtual ~commit_waiter() = default;

    /// Tells `waiter` what became of it, and gives it to itself: once, on a thread of the
    /// dispatcher's or the caller's, with no lock held.
    static void finish(std::unique_ptr<commit_waiter> waiter,
                       boost::system::error_code ec) noexcept {
        auto& w = *waiter;
        w.done(std::move(waiter), ec);
    }

    job_list jobs;
    std::vector<put> puts;  ///< one for each of `jobs`
    std::chrono::steady_clock::time_point begun;
    std::unique_ptr<commit_waiter> inner;  ///< that had been in the way, to be destroyed with this

private:
    virtual void done(std::unique_ptr<commit_waiter> self,
                      boost::system::error_code ec) noexcept = 0;
};

/// Something that may block, for which somebody waits.
class question {
public:
    question() = default;
    question(const question&) = delete;
    question& operator=(const question&) = delete;
    virtual ~question() = default;

    /// Blocks, and answers.
    virtual void ask(job_service& service) noexcept = 0;
    /// Answers with errc::stopped, if nobody has answered yet; also while `ask` hangs.
    virtual void give_up() noexcept = 0;
};

// The way into the dispatcher's jobs for what is made in headers.

/// A job that nothing has happened to yet. Throws system_error: errc::bad_kind, errc::bad_option,
/// errc::bad_arguments.
job_ptr make_job(const std::shared_ptr<job_service>& service, std::string_view kind,
                 std::unique_ptr<job_arguments> args, job_options&& options,
                 std::string_view request_id);

/// Accepts a job outside any request, or refuses it by an error. Finishes `waiter` in either case,
/// and perhaps before it returns.
void enqueue(job_service& service, const job_ptr& job, std::unique_ptr<commit_waiter> waiter);

/// Stores jobs as one. Finishes `waiter`, perhaps before it returns.
void store(job_service& service, job_list jobs, std::unique_ptr<commit_waiter> waiter);

/// Asks on the dispatcher's own thread for that.
void ask(job_service& service, std::shared_ptr<question> what);

/// As the members of `dispatcher`.
std::vector<job_view> find(job_service& service, const job_query& query);
std::vector<amended> amend(job_service& service, std::span<const job_id> ids, amendment what);

}  // namespace postlude::detail

#endif
