// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/dispatch/detail/release_lists.hpp"

namespace postlude::detail {

release_lists::list* release_lists::list_of(boost::asio::execution_context& loop) noexcept {
    for (auto& candidate : lists_) {
        auto* owner = candidate.loop.load(std::memory_order_acquire);
        if (owner == nullptr && candidate.loop.compare_exchange_strong(owner, &loop)) {
            owner = &loop;
        }
        if (owner == &loop) {
            return &candidate;
        }
    }
    return nullptr;
}

bool release_lists::push(list& which, task_slot* newest) noexcept {
    auto* oldest = newest;
    while (oldest->next) {
        oldest = oldest->next;
    }
    auto* before = which.newest.load(std::memory_order_relaxed);
    do {
        oldest->next = before;
    } while (!which.newest.compare_exchange_weak(before, newest, std::memory_order_release,
                                                 std::memory_order_relaxed));
    return before == nullptr;
}

void release_lists::flush_one(list& which) noexcept {
    if (auto* newest = which.newest.exchange(nullptr, std::memory_order_acquire)) {
        hand_over(newest);
    }
}

void release_lists::flush_all() noexcept {
    for (auto& which : lists_) {
        flush_one(which);
    }
}

void release_lists::hand_over(task_slot* newest) noexcept {
    task_slot* oldest_first = nullptr;
    while (newest) {
        auto* next = std::exchange(newest->next, oldest_first);
        oldest_first = std::exchange(newest, next);
    }
    pool_->submit(oldest_first);
}

}  // namespace postlude::detail
