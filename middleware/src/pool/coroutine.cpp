// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "pool/state.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>

#include <utility>

namespace postlude::detail {

namespace asio = boost::asio;

coroutine_run::coroutine_run(std::shared_ptr<thread_pool::state> owner, thread_pool& pool,
                             task_slot& task)
    : state(std::move(owner)),
      slot(task),
      run(control.begin()),
      context(pool, task, control, run),
      strand(asio::make_strand(thread_pool::executor_type(pool, task.queue, &task))) {}

coroutine_run::~coroutine_run() {
    // Destroyed without an end, with the pool or before it could start: lost, unless the drain
    // has said so already.
    {
        const std::lock_guard lock(state->mutex);
        state->coroutines.erase(this);
    }
    if (ended_) {
        return;
    }
    slot.ops->destroy(slot);
    if (control.finish(run)) {
        state->queue_of(slot).finish(nullptr, state->lose(slot, task_report::where::suspended));
    }
    state->release(slot.owner);
}

void coroutine_run::start() noexcept {
    if (state->abandoned) {
        return;
    }
    try {
        // On the strand, like the cancellation, and before anybody can ask for that.
        asio::post(strand, [self = shared_from_this()] { self->spawn(); });
    } catch (...) {
        end(std::current_exception());
        return;
    }
    try {
        {
            const std::lock_guard lock(state->mutex);
            state->coroutines.emplace(this, weak_from_this());
        }
        if (state->stopping) {
            request_stop();
        }
    } catch (...) {
        state->logger().error("no memory to watch a coroutine: it runs without a limit");
    }
}

void coroutine_run::spawn() noexcept {
    // Calling the task makes its coroutine and runs nothing of it. The callable stays in its
    // slot, so what it captured outlives the coroutine.
    try {
        auto coroutine = slot.ops->start(slot, context);
        asio::co_spawn(
            strand, std::move(coroutine),
            asio::bind_cancellation_slot(
                cancellation.slot(), [self = shared_from_this()](const std::exception_ptr& error) {
                    self->end(error);
                }));
    } catch (...) {
        end(std::current_exception());
    }
}

void coroutine_run::request_stop() {
    control.request_stop(run);
    if (!stop_requested_.exchange(true)) {
        asio::post(strand, [self = shared_from_this()] {
            self->cancellation.emit(asio::cancellation_type::terminal);
        });
    }
}

void coroutine_run::end(std::exception_ptr error) noexcept {
    ended_ = true;
    slot.ops->destroy(slot);
    if (control.finish(run)) {
        state->finish(slot, std::move(error));
    } else {
        state->release(slot.owner);
    }
}

}  // namespace postlude::detail
