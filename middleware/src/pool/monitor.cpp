// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "pool/state.hpp"

#include <algorithm>

namespace postlude {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds slowest_look{1'000};
constexpr milliseconds fastest_look{20};

milliseconds limit_of(const detail::task_slot& slot, const queue_options& queue) {
    return slot.run_limit_ms != 0 ? milliseconds(slot.run_limit_ms) : queue.run_limit;
}

milliseconds since(detail::monitor_clock::time_point begin, detail::monitor_clock::time_point now) {
    return std::chrono::duration_cast<milliseconds>(now - begin);
}

/// A reference to a record that may have ended just now. Records are freed only with the pool,
/// so looking at the count of one is always allowed.
bool try_hold(detail::record& record) noexcept {
    auto refs = record.refs.load();
    while (refs != 0) {
        if (record.refs.compare_exchange_weak(refs, refs + 1)) {
            return true;
        }
    }
    return false;
}

}  // namespace

void detail::live_run::request_stop() const {
    if (coroutine) {
        coroutine->request_stop();
    } else {
        control->request_stop(number);
    }
}

std::vector<detail::live_run> thread_pool::state::live_runs() {
    std::vector<detail::live_run> runs;
    const auto add = [&](detail::task_slot& slot, detail::run_control& control,
                         detail::run_note& note, std::uint64_t number,
                         std::shared_ptr<detail::coroutine_run> coroutine) {
        if (!try_hold(*slot.owner)) {
            return;
        }
        detail::live_run run{{slot.owner, [this](detail::record* r) { release(r); }},
                             std::move(coroutine),
                             &slot,
                             &control,
                             &note,
                             number};
        // Still the same run: the slot belongs to it, and stays as it is while it is held.
        if (control.run.load() == number) {
            runs.push_back(std::move(run));
        }
    };
    std::vector<std::shared_ptr<detail::coroutine_run>> suspended;
    {
        const std::lock_guard lock(mutex);
        for (const auto& [_, weak] : coroutines) {
            if (auto coroutine = weak.lock()) {
                suspended.push_back(std::move(coroutine));
            }
        }
    }
    for (auto& coroutine : suspended) {
        auto& c = *coroutine;
        if (detail::run_control::is_running(c.control.run.load())) {
            add(c.slot, c.control, c.note, c.run, std::move(coroutine));
        }
    }
    for (auto& worker : workers) {
        const auto number = worker.control.run.load(std::memory_order_acquire);
        if (detail::run_control::is_running(number)) {
            add(*worker.current.load(), worker.control, worker.note, number, nullptr);
        }
    }
    return runs;
}

void thread_pool::state::look_at(const detail::live_run& run,
                                 detail::monitor_clock::time_point now) {
    auto& queue = queue_of(*run.slot);
    auto& note = *run.note;
    milliseconds elapsed;
    {
        const std::lock_guard lock(mutex);
        if (note.run != run.number) {
            note = {.run = run.number, .since = now};
        }
        elapsed = since(note.since, now);
    }
    const auto limit = limit_of(*run.slot, queue.options());
    if (limit == milliseconds(0) || elapsed < limit) {
        return;
    }
    queue.overrunning_found += 1;
    if (note.report_after == milliseconds(0)) {
        queue.overran.fetch_add(1);
    } else if (elapsed < note.report_after) {
        return;
    }
    note.report_after = 2 * elapsed;
    const auto who = report(run);
    logger().warn(
        "task '{}' is still {} after {} ms, its limit is {} ms: asked to stop "
        "(request {}, queue {})",
        who.name, run.coroutine ? "suspended or running" : "running", elapsed.count(),
        limit.count(), who.request_id.empty() ? "none" : who.request_id, who.queue);
    run.request_stop();
}

void thread_pool::state::look_at_runs() {
    const auto now = detail::monitor_clock::now();
    for (const auto& run : live_runs()) {
        // What resumes a coroutine is looked at as the coroutine.
        if (!(run.slot->posted && run.slot->owner->root)) {
            look_at(run, now);
        }
    }
    for (auto& queue : queues) {
        queue.overrunning.store(std::exchange(queue.overrunning_found, 0));
    }
}

bool thread_pool::state::all_is_told() const noexcept {
    return std::ranges::all_of(queues, [](const auto& queue) {
        return queue.overrunning.load() == 0 && queue.tickets.refused() == queue.refused_logged;
    });
}

void thread_pool::state::log_refusals() {
    for (auto& queue : queues) {
        const auto refused = queue.tickets.refused();
        if (const auto more = refused - std::exchange(queue.refused_logged, refused)) {
            logger().warn("queue '{}' refused {} tasks (capacity {}, {} refused in all)",
                          queue.options().name, more, queue.options().capacity, refused);
        }
    }
}

task_report thread_pool::state::report(const detail::live_run& run) {
    const auto now = detail::monitor_clock::now();
    milliseconds elapsed{0};
    {
        const std::lock_guard lock(mutex);
        if (run.note->run == run.number) {
            elapsed = since(run.note->since, now);
        }
    }
    return report(*run.slot,
                  run.coroutine ? task_report::where::suspended : task_report::where::running,
                  elapsed);
}

std::vector<task_report> thread_pool::state::running() {
    std::vector<task_report> reports;
    for (const auto& run : live_runs()) {
        const bool resumes = run.slot->posted && run.slot->owner->root;
        if (!resumes && (!run.slot->ops->start || run.coroutine)) {
            reports.push_back(report(run));
        }
    }
    return reports;
}

void thread_pool::state::wake_monitor() noexcept {
    if (monitor_sleeps.load() && monitor_sleeps.exchange(false)) {
        const std::lock_guard lock(mutex);
        monitor_wakeup.notify_one();
    }
}

void thread_pool::state::monitor() noexcept {
    auto pause = slowest_look;
    for (const auto& queue : queues) {
        if (const auto limit = queue.options().run_limit; limit != milliseconds(0)) {
            pause = std::clamp(limit / 4, fastest_look, pause);
        }
    }
    const auto try_to = [this](auto look) {
        try {
            look();
        } catch (...) {
            logger().error("the pool's monitor had no memory for its look; it tries again");
        }
    };
    std::unique_lock lock(mutex);
    while (!exiting.load()) {
        // While nothing runs it sleeps without a time-out: an idle process uses no time at all. A
        // refusal is counted before it looks here, or wakes.
        monitor_sleeps.store(true);
        if (coroutines.empty() && parking.sleepers() == workers.size() && all_is_told()) {
            monitor_wakeup.wait(lock, [&] { return exiting.load() || !monitor_sleeps.load(); });
        }
        monitor_sleeps.store(false);
        monitor_wakeup.wait_for(lock, pause, [&] { return exiting.load(); });
        lock.unlock();
        try_to([this] {
            look_at_runs();
            log_refusals();
        });
        lock.lock();
    }
    try_to([this] { log_refusals(); });
}

}  // namespace postlude
