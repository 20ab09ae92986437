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
    return std::ranges::all_of(
        queues, [](const auto& queue) { return queue.idle() && queue.waiting() <= 0; });
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

detail::outcome thread_pool::state::lose(const detail::task_slot& slot, task_report::where where,
                                         milliseconds running_for) noexcept {
    if (slot.kept) {
        return detail::outcome::handed_over;
    }
    try {
        auto who = report(slot, where, running_for);
        logger().error("task '{}' is lost: {} when the time for it was over (request {}, queue {})",
                       who.name, describe(where), who.request_id.empty() ? "none" : who.request_id,
                       who.queue);
        const std::lock_guard lock(lost_mutex);
        lost.push_back(std::move(who));
    } catch (...) {  // no memory to name it; the counter still tells
    }
    return detail::outcome::lost;
}

void thread_pool::state::lose_waiting() noexcept {
    std::size_t functions = 0;
    for (auto& queue : queues) {
        while (auto* slot = queue.take_lost()) {
            if (slot->posted) {
                ++functions;
            } else {
                queue.finish(nullptr, lose(*slot, task_report::where::waiting));
            }
            slot->ops->destroy(*slot);
            release(slot->owner);
        }
    }
    if (functions != 0) {
        logger().warn("{} functions that were posted to the pool are dropped", functions);
    }
}

void thread_pool::state::give_up() {
    abandoned.store(true);
    // A task that a worker has taken and not begun is in no queue and in no run: look again for
    // as long as that can take. Lists that are still open keep their places for longer.
    wait_until(detail::monitor_clock::now() + milliseconds(100), [&] {
        for (const auto& run : live_runs()) {
            // What only starts a coroutine, or was posted, holds no place of its own.
            const bool holds_place = run.coroutine || !(run.slot->ops->start || run.slot->posted);
            const auto who = report(run);
            if (holds_place && run.control->give_up(run.number)) {
                queue_of(*run.slot).finish(nullptr, lose(*run.slot, who.state, who.running_for));
            }
        }
        lose_waiting();
        return idle();
    });
}

drain_report thread_pool::drain(milliseconds deadline) {
    auto& s = *state_;
    close();
    if (s.drained.exchange(true)) {
        return {};
    }
    deadline = std::clamp(deadline, milliseconds(0), milliseconds(longest_drain));
    const auto begin = detail::monitor_clock::now();
    if (!wait_until(begin + deadline * 4 / 5, [&] { return s.idle(); })) {
        // Again and again, since a run may begin just as this looks.
        const auto stopped = [&] {
            s.request_stop_of_all();
            return s.idle();
        };
        if (!wait_until(begin + deadline, stopped)) {
            s.give_up();
        }
    }
    const std::lock_guard lock(s.lost_mutex);
    return {.lost = std::move(s.lost)};
}

}  // namespace postlude
