// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_DISPATCH_STORE_HEALTH_HPP
#define POSTLUDE_SRC_DISPATCH_STORE_HEALTH_HPP

#include <atomic>
#include <chrono>
#include <mutex>
#include <string_view>

namespace spdlog {
class logger;
}

namespace postlude::detail {

/// Whether the store answers: one log line when it goes and one when it is back. From any thread.
class store_health {
public:
    using clock = std::chrono::steady_clock;

    explicit store_health(spdlog::logger& log) noexcept : log_(&log) {}

    /// A call has failed, for a reason that may pass.
    void failed(std::string_view why) noexcept;
    /// A call has worked.
    void worked() noexcept {
        if (down_.load(std::memory_order_relaxed)) [[unlikely]] {
            is_back();
        }
    }
    bool down() const noexcept { return down_.load(std::memory_order_relaxed); }
    /// While it is down: whether it is too early for the next try, so that a request is refused
    /// at once instead of after its time-out.
    bool too_early() const noexcept;
    /// How long to wait before the next try: longer each time, up to a second.
    std::chrono::milliseconds pause() const noexcept;

private:
    void is_back() noexcept;

    spdlog::logger* log_;
    mutable std::mutex mutex_;
    std::atomic<bool> down_{false};
    clock::time_point since_;
    clock::time_point last_;
    unsigned failures_ = 0;
};

}  // namespace postlude::detail

#endif
