// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_POOL_STATE_HPP
#define POSTLUDE_SRC_POOL_STATE_HPP

#include "pool/parking.hpp"
#include "pool/run_control.hpp"
#include "pool/task_queue.hpp"
#include "postlude/pool/thread_pool.hpp"

#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/strand.hpp>

#include <spdlog/spdlog.h>

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

namespace postlude {

namespace detail {

using monitor_clock = std::chrono::steady_clock;

/// What the monitor remembers of a run between two looks.
struct run_note {
    std::uint64_t run = 0;
    monitor_clock::time_point since;
    std::chrono::milliseconds report_after{0};  ///< grows with each report; 0 before the first
};

struct worker {
    std::thread thread;
    std::atomic<bool> exited{false};
    alignas(64) std::atomic<task_slot*> current{nullptr};  ///< valid while `control` says running
    run_control control;
    std::size_t next_queue = 0;
    run_note note;  ///< under the state's mutex
};

/// A task that is a coroutine, from its start to its end. Its frame holds it alive; destroyed
/// without having ended, it counts as lost.
struct coroutine_run : std::enable_shared_from_this<coroutine_run> {
    coroutine_run(std::shared_ptr<thread_pool::state> state, thread_pool& pool, task_slot& slot);
    ~coroutine_run();

    /// Spawns the coroutine; what that throws is the task's failure.
    void start() noexcept;
    /// From any thread; only the first call does anything.
    void request_stop();

    const std::shared_ptr<thread_pool::state> state;
    task_slot& slot;
    run_control control;
    const std::uint64_t run;
    task_context context;
    boost::asio::strand<thread_pool::executor_type> strand;
    boost::asio::cancellation_signal cancellation;  ///< touched on the strand only
    run_note note;                                  ///< under the state's mutex

private:
    void spawn() noexcept;
    void end(std::exception_ptr error) noexcept;

    std::atomic<bool> stop_requested_{false};
    bool ended_ = false;
};

/// One run that is on, held so that its slot cannot be recycled while somebody looks at it.
struct live_run {
    std::unique_ptr<record, std::function<void(record*)>> hold;
    std::shared_ptr<coroutine_run> coroutine;  ///< null for a run on a worker
    task_slot* slot;
    run_control* control;
    run_note* note;
    std::uint64_t number;

    void request_stop() const;
};

}  // namespace detail

/// Everything that workers touch. They share it, so that a thread whose task never returns has
/// something to return to when the pool is gone.
struct thread_pool::state : std::enable_shared_from_this<thread_pool::state> {
    explicit state(pool_options given);

    // Set by the constructor, then only read.
    pool_options options;
    thread_pool* pool = nullptr;
    std::deque<std::vector<detail::worker_counts>> counts;  ///< by queue, then by worker
    std::deque<detail::task_queue> queues;
    std::deque<detail::worker> workers;
    detail::parking parking;

    const std::shared_ptr<detail::record_store> records = std::make_shared<detail::record_store>();
    void release(detail::record* record) noexcept { records->release(*record); }

    // Workers (worker.cpp).
    void work(std::size_t index) noexcept;
    detail::task_slot* look(std::size_t index) noexcept;
    bool any_runnable() const noexcept;
    void run(detail::worker& worker, std::size_t index, detail::task_slot& slot) noexcept;
    /// Counts, logs and reports the end of a task that holds a place, and gives up its reference.
    void finish(detail::task_slot& slot, std::exception_ptr error) noexcept;
    void report_failure(const detail::task_slot& slot, const std::exception_ptr& error) noexcept;
    std::atomic<bool> exiting{false};

    // Ends (drain.cpp).
    bool idle() const noexcept;
    void request_stop_of_all() noexcept;
    void give_up();
    /// Takes out what waits: it is named, counted and destroyed.
    void lose_waiting() noexcept;
    /// Names a lost task in the log and in the drain's report. Returns what it counts as.
    detail::outcome lose(const detail::task_slot& slot, task_report::where where,
                         std::chrono::milliseconds running_for = {}) noexcept;
    std::mutex lost_mutex;
    std::vector<task_report> lost;
    std::atomic<bool> stopping{false};   ///< running tasks have been asked to stop
    std::atomic<bool> abandoned{false};  ///< the deadline has passed: nothing runs any more
    std::atomic<bool> drained{false};

    // The monitor (monitor.cpp). The mutex guards its notes and the running coroutines.
    void monitor() noexcept;
    void wake_monitor() noexcept;
    std::vector<detail::live_run> live_runs();
    std::vector<task_report> running();
    task_report report(const detail::live_run& run);
    std::thread monitor_thread;
    std::mutex mutex;
    std::condition_variable monitor_wakeup;
    std::atomic<bool> monitor_sleeps{false};
    std::unordered_map<detail::coroutine_run*, std::weak_ptr<detail::coroutine_run>> coroutines;

    detail::task_queue& queue_of(const detail::task_slot& slot) noexcept {
        return queues[static_cast<std::size_t>(slot.queue)];
    }
    detail::worker_counts* counts_of_this_thread(queue_id queue) noexcept;
    task_report report(const detail::task_slot& slot, task_report::where where,
                       std::chrono::milliseconds running_for = {}) const;
    spdlog::logger& logger() const noexcept { return *options.logger; }

private:
    void look_at_runs();
    void look_at(const detail::live_run& run, detail::monitor_clock::time_point now);
    /// Nothing is left to be written or counted by a look.
    bool all_is_told() const noexcept;
    void log_refusals();
};

namespace detail {

/// The worker that runs on this thread, if one does.
struct this_worker {
    thread_pool::state* state = nullptr;
    std::size_t index = 0;
};
inline thread_local this_worker current_worker;

}  // namespace detail

}  // namespace postlude

#endif
