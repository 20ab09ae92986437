// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "pool/state.hpp"
#include "pool/task_error.hpp"

#include <boost/system/system_error.hpp>

#include <pthread.h>
#include <sched.h>

#include <string>
#include <system_error>

namespace postlude {

namespace {

void set_scheduling(scheduling wanted, spdlog::logger& log) {
    if (wanted == scheduling::inherit) {
        return;
    }
    const sched_param priority{};
    const int policy = wanted == scheduling::batch ? SCHED_BATCH : SCHED_IDLE;
    if (const int error = pthread_setschedparam(pthread_self(), policy, &priority)) {
        log.warn("a worker keeps the scheduling it was started with: {}",
                 std::generic_category().message(error));
    }
}

}  // namespace

bool thread_pool::state::any_runnable() const noexcept {
    for (const auto& queue : queues) {
        if (queue.runnable()) {
            return true;
        }
    }
    return false;
}

detail::task_slot* thread_pool::state::look(std::size_t index) noexcept {
    // The queue after the one served last comes first, so that none starves.
    auto& next = workers[index].next_queue;
    for (std::size_t i = 0; i < queues.size(); ++i) {
        auto& queue = queues[next];
        next = next + 1 == queues.size() ? 0 : next + 1;
        if (auto* task = queue.take(index)) {
            return task;
        }
    }
    return nullptr;
}

void thread_pool::state::work(std::size_t index) noexcept {
    detail::current_worker = {this, index};
    auto& self = workers[index];
    const auto keep_alive = shared_from_this();
    set_scheduling(options.schedule, logger());
    while (!exiting.load()) {
        auto* task = abandoned.load() ? nullptr : look(index);
        if (task) {
            // Hand on: who woke this worker counted on one more task, or a limit has room again.
            if (parking.sleepers() > 0 && any_runnable()) {
                parking.wake_one();
            }
            run(self, index, *task);
            continue;
        }
        parking.announce(index);
        if (exiting.load() || (!abandoned.load() && any_runnable())) {
            parking.cancel(index);
            wake_monitor();  // it may have taken the announcement for sleep
            continue;
        }
        parking.sleep(index);
        wake_monitor();
    }
    self.exited.store(true);
    detail::current_worker = {};
}

void thread_pool::state::run(detail::worker& worker, std::size_t index,
                             detail::task_slot& slot) noexcept {
    auto& queue = queue_of(slot);
    auto& own_counts = counts[static_cast<std::size_t>(slot.queue)][index];
    worker.current.store(&slot, std::memory_order_release);
    const auto number = worker.control.begin();
    if (stopping.load(std::memory_order_relaxed)) {
        worker.control.request_stop(number);
    }
    std::exception_ptr error;
    bool detached = false;
    try {
        if (slot.ops->start) {
            std::make_shared<detail::coroutine_run>(shared_from_this(), *pool, slot)->start();
            detached = true;
        } else {
            task_context context(*pool, slot, worker.control, number);
            slot.ops->invoke(slot, context);
        }
    } catch (...) {
        error = std::current_exception();
    }
    if (detached) {
        worker.control.finish(number);
        queue.end_run();
        return;
    }
    slot.ops->destroy(slot);
    if (!worker.control.finish(number)) {
        release(slot.owner);  // it was given up: counted and named by the drain
        return;
    }
    queue.end_run();
    if (slot.posted) {
        queue.finish_posted(&own_counts);
        if (error) {
            report_failure(slot, error);
        }
        release(slot.owner);
    } else {
        finish(slot, std::move(error));
    }
}

void thread_pool::state::finish(detail::task_slot& slot, std::exception_ptr error) noexcept {
    auto& queue = queue_of(slot);
    auto* own = counts_of_this_thread(slot.queue);
    if (!error) {
        queue.finish(own, detail::outcome::completed);
    } else if (stopping.load() && detail::stopped_when_asked(error)) {
        queue.finish(own, lose(slot, task_report::where::stopped));
    } else {
        report_failure(slot, error);
        queue.finish(own, detail::outcome::failed);
    }
    release(slot.owner);
}

void thread_pool::state::report_failure(const detail::task_slot& slot,
                                        const std::exception_ptr& error) noexcept {
    try {
        const auto name = slot.display_name();
        const auto id = slot.owner->request_id();
        const auto& queue = queues[static_cast<std::size_t>(slot.queue)].options().name;
        logger().error("task '{}' failed: {} (request {}, queue {})", name,
                       detail::sentence_of(error), id.empty() ? "none" : id, queue);
        if (options.on_error) {
            options.on_error({name, id, queue, error});
        }
    } catch (...) {
        logger().error("the error hook failed: {}", detail::sentence_of(std::current_exception()));
    }
}

detail::worker_counts* thread_pool::state::counts_of_this_thread(queue_id queue) noexcept {
    const auto& here = detail::current_worker;
    return here.state == this ? &counts[static_cast<std::size_t>(queue)][here.index] : nullptr;
}

task_report thread_pool::state::report(const detail::task_slot& slot, task_report::where where,
                                       std::chrono::milliseconds running_for) const {
    return {.name = slot.display_name(),
            .request_id = std::string(slot.owner->request_id()),
            .queue = queues[static_cast<std::size_t>(slot.queue)].options().name,
            .state = where,
            .running_for = running_for};
}

// task_context

std::string task_context::name() const { return slot_->display_name(); }

std::string_view task_context::request_id() const noexcept { return slot_->owner->request_id(); }

bool task_context::stop_requested() const noexcept { return control_->stop_requested(run_); }

std::stop_token task_context::stop_token() const { return control_->token(run_); }

void task_context::checkpoint() const {
    if (stop_requested()) {
        throw boost::system::system_error(errc::task_stopped);
    }
}

}  // namespace postlude
