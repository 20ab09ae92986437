// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_DISPATCH_COMMIT_HPP
#define POSTLUDE_DISPATCH_COMMIT_HPP

#include "postlude/dispatch/deferred.hpp"
#include "postlude/dispatch/detail/job_service.hpp"

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>

#include <memory>
#include <type_traits>
#include <utility>

namespace postlude {

namespace detail {

/// Posts a completion handler to its executor.
/// @tparam Call what is called there with the handler and the error.
template <class Handler, class Executor, class Call>
class posting_waiter : public commit_waiter {
public:
    /// @param fallback the executor, where the handler has none of its own.
    posting_waiter(Handler&& handler, const Executor& fallback, Call call)
        : handler_(std::move(handler)),
          guard_(boost::asio::get_associated_executor(handler_, fallback)),
          call_(std::move(call)) {}

private:
    using executor = boost::asio::associated_executor_t<Handler, Executor>;

    void done(std::unique_ptr<commit_waiter> self, boost::system::error_code ec) noexcept override {
        // Until `post` has returned: else the loop could end, and be destroyed, within it.
        const auto loop_stays = guard_;
        boost::asio::post(loop_stays.get_executor(), [this, self = std::move(self), ec]() mutable {
            auto handler = std::move(handler_);
            auto call = std::move(call_);
            self.reset();
            call(std::move(handler), ec);
        });
    }

    Handler handler_;
    boost::asio::executor_work_guard<executor> guard_;
    Call call_;
};

template <class Handler, class Executor, class Call>
std::unique_ptr<commit_waiter> make_waiter(Handler&& handler, const Executor& executor, Call call) {
    return std::make_unique<posting_waiter<std::decay_t<Handler>, Executor, Call>>(
        std::forward<Handler>(handler), executor, std::move(call));
}

}  // namespace detail

/// Stores the jobs of a request that have to be stored before its response is written, as
/// `async_respond` does by itself: for those who write a response another way. Await it before the
/// `pending_response` is made.
///
/// Completes with no error at once when there are none. With an error (errc::store_unavailable,
/// errc::store_timeout, errc::stopped) `after` is refused: the response has to be a 503. Jobs that
/// are registered after this take another commit, which `async_respond` does; those that are
/// registered after the response has begun are stored behind it.
///
/// @param after must live until the completion.
/// @param status of the response as it will be sent: decides which jobs are wanted.
/// @param executor where the handler has none of its own. Either is the strand, or the one thread,
/// that uses `after`: the completion changes it.
/// @param token for `void(error_code)`. Does not pass cancellation on: a commit takes
/// `job_settings::commit_timeout` at most. The dispatcher must have been shut down before the event
/// loop is destroyed.
template <class Executor, boost::asio::completion_token_for<void(boost::system::error_code)>
                              CompletionToken = boost::asio::deferred_t>
auto async_commit(deferred& after, unsigned status, const Executor& executor,
                  CompletionToken&& token = CompletionToken()) {
    return boost::asio::async_initiate<CompletionToken, void(boost::system::error_code)>(
        [&after, status, executor](auto handler) {
            const auto call = [&after](auto&& handler, boost::system::error_code ec) {
                after.committed(ec);
                std::forward<decltype(handler)>(handler)(ec);
            };
            after.commit(status, detail::make_waiter(std::move(handler), executor, call));
        },
        token);
}

/// The same, blocking.
boost::system::error_code commit(deferred& after, unsigned status);

}  // namespace postlude

#endif
