// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_DISPATCH_DETAIL_JOB_SERVICE_HPP
#define POSTLUDE_DISPATCH_DETAIL_JOB_SERVICE_HPP

#include "postlude/dispatch/detail/job.hpp"
#include "postlude/dispatch/job_options.hpp"

#include <boost/system/error_code.hpp>

#include <functional>
#include <memory>
#include <string_view>

namespace postlude::detail {

/// Told what became of a commit: once, on a thread of the dispatcher's, with no lock held.
class commit_waiter {
public:
    virtual ~commit_waiter() = default;
    virtual void done(boost::system::error_code ec) noexcept = 0;
};

// The way into the dispatcher's jobs for what is made in headers.

/// A job that nothing has happened to yet. Throws system_error: errc::bad_kind, errc::bad_option,
/// errc::bad_arguments.
job_ptr make_job(const std::shared_ptr<job_service>& service, std::string_view kind,
                 std::unique_ptr<job_arguments> args, job_options&& options,
                 std::string_view request_id);

/// Accepts a job outside any request, or refuses it by an error. Calls `waiter` in either case, and
/// perhaps before it returns.
void enqueue(job_service& service, const job_ptr& job, std::unique_ptr<commit_waiter> waiter);

/// Stores jobs as one. Calls `waiter`, perhaps before it returns.
void store(job_service& service, job_list jobs, std::unique_ptr<commit_waiter> waiter);

/// Runs something that blocks on the dispatcher's own thread for that.
void run_blocking(job_service& service, std::function<void()> work);

}  // namespace postlude::detail

#endif
