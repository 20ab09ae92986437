// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_POOL_PARKING_HPP
#define POSTLUDE_SRC_POOL_PARKING_HPP

#include <atomic>
#include <cstdint>
#include <deque>

namespace postlude::detail {

/// Where workers sleep. Who wants one awake first claims it, then wakes it: until it has really
/// run, nobody else pays a system call for the same worker. All operations are sequentially
/// consistent; tests/model/ proves the protocol under that assumption.
///
/// A worker that finds nothing to do calls `announce`, looks once more, and then either `cancel`s
/// or `sleep`s. Who adds work makes it visible first and then calls `wake_one`. So one of the two
/// always sees the other.
class parking {
public:
    explicit parking(std::size_t workers) : words_(workers) {}

    /// From now on this worker may be claimed.
    void announce(std::size_t worker) noexcept {
        sleepers_.fetch_add(1);
        words_[worker].value.store(parked);
    }

    /// The worker stays awake. If it was claimed meanwhile, whoever claimed it counts on it: like
    /// any worker, it hands on to another when it takes a task and more are waiting.
    void cancel(std::size_t worker) noexcept {
        auto expected = parked;
        if (words_[worker].value.compare_exchange_strong(expected, awake)) {
            sleepers_.fetch_sub(1);
        } else {
            words_[worker].value.store(awake);
        }
    }

    /// Blocks until this worker is claimed.
    void sleep(std::size_t worker) noexcept;

    /// Claims one parked worker and wakes it; does nothing when none is parked.
    void wake_one() noexcept;

    void wake_all() noexcept;

    /// Workers that are announced and not claimed.
    std::uint32_t sleepers() const noexcept { return sleepers_.load(); }

private:
    static constexpr std::uint32_t awake = 0;
    static constexpr std::uint32_t parked = 1;
    static constexpr std::uint32_t claimed = 2;

    struct alignas(64) word {
        std::atomic<std::uint32_t> value{awake};
    };

    bool claim_and_wake(word& w) noexcept;

    alignas(64) std::atomic<std::uint32_t> sleepers_{0};
    std::deque<word> words_;
};

}  // namespace postlude::detail

#endif
