// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_DISPATCH_ASYNC_JOBS_HPP
#define POSTLUDE_DISPATCH_ASYNC_JOBS_HPP

#include "postlude/dispatch/commit.hpp"

#include <boost/system/system_error.hpp>

#include <atomic>
#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

namespace postlude {

namespace detail {

/// Does `work(service)` where it may block, and completes with what it returns. It refers to
/// nothing of the dispatcher's: what hangs in the store may come back when that is gone.
template <class Result, class Handler, class Executor, class Work>
class asked final : public question {
public:
    asked(Handler handler, const Executor& executor, Work work)
        : handler_(std::move(handler)), guard_(executor), work_(std::move(work)) {}

    void ask(job_service& service) noexcept override {
        std::exception_ptr error;
        Result result{};
        try {
            result = work_(service);
        } catch (...) {
            error = std::current_exception();
        }
        answer(error, std::move(result));
    }
    void give_up() noexcept override {
        answer(std::make_exception_ptr(boost::system::system_error(errc::stopped)), {});
    }

private:
    void answer(std::exception_ptr error, Result result) noexcept {
        if (answered_.exchange(true)) {
            return;
        }
        const auto guard = std::move(guard_);
        boost::asio::post(guard.get_executor(), [handler = std::move(handler_), error,
                                                 result = std::move(result)]() mutable {
            std::move(handler)(error, std::move(result));
        });
    }

    std::atomic<bool> answered_{false};
    Handler handler_;
    boost::asio::executor_work_guard<Executor> guard_;
    Work work_;
};

template <class Result, class Executor, class Work, class CompletionToken>
auto async_blocking(dispatcher& dispatcher, const Executor& executor, Work work,
                    CompletionToken&& token) {
    return boost::asio::async_initiate<CompletionToken, void(std::exception_ptr, Result)>(
        [executor](auto handler, const std::shared_ptr<job_service>& service, Work work) {
            const auto on = boost::asio::get_associated_executor(handler, executor);
            using kind = asked<Result, decltype(handler), std::decay_t<decltype(on)>, Work>;
            detail::ask(*service, std::make_shared<kind>(std::move(handler), on, std::move(work)));
        },
        token, dispatcher.jobs(), std::move(work));
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
/// not exist then, or is withdrawn as far as it can be: see errc::store_timeout. Throws at once as
/// `deferred::enqueue`.
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
/// The error is what `find` throws, or system_error with errc::stopped at the dispatcher's end.
/// One after the other, on a thread that the first one starts: std::system_error is thrown, and
/// nothing is completed, where there is none to be had.
/// In a coroutine, give the query a name of its own first; see `async_enqueue`.
template <class Executor, class CompletionToken = boost::asio::deferred_t>
auto async_find(dispatcher& dispatcher, job_query query, const Executor& executor,
                CompletionToken&& token = CompletionToken()) {
    return detail::async_blocking<std::vector<job_view>>(
        dispatcher, executor,
        [query = std::move(query)](detail::job_service& s) { return detail::find(s, query); },
        std::forward<CompletionToken>(token));
}

/// `dispatcher::retry`, `cancel` and `erase` likewise: `void(std::exception_ptr,
/// std::vector<amended>)`.
template <class Executor, class CompletionToken = boost::asio::deferred_t>
auto async_amend(dispatcher& dispatcher, std::vector<job_id> ids, amendment what,
                 const Executor& executor, CompletionToken&& token = CompletionToken()) {
    return detail::async_blocking<std::vector<amended>>(
        dispatcher, executor,
        [ids = std::move(ids), what](detail::job_service& s) {
            return detail::amend(s, ids, what);
        },
        std::forward<CompletionToken>(token));
}

}  // namespace postlude

#endif
