// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "pool/state.hpp"

#include <algorithm>
#include <utility>

namespace postlude {

namespace {

using std::chrono::milliseconds;

const char* describe(task_report::where where) noexcept {
    switch (where) {
    case task_report::where::waiting: return "it had not started";
    case task_report::where::running: return "it was running";
    case task_report::where::suspended: return "it was suspended";
    case task_report::where::stopped: return "it stopped when it was asked to";
    }
    return "";
}

/// Waits for `done` until the deadline; a drain is rare, so a look every few milliseconds will do.
template <class Done>
bool wait_until(detail::monitor_clock::time_point deadline, Done done) {
    auto pause = std::chrono::microseconds(50);
    while (!done()) {
        if (detail::monitor_clock::now() >= deadline) {
            return false;
        }
        std::this_thread::sleep_for(pause);
        pause = std::min(2 * pause, std::chrono::microseconds(5'000));
    }
    return true;
}

}  // namespace

bool thread_pool::state::idle() const noexcept {
    return std::ranges::all_of(queues, [](const auto& queue) { return queue.idle(); });
}

void thread_pool::state::request_stop_of_all() noexcept {
    stopping.store(true);
    try {
        for (const auto& run : live_runs()) {
            run.request_stop();
        }
    } catch (...) {
        logger().error("no memory to ask the running tasks to stop");
    }
}

void thread_pool::state::lose(const task_report& report, std::vector<task_report>* lost) noexcept {
    try {
        logger().error("task '{}' is lost: {} when the time for it was over (request {}, queue {})",
                       report.name, describe(report.state),
                       report.request_id.empty() ? "none" : report.request_id, report.queue);
        if (lost) {
            lost->push_back(report);
        }
    } catch (...) {  // no memory to name it; the counter still tells
    }
}

void thread_pool::state::lose_waiting(std::vector<task_report>* lost) noexcept {
    for (auto& queue : queues) {
        while (auto* slot = queue.take_lost()) {
            if (!slot->posted) {
                lose(report(*slot, task_report::where::waiting), lost);
            }
            slot->ops->destroy(*slot);
            if (slot->posted) {
                queue.finish_posted(nullptr);
            } else {
                queue.finish(nullptr, detail::outcome::lost);
            }
            release(slot->owner);
        }
    }
}

void thread_pool::state::give_up(std::vector<task_report>& lost) {
    {
        const std::lock_guard lock(mutex);
        abandoned.store(true);
    }
    for (const auto& run : live_runs()) {
        // What only starts a coroutine, or was posted, holds no place of its own.
        const bool holds_place = run.coroutine || !(run.slot->ops->start || run.slot->posted);
        const auto who = report(run);
        if (holds_place && run.control->give_up(run.number)) {
            lose(who, &lost);
            queue_of(*run.slot).finish(nullptr, detail::outcome::lost);
        }
    }
    lose_waiting(&lost);
}

drain_report thread_pool::drain(milliseconds deadline) {
    drain_report report;
    auto& s = *state_;
    close();
    if (s.drained.exchange(true)) {
        return report;
    }
    const auto begin = detail::monitor_clock::now();
    const auto done = [&] { return s.idle(); };
    if (!wait_until(begin + deadline * 4 / 5, done)) {
        s.request_stop_of_all();
        if (!wait_until(begin + deadline, done)) {
            s.give_up(report.lost);
        }
    }
    const std::lock_guard lock(s.mutex);
    report.lost.insert(report.lost.end(), s.stopped.begin(), s.stopped.end());
    return report;
}

}  // namespace postlude
