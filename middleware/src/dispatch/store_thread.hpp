// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_DISPATCH_STORE_THREAD_HPP
#define POSTLUDE_SRC_DISPATCH_STORE_THREAD_HPP

#include <algorithm>
#include <chrono>
#include <future>
#include <thread>
#include <utility>

namespace postlude::detail {

/// A thread that calls the store, where it may hang: then it is left behind.
class store_thread {
public:
    using clock = std::chrono::steady_clock;

    /// @param run keeps alive what it uses.
    template <class Run>
    void start(Run run) {
        std::promise<void> end;
        ended_ = end.get_future();
        thread_ = std::thread([run = std::move(run), end = std::move(end)]() mutable {
            run();
            end.set_value();
        });
    }
    /// Until `join`.
    bool started() const noexcept { return thread_.joinable(); }

    /// Waits until then for its end, which it was asked for. False when it hangs in the store.
    bool join(clock::time_point until) {
        if (!started()) {
            return true;
        }
        if (ended_.wait_until(std::max(until, clock::now() + shortest_wait)) !=
            std::future_status::ready) {
            thread_.detach();
            return false;
        }
        thread_.join();
        return true;
    }

private:
    /// Also after the deadline: an idle thread has to wake before it can end.
    static constexpr std::chrono::milliseconds shortest_wait{100};

    std::thread thread_;
    std::future<void> ended_;
};

}  // namespace postlude::detail

#endif
