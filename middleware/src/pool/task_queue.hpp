// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_POOL_TASK_QUEUE_HPP
#define POSTLUDE_SRC_POOL_TASK_QUEUE_HPP

#include "postlude/core/counters.hpp"
#include "postlude/core/error.hpp"
#include "postlude/pool/detail/record.hpp"
#include "postlude/pool/detail/tickets.hpp"
#include "postlude/pool/options.hpp"

#include <concurrentqueue/concurrentqueue.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <span>

namespace postlude::detail {

/// What became of a task that held a place.
enum class outcome : std::uint8_t { completed, failed, lost, handed_over };

/// Counts that one worker writes and others sum up. A line of its own, so that no worker waits
/// for another's.
struct alignas(64) worker_counts {
    std::atomic<std::uint64_t> taken{0};     ///< out of the queue, posted functions included
    std::atomic<std::uint64_t> finished{0};  ///< places given back by an end of any kind
    std::atomic<std::uint64_t> failed{0};
    std::atomic<std::uint64_t> lost{0};
    std::atomic<std::uint64_t> handed_over{0};
    std::atomic<std::uint64_t> posted{0};

    /// Only for the one thread that writes this count.
    static void add(std::atomic<std::uint64_t>& count) noexcept {
        count.store(count.load(std::memory_order_relaxed) + 1, std::memory_order_release);
    }
};

/// One queue: the places that it has, the tasks that wait, the slots of its worker limit.
class task_queue {
public:
    /// @param counts one for each worker; they must outlive the queue.
    /// @param refused is called after each refusal, by whoever is refused; does not throw.
    task_queue(queue_options options, std::span<worker_counts> counts,
               std::function<void()> refused);

    const queue_options& options() const noexcept { return options_; }

    detail::tickets tickets;
    const std::function<void()> on_refusal;

    /// Places whose tasks have ended.
    std::uint64_t finished() const noexcept { return sum(&worker_counts::finished); }

    /// Makes tasks visible to the workers. Waits for memory if there is none.
    void push(task_slot* const* tasks, std::size_t n) noexcept;

    /// Takes one task for a worker, with a slot of the worker limit, which `end_run` gives back.
    /// Null when nothing waits or the limit is reached.
    task_slot* take(std::size_t worker) noexcept;
    void end_run() noexcept;

    /// Takes a waiting task that will never run, or null.
    task_slot* take_lost() noexcept;

    /// Whether a worker that looked now would find a task. Never false when one is waiting and
    /// a slot is free: what was taken is summed up first, and what was pushed is read last.
    bool runnable() const noexcept { return has_slot() && waiting() > 0; }
    std::int64_t waiting() const noexcept;

    /// Whether every place taken has been given back.
    bool idle() const noexcept;

    /// Counts the end of a task. `worker` is null when it did not end on a worker.
    void finish(worker_counts* worker, outcome how) noexcept;
    void finish_posted(worker_counts* worker) noexcept;

    postlude::counters counters() const noexcept;

    std::atomic<std::uint64_t> overrunning{0};
    std::atomic<std::uint64_t> overran{0};
    std::uint64_t overrunning_found = 0;  ///< the monitor's notes, for it alone
    std::uint64_t refused_logged = 0;

private:
    bool limited() const noexcept { return options_.workers != 0; }
    bool has_slot() const noexcept { return !limited() || running_.load() < options_.workers; }
    bool take_slot() noexcept;
    std::uint64_t sum(std::atomic<std::uint64_t> worker_counts::* count) const noexcept;

    const queue_options options_;
    const std::span<worker_counts> counts_;
    worker_counts elsewhere_;  ///< what did not happen on a worker; added to atomically

    alignas(64) std::atomic<std::uint64_t> pushed_{0};
    alignas(64) std::atomic<std::uint32_t> running_{0};
    moodycamel::ConcurrentQueue<task_slot*> tasks_;
};

}  // namespace postlude::detail

#endif
