// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_DISPATCH_DISPATCHER_HPP
#define POSTLUDE_DISPATCH_DISPATCHER_HPP

#include "postlude/dispatch/detail/release_lists.hpp"
#include "postlude/pool/thread_pool.hpp"

#include <chrono>
#include <memory>

namespace postlude {

struct dispatcher_options {
    pool_options pool{};
    /// What a 503 tells the client to wait, in whole seconds; 1 to 3,600.
    std::chrono::seconds retry_after{1};
};

/// Where deferred work goes when its response has ended. One a process is usual; it owns the
/// pool. It must outlive every `deferred` made with it. All members may be called from any thread.
class dispatcher {
public:
    /// Starts the pool. Throws system_error: errc::bad_option or errc::no_thread, saying which.
    explicit dispatcher(dispatcher_options options = {});
    /// As the pool's: what has not run by now is lost, and named in the log.
    ~dispatcher();
    dispatcher(const dispatcher&) = delete;
    dispatcher& operator=(const dispatcher&) = delete;

    thread_pool& pool() noexcept { return pool_; }
    const thread_pool& pool() const noexcept { return pool_; }
    queue_id queue(std::string_view name) const { return pool_.queue(name); }
    std::chrono::seconds retry_after() const noexcept { return retry_after_; }
    postlude::counters counters() const noexcept { return pool_.counters(); }

    /// A task outside any request; see `thread_pool::try_run`.
    template <task_function F>
    [[nodiscard]] boost::system::error_code try_run(
        F&& f, task_options options = {},
        std::source_location where = std::source_location::current()) {
        return pool_.try_run(std::forward<F>(f), options, where);
    }

    /// Takes nothing new, runs what was accepted, and gives up what is left at the deadline; see
    /// `thread_pool::drain`. Blocks. Call it when the responses in flight have ended.
    drain_report shutdown(std::chrono::milliseconds deadline);

    /// For Postlude's own parts.
    detail::release_lists& lists() noexcept { return *lists_; }

private:
    thread_pool pool_;
    std::shared_ptr<detail::release_lists> lists_;
    std::chrono::seconds retry_after_;
};

}  // namespace postlude

#endif
