// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_DISPATCH_JOB_CONTEXT_HPP
#define POSTLUDE_DISPATCH_JOB_CONTEXT_HPP

#include "postlude/dispatch/detail/job.hpp"
#include "postlude/dispatch/job_options.hpp"

#include <chrono>
#include <functional>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>

namespace postlude {

/// What a running job knows and may ask for. It lives as long as the run; used by the run alone.
class job_context {
public:
    job_context(detail::job& job, task_context& task) noexcept;
    job_context(const job_context&) = delete;
    job_context& operator=(const job_context&) = delete;

    job_id id() const noexcept;
    /// The name under which it was stored, which may be a former one of its kind.
    std::string_view kind() const noexcept;
    /// Which attempt this is, from 1. Runs that were interrupted do not count.
    unsigned attempt() const noexcept;
    /// How many there are at most.
    unsigned attempts() const noexcept;
    /// Of the request that caused it, directly or through other jobs; empty when none did.
    std::string_view request_id() const noexcept;
    std::span<const std::string> tags() const noexcept;
    /// When its run-time limit ends; none when it has no limit of its own.
    std::optional<std::chrono::steady_clock::time_point> deadline() const noexcept;

    /// True once the job ran past its limit, has lost its lease (somebody else may be running it),
    /// was cancelled, or the pool is near the end of its drain.
    bool stop_requested() const noexcept;
    /// The same but for the lease, for libraries that take one. Allocates when first called.
    std::stop_token stop_token() const;
    /// A place where the job may stop: throws system_error(errc::task_stopped) when it was asked
    /// to. Interrupted by a drain it goes back and is run again; past its limit it has failed.
    void checkpoint() const;

    /// A job that follows from this one, under the same request id, if this run succeeds.
    /// `options.when` is not looked at. Throws as `deferred::enqueue`.
    ///
    /// Of a job from the store: it exists if and only if the run succeeds, since it is committed
    /// together with the run's end. In RabbitMQ it is stored just before that: a crash in between
    /// makes the job run again, and another one follow. Of a job that runs from memory alone: it is
    /// registered after the run, and refused with a line in the log where there is no room for it.
    template <job_type Args>
    void enqueue(Args args, job_options options = {}) {
        add(Args::job.kind, std::make_unique<arguments_of<Args>>(std::move(args)),
            std::move(options));
    }

private:
    friend class detail::job_service;
    void add(std::string_view kind, std::unique_ptr<job_arguments> args, job_options&& options);

    detail::job* job_;
    task_context* task_;
    std::chrono::steady_clock::time_point begun_;
    detail::job_list follow_ups_;
};

/// The rest of the way to a job's handler, as one function around its run sees it. To be awaited
/// once; what the handler throws comes out of it.
class job_next {
public:
    boost::asio::awaitable<void> operator()() const;

private:
    friend class detail::job_service;
    job_next(detail::job_service& service, job_context& context, std::size_t index) noexcept
        : service_(&service), context_(&context), index_(index) {}
    detail::job_service* service_;
    job_context* context_;
    std::size_t index_;
};

/// A function around the run of every job: logs it, measures it, opens a transaction.
using job_middleware =
    std::function<boost::asio::awaitable<void>(job_context&, const job_next& next)>;

}  // namespace postlude

#endif
