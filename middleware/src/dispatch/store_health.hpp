// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_DISPATCH_STORE_HEALTH_HPP
#define POSTLUDE_SRC_DISPATCH_STORE_HEALTH_HPP

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

namespace spdlog {
class logger;
}

namespace postlude::detail {

/// What is asked of the store. Each may fail while others work: a full disk can be read.
enum class store_call : std::uint8_t { commit, withdraw, claim, renew, rescue, prune };

/// Whether the store answers: one log line when it goes and one when it is back, which is when all
/// that failed has worked again. Upkeep that keeps failing while the rest works has lines of its
/// own. From any thread.
class store_health {
public:
    using clock = std::chrono::steady_clock;

    explicit store_health(spdlog::logger& log) noexcept : log_(&log) {}

    /// A call has failed, for a reason that may pass.
    void failed(store_call which, std::string_view why) noexcept;
    /// A call has worked.
    void worked(store_call which) noexcept {
        if (failing(which)) [[unlikely]] {
            is_back(which);
        }
    }
    /// A commit that has worked has left some of it out, for this reason if there is one: a line,
    /// and for the same reason no other within a minute.
    void left_out(std::string_view why) noexcept;
    bool failing(store_call which) const noexcept {
        return (failing_.load(std::memory_order_relaxed) & bit(which)) != 0;
    }
    /// While commits fail: whether it is too early for the next try, so that a request is refused
    /// at once instead of after its time-out.
    bool too_early() const noexcept;
    /// How long to wait before the next try: longer each time, up to a second.
    std::chrono::milliseconds pause(store_call which) const noexcept;

private:
    struct record {
        clock::time_point last;
        unsigned failures = 0;
        bool told = false;  ///< of upkeep: it has its line
    };
    static constexpr unsigned bit(store_call which) noexcept {
        return 1U << static_cast<unsigned>(which);
    }
    static constexpr unsigned essential_calls() noexcept {
        return bit(store_call::commit) | bit(store_call::claim) | bit(store_call::renew);
    }
    const record& of(store_call which) const noexcept {
        return records_[static_cast<std::size_t>(which)];
    }
    void is_back(store_call which) noexcept;

    spdlog::logger* log_;
    mutable std::mutex mutex_;
    std::atomic<unsigned> failing_{0};  ///< a bit for each call
    clock::time_point since_;
    std::array<record, 6> records_;
    std::string last_left_out_;
    clock::time_point left_out_at_;
};

}  // namespace postlude::detail

#endif
