// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_POOL_OPTIONS_HPP
#define POSTLUDE_POOL_OPTIONS_HPP

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace spdlog {
class logger;
}

namespace postlude {

/// How the system schedules the workers.
enum class scheduling {
    /// SCHED_BATCH: a worker that wakes does not preempt the thread that serves. Needs no
    /// privilege.
    batch,
    /// The scheduling of the thread that made the pool.
    inherit,
    /// SCHED_IDLE: only what no other thread wants. Under saturation the work starves.
    idle,
};

/// The longest time that a drain can be given.
inline constexpr std::chrono::hours longest_drain{24 * 365};

/// A queue of its own keeps one kind of work from starving the others.
struct queue_options {
    /// What tasks, logs and metrics call it; unique in its pool.
    std::string name{};
    /// Tasks accepted and not finished, at most; 1 to 2^31. A task over it is refused, never waited
    /// for.
    std::size_t capacity = 65'536;
    /// Workers that run this queue's tasks at one time, at most; 0 sets no limit.
    unsigned workers = 0;
    /// A task that runs longer is reported, and asked to stop, while it runs; 0 sets no limit.
    std::chrono::milliseconds run_limit{60'000};
};

/// One task that did not end well, as the error hook sees it. The views live as long as the call.
struct task_failure {
    std::string_view name;
    std::string_view request_id;  ///< empty where no request caused the task
    std::string_view queue;
    std::exception_ptr error;  ///< what it threw; may be no std::exception
};

/// Everything that a pool can be told; the defaults suit a web server.
struct pool_options {
    /// Threads that run tasks; 0 takes as many as the hardware has, at most 1,024.
    unsigned threads = 0;
    scheduling schedule = scheduling::batch;
    /// The queue that tasks go to when they name none. Its name is "default".
    queue_options default_queue{.name = "default"};
    /// Further queues, at most 63.
    std::vector<queue_options> queues{};
    /// What the pool's destructor gives accepted work to finish in, if nobody has drained before;
    /// up to a year.
    std::chrono::milliseconds drain{25'000};
    /// Called on the worker for each task that throws, after it was logged and before it is
    /// counted, and for each run of a job that throws, before that is logged and counted. May be
    /// called from several workers at once. What it throws itself is logged and goes no further.
    std::function<void(const task_failure&)> on_error{};
    /// Where the pool logs; when null, what is spdlog's default logger as the pool is made.
    std::shared_ptr<spdlog::logger> logger{};
};

}  // namespace postlude

#endif
