// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_DISPATCH_ASYNC_JOBS_HPP
#define POSTLUDE_DISPATCH_ASYNC_JOBS_HPP

#include "postlude/dispatch/commit.hpp"

#include <exception>
#include <optional>

namespace postlude {

namespace detail {

template <class Handler, class Executor>
class enqueue_waiter final : public commit_waiter {
public:
    enqueue_waiter(Handler&& handler, const Executor& fallback)
        : handler_(std::move(handler)),
          guard_(boost::asio::get_associated_executor(handler_, fallback)) {}
    void done(boost::system::error_code ec) noexcept override {
        boost::asio::post(guard_.get_executor(),
                          [handler = std::move(handler_), ec, id = ec ? 0 : id]() mutable {
                              std::move(handler)(ec, id);
                          });
    }
    job_id id = 0;

private:
    using executor = boost::asio::associated_executor_t<Handler, Executor>;
    Handler handler_;
    boost::asio::executor_work_guard<executor> guard_;
};

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
/// with its event loop.
class listed_outcome {
public:
    listed_outcome(job_ptr which, boost::system::error_code ec) noexcept
        : job_(std::move(which)), ec_(ec) {}
    listed_outcome(listed_outcome&&) noexcept = default;
    listed_outcome& operator=(listed_outcome&&) = delete;
    ~listed_outcome() { tell(); }
    boost::system::error_code tell() noexcept {
        if (const auto which = std::exchange(job_, nullptr)) {
            deferred::enqueued(which, ec_);
        }
        return ec_;
    }

private:
    job_ptr job_;
    boost::system::error_code ec_;
};

template <class Handler, class Executor>
class listed_waiter final : public commit_waiter {
public:
    listed_waiter(Handler&& handler, const Executor& fallback, job_ptr which)
        : handler_(std::move(handler)),
          guard_(boost::asio::get_associated_executor(handler_, fallback)),
          job_(std::move(which)) {}
    void done(boost::system::error_code ec) noexcept override {
        boost::asio::post(guard_.get_executor(),
                          [handler = std::move(handler_),
                           outcome = listed_outcome(std::move(job_), ec)]() mutable {
                              const auto told = outcome.tell();
                              std::move(handler)(told);
                          });
    }

private:
    using executor = boost::asio::associated_executor_t<Handler, Executor>;
    Handler handler_;
    boost::asio::executor_work_guard<executor> guard_;
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
            auto waiter = std::make_unique<detail::listed_waiter<decltype(handler), Executor>>(
                std::move(handler), executor, job);
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
            auto waiter = std::make_unique<detail::enqueue_waiter<decltype(handler), Executor>>(
                std::move(handler), executor);
            waiter->id = job->record.id;
            auto& service = *job->service;
            detail::enqueue(service, job, std::move(waiter));
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
