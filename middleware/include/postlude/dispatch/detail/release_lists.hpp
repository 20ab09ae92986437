// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_DISPATCH_DETAIL_RELEASE_LISTS_HPP
#define POSTLUDE_DISPATCH_DETAIL_RELEASE_LISTS_HPP

#include "postlude/pool/thread_pool.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/defer.hpp>
#include <boost/asio/execution.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>

#include <array>
#include <atomic>
#include <concepts>
#include <memory>
#include <utility>

namespace postlude::detail {

/// Defers to the event loop below an executor: not to a strand, which may be busy with one
/// request while the flush carries the work of others.
template <class Executor, class F>
void defer_to_loop(const Executor& executor, F f) {
    namespace asio = boost::asio;
    using io_executor = asio::io_context::executor_type;
    if constexpr (std::same_as<Executor, asio::any_io_executor>) {
        if (const auto* io = executor.template target<io_executor>()) {
            return asio::defer(*io, std::move(f));
        }
        if (const auto* strand = executor.template target<asio::strand<io_executor>>()) {
            return asio::defer(strand->get_inner_executor(), std::move(f));
        }
        if (const auto* strand = executor.template target<asio::strand<asio::any_io_executor>>()) {
            return defer_to_loop(strand->get_inner_executor(), std::move(f));
        }
        asio::defer(executor, std::move(f));
    } else if constexpr (requires { executor.get_inner_executor(); }) {
        defer_to_loop(executor.get_inner_executor(), std::move(f));
    } else {
        asio::defer(executor, std::move(f));
    }
}

/// The chains that wait for the end of this turn of their event loop: one list an event loop, so
/// that a loop that is busy or stopped holds up nobody's work but its own. A release is one
/// compare-and-swap; the one that finds the list empty defers one flush to the loop.
class release_lists : public std::enable_shared_from_this<release_lists> {
public:
    explicit release_lists(thread_pool& pool) noexcept : pool_(&pool) {}

    /// `newest` is a request's list, newest first.
    template <class Executor>
    void release(task_slot* newest, const Executor& executor) noexcept;

    /// Without a loop: to the workers at once.
    void hand_over(task_slot* newest) noexcept;

    /// Hands over every list now. What a loop flushes later finds its list empty.
    void flush_all() noexcept;

private:
    struct list {
        std::atomic<boost::asio::execution_context*> loop{nullptr};
        std::atomic<task_slot*> newest{nullptr};
    };

    /// Flushes when it is run, and also when it is destroyed without having been run.
    class flush {
    public:
        flush(std::shared_ptr<release_lists> lists, list& which) noexcept
            : lists_(std::move(lists)), list_(&which) {}
        flush(flush&&) noexcept = default;
        flush& operator=(flush&&) = delete;
        ~flush() {
            if (lists_) {
                lists_->flush_one(*list_);
            }
        }
        void operator()() noexcept { std::exchange(lists_, nullptr)->flush_one(*list_); }

    private:
        std::shared_ptr<release_lists> lists_;
        list* list_;
    };

    /// The list of a loop; null when as many loops as there are lists came before it.
    list* list_of(boost::asio::execution_context& loop) noexcept;
    /// Returns whether the list was empty.
    static bool push(list& which, task_slot* newest) noexcept;
    void flush_one(list& which) noexcept;

    thread_pool* pool_;
    std::array<list, 64> lists_;
};

template <class Executor>
void release_lists::release(task_slot* newest, const Executor& executor) noexcept {
    namespace execution = boost::asio::execution;
    list* which = nullptr;
    if constexpr (boost::asio::can_query<Executor, execution::context_t>::value) {
        which = list_of(boost::asio::query(executor, execution::context));
    }
    if (!which) {
        hand_over(newest);
        return;
    }
    if (!push(*which, newest)) {
        return;  // a flush is under way already
    }
    try {
        defer_to_loop(executor, flush(shared_from_this(), *which));
    } catch (...) {
        // No memory to defer with: the flush has run as it was destroyed.
    }
}

}  // namespace postlude::detail

#endif
