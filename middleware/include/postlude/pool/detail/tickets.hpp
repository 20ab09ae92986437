// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_POOL_DETAIL_TICKETS_HPP
#define POSTLUDE_POOL_DETAIL_TICKETS_HPP

#include "postlude/core/error.hpp"

#include <atomic>
#include <cstdint>

namespace postlude::detail {

class task_queue;

/// No error. Inside, an answer is an `errc`: an error_code takes 24 bytes of memory traffic.
inline constexpr errc accepted{};

/// The places of one queue. Taking one is a fetch-and-add; it is free again when its task has
/// ended or its list has given it back. The ends are counted by worker, on lines of their own;
/// their sum is kept here and summed up anew only when the queue seems to be full.
///
/// Everything that the threads which register write stands on these lines, and nothing else.
class alignas(64) tickets {
public:
    tickets(std::uint64_t capacity, const task_queue& queue) noexcept
        : capacity_(capacity), queue_(&queue) {}

    /// Takes n places, or returns errc::full or errc::stopped.
    /// @param counts whether a refusal is counted as n registered and refused: not where they go
    ///     elsewhere then.
    errc reserve(std::uint32_t n, bool counts = true) noexcept {
        const auto before = taken_.fetch_add(n);
        if (before + n - finished_seen_.load(std::memory_order_relaxed) <= capacity_) [[likely]] {
            return accepted;
        }
        return reserve_slowly(before, n, counts);
    }

    /// Takes n places that will likely be asked for one by one, while they are far from scarce.
    /// False, and nothing is counted, when more than half of the capacity is taken.
    bool reserve_ahead(std::uint32_t n) noexcept {
        const auto before = taken_.fetch_add(n);
        if (before + n - finished_seen_.load(std::memory_order_relaxed) <= capacity_ / 2) {
            return true;
        }
        give_back(n);
        return false;
    }

    void give_back(std::uint32_t n) noexcept { taken_.fetch_sub(n); }
    void close() noexcept { taken_.fetch_or(closed); }

    /// Adds the tasks of a list whose outcome is known. Their places, if discarded, are free.
    void count(std::uint64_t registered, std::uint64_t discarded) noexcept {
        registered_.fetch_add(registered, std::memory_order_relaxed);
        if (discarded != 0) {
            discarded_.fetch_add(discarded, std::memory_order_relaxed);
            taken_.fetch_sub(discarded);
        }
    }

    std::uint64_t taken() const noexcept { return taken_.load() & ~closed; }
    std::uint64_t registered() const noexcept { return registered_.load(); }
    std::uint64_t discarded() const noexcept { return discarded_.load(); }
    std::uint64_t refused() const noexcept { return refused_.load(); }

private:
    static constexpr std::uint64_t closed = std::uint64_t{1} << 63;

    /// When it is closed, when it seems full, or when others have finished places that were taken
    /// after this one, so that the difference is negative.
    errc reserve_slowly(std::uint64_t before, std::uint32_t n, bool counts) noexcept;

    std::atomic<std::uint64_t> taken_{0};
    std::atomic<std::uint64_t> finished_seen_{0};
    const std::uint64_t capacity_;
    const task_queue* const queue_;
    std::atomic<std::uint64_t> registered_{0};
    std::atomic<std::uint64_t> discarded_{0};
    std::atomic<std::uint64_t> refused_{0};
};

}  // namespace postlude::detail

#endif
