// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_DISPATCH_ASYNC_JOBS_HPP
#define POSTLUDE_DISPATCH_ASYNC_JOBS_HPP

#include "postlude/dispatch/commit.hpp"

#include <exception>
#include <optional>

namespace postlude {

namespace detail {

/// Runs `work(dispatcher)` where it may block, and completes with what it returns.
template <class Result, class Executor, class Work, class CompletionToken>
auto async_blocking(dispatcher& dispatcher, const Executor& executor, Work work,
                    CompletionToken&& token) {
    return boost::asio::async_initiate<CompletionToken, void(std::exception_ptr, Result)>(
        [&dispatcher, executor](auto handler, Work work) {
            auto associated = boost::asio::get_associated_executor(handler, executor);
            auto shared = std::make_shared<decltype(handler)>(std::move(handler));
            run_blocking(*dispatcher.jobs(),
                         [shared = std::move(shared), work = std::move(work), &dispatcher,
                          guard = boost::asio::make_work_guard(associated)]() mutable {
                             std::exception_ptr error;
                             Result result{};
                             try {
                                 result = work(dispatcher);
                             } catch (...) {
                                 error = std::current_exception();
                             }
                             boost::asio::post(guard.get_executor(),
                                               [shared = std::move(shared), error,
                                                result = std::move(result)]() mutable {
                                                   std::move (*shared)(error, std::move(result));
                                               });
                         });
        },
        token, std::move(work));
}

}  // namespace detail

namespace detail {

/// Tells a job's list whether it was stored: when the completion runs, or when that is destroyed
/// with its event loop, if it has been stored by then.
class listed_call {
public:
    explicit listed_call(job_ptr which) noexcept : job_(std::move(which)) {}
    listed_call(listed_call&&) noexcept = default;
    listed_call& operator=(listed_call&&) = delete;
    ~listed_call() {
        if (job_) {
            deferred::enqueued(
                job_, job_->stored ? boost::system::error_code() : make_error_code(errc::stopped));
        }
    }
    template <class Handler>
    void operator()(Handler&& handler, boost::system::error_code ec) {
        deferred::enqueued(std::exchange(job_, nullptr), ec);
        std::forward<Handler>(handler)(ec);
    }

private:
    job_ptr job_;
};

}  // namespace detail

template <job_type Args, class Executor, class CompletionToken>
auto deferred::async_enqueue(Args args, job_options options, const Executor& executor,
                             CompletionToken&& token) {
    auto job = make_job(Args::job.kind, std::make_unique<arguments_of<Args>>(std::move(args)),
                        std::move(options));
    return boost::asio::async_initiate<CompletionToken, void(boost::system::error_code)>(
        [this, executor](auto handler, detail::job_ptr job) {
            auto waiter =
                detail::make_waiter(std::move(handler), executor, detail::listed_call(job));
            enqueue_now(std::move(job), std::move(waiter));
        },
        token, std::move(job));
}

/// Registers a job outside any request.
///
/// GCC 12 destroys temporaries that are made with braces within a `co_await` expression twice. Give
/// the arguments and the options names of their own first, and await then.
///
/// @param executor where the handler has none of its own.
/// @param token for `void(error_code, job_id)`. Completes when the job is accepted: stored, if it
/// is to be. errc::full, errc::stopped, errc::store_unavailable, errc::store_timeout; the job does
/// not exist then, or is withdrawn. Throws at once as `deferred::enqueue`.
template <job_type Args, class Executor,
          boost::asio::completion_token_for<void(boost::system::error_code, job_id)>
              CompletionToken = boost::asio::deferred_t>
auto async_enqueue(dispatcher& dispatcher, Args args, job_options options, const Executor& executor,
                   CompletionToken&& token = CompletionToken()) {
    auto job = detail::make_job(dispatcher.jobs(), Args::job.kind,
                                std::make_unique<arguments_of<Args>>(std::move(args)),
                                std::move(options), {});
    return boost::asio::async_initiate<CompletionToken, void(boost::system::error_code, job_id)>(
        [executor](auto handler, detail::job_ptr job) {
            const auto call = [id = job->record.id](auto&& handler, boost::system::error_code ec) {
                std::forward<decltype(handler)>(handler)(ec, ec ? 0 : id);
            };
            auto& service = *job->service;
            detail::enqueue(service, job, detail::make_waiter(std::move(handler), executor, call));
        },
        token, std::move(job));
}

/// `dispatcher::find` for a thread that serves: `void(std::exception_ptr, std::vector<job_view>)`.
/// In a coroutine, give the query a name of its own first; see `async_enqueue`.
template <class Executor, class CompletionToken = boost::asio::deferred_t>
auto async_find(dispatcher& dispatcher, job_query query, const Executor& executor,
                CompletionToken&& token = CompletionToken()) {
    return detail::async_blocking<std::vector<job_view>>(
        dispatcher, executor,
        [query = std::move(query)](class dispatcher& d) { return d.find(query); },
        std::forward<CompletionToken>(token));
}

/// `dispatcher::retry`, `cancel` and `erase` likewise: `void(std::exception_ptr,
/// std::vector<amended>)`.
template <class Executor, class CompletionToken = boost::asio::deferred_t>
auto async_amend(dispatcher& dispatcher, std::vector<job_id> ids, amendment what,
                 const Executor& executor, CompletionToken&& token = CompletionToken()) {
    return detail::async_blocking<std::vector<amended>>(
        dispatcher, executor,
        [ids = std::move(ids), what](class dispatcher& d) {
            return what == amendment::retry    ? d.retry(ids)
                   : what == amendment::cancel ? d.cancel(ids)
                                               : d.erase(ids);
        },
        std::forward<CompletionToken>(token));
}

}  // namespace postlude

#endif
