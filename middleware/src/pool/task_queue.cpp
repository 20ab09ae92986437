// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "pool/task_queue.hpp"

#include <algorithm>
#include <thread>
#include <utility>

namespace postlude::detail {

namespace {

constexpr std::size_t preallocated = 4'096;  // tasks waiting for which no memory has to be found

}  // namespace

errc tickets::reserve_slowly(std::uint64_t before, std::uint32_t n, bool counts) noexcept {
    auto why = errc::stopped;
    if ((before & closed) == 0) {
        const auto finished = queue_->finished();
        finished_seen_.store(finished, std::memory_order_relaxed);
        if (static_cast<std::int64_t>(before + n - finished) <=
            static_cast<std::int64_t>(capacity_)) {
            return accepted;
        }
        why = errc::full;
    }
    taken_.fetch_sub(n);
    if (counts) {
        registered_.fetch_add(n, std::memory_order_relaxed);
        refused_.fetch_add(n);
        queue_->on_refusal();
    }
    return why;
}

task_queue::task_queue(queue_options options, std::span<worker_counts> counts,
                       std::function<void()> refused)
    : tickets(options.capacity, *this),
      on_refusal(std::move(refused)),
      options_(std::move(options)),
      counts_(counts),
      tasks_(std::min(options_.capacity, preallocated)) {}

void task_queue::push(task_slot* const* tasks, std::size_t n) noexcept {
    // Accepted means that it runs: without memory it waits until workers have freed some.
    while (!tasks_.enqueue_bulk(tasks, n)) {
        std::this_thread::yield();
    }
    pushed_.fetch_add(n);
}

bool task_queue::take_slot() noexcept {
    if (!limited()) {
        return true;
    }
    auto running = running_.load();
    do {
        if (running >= options_.workers) {
            return false;
        }
    } while (!running_.compare_exchange_weak(running, running + 1));
    return true;
}

void task_queue::end_run() noexcept {
    if (limited()) {
        running_.fetch_sub(1);
    }
}

task_slot* task_queue::take(std::size_t worker) noexcept {
    if (!take_slot()) {
        return nullptr;
    }
    task_slot* task = nullptr;
    if (!tasks_.try_dequeue(task)) {
        end_run();
        return nullptr;
    }
    worker_counts::add(counts_[worker].taken);
    return task;
}

task_slot* task_queue::take_lost() noexcept {
    task_slot* task = nullptr;
    if (tasks_.try_dequeue(task)) {
        elsewhere_.taken.fetch_add(1);
    }
    return task;
}

std::uint64_t task_queue::sum(std::atomic<std::uint64_t> worker_counts::* count) const noexcept {
    auto total = (elsewhere_.*count).load();
    for (const auto& worker : counts_) {
        total += (worker.*count).load();
    }
    return total;
}

std::int64_t task_queue::waiting() const noexcept {
    const auto taken = sum(&worker_counts::taken);
    return static_cast<std::int64_t>(pushed_.load() - taken);
}

bool task_queue::idle() const noexcept {
    const auto ended = finished();
    return tickets.taken() == ended;
}

void task_queue::finish(worker_counts* worker, outcome how) noexcept {
    const auto add = [&](std::atomic<std::uint64_t> worker_counts::* count) {
        if (worker) {
            worker_counts::add(worker->*count);
        } else {
            (elsewhere_.*count).fetch_add(1);
        }
    };
    if (how == outcome::failed) {
        add(&worker_counts::failed);
    } else if (how == outcome::lost) {
        add(&worker_counts::lost);
    } else if (how == outcome::handed_over) {
        add(&worker_counts::handed_over);
    }
    add(&worker_counts::finished);
}

void task_queue::finish_posted(worker_counts* worker) noexcept {
    if (worker) {
        worker_counts::add(worker->posted);
    } else {
        elsewhere_.posted.fetch_add(1);
    }
}

postlude::counters task_queue::counters() const noexcept {
    postlude::counters c;
    c.failed = sum(&worker_counts::failed);
    c.lost = sum(&worker_counts::lost);
    c.handed_over = sum(&worker_counts::handed_over);
    c.posted = sum(&worker_counts::posted);
    const auto ended = finished();
    c.completed = ended - std::min(ended, c.failed + c.lost + c.handed_over);
    c.left = tickets.taken() - ended;
    c.registered = tickets.registered();
    c.discarded = tickets.discarded();
    c.refused = tickets.refused();
    c.overrunning = overrunning.load();
    c.overran = overran.load();
    return c;
}

}  // namespace postlude::detail
