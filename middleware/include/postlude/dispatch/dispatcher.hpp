// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_DISPATCH_DISPATCHER_HPP
#define POSTLUDE_DISPATCH_DISPATCHER_HPP

#include "postlude/backends/backend.hpp"
#include "postlude/dispatch/detail/release_lists.hpp"
#include "postlude/dispatch/job_context.hpp"
#include "postlude/jobs/registry.hpp"
#include "postlude/pool/thread_pool.hpp"

#include <chrono>
#include <memory>
#include <vector>

namespace postlude {

/// When jobs run.
enum class job_running : std::uint8_t {
    normally,
    /// For tests: every job is stored, whatever its kind says, and run by `dispatcher::run_ready`.
    by_hand,
    /// For tests: likewise, and run before the function that releases them has returned, which is
    /// the response's.
    at_once,
};

/// How the jobs of a process are kept and run.
struct job_settings {
    /// Where jobs are stored; null for none. Then jobs that may spill are of memory alone, and a
    /// kind that is durable is refused with errc::bad_kind.
    std::unique_ptr<backend> store{};
    /// false: this process registers jobs and leaves their running to others.
    bool runs_jobs = true;
    job_running running = job_running::normally;
    /// How long a request waits for its jobs to be stored before it gets 503; 10 ms to an hour.
    std::chrono::milliseconds commit_timeout{5'000};
    /// A process that does not renew its claims for so long loses them; 1 s to a day. Renewed six
    /// times as often.
    std::chrono::milliseconds lease{30'000};
    /// How often to look for claims whose lease has ended; 100 ms to an hour. Where the store sees
    /// an owner's death, it is asked once a second.
    std::chrono::milliseconds rescue_interval{30'000};
    /// A job that so many owners have died of is run no more; 1 to 100.
    unsigned quarantine_after = 3;
    retention keep{};
    /// Around every job's run, the first outermost. With any, each run is a coroutine.
    std::vector<job_middleware> around{};
};

struct dispatcher_options {
    pool_options pool{};
    /// What a 503 tells the client to wait, in whole seconds; 1 to 3,600.
    std::chrono::seconds retry_after{1};
    /// The kinds of jobs that this process knows.
    job_registry kinds{};
    job_settings jobs{};
};

/// Where deferred work goes when its response has ended. One a process is usual; it owns the
/// pool, and the store of jobs. It must outlive every `deferred` made with it. All members may be
/// called from any thread.
class dispatcher {
public:
    /// Opens the store and starts the threads: the pool's, and with a store three that wait for it
    /// (four where it takes two commits at a time), one more with the first `async_find` or
    /// `async_amend`, and with kinds of jobs one for timers. A store may have threads of its own.
    /// Throws system_error: errc::bad_option; errc::no_thread; errc::unknown_queue for a kind whose
    /// queue the pool does not have, be it only declared; errc::bad_kind for one that is durable
    /// without a store; and what the store cannot be opened for (errc::bad_store,
    /// errc::store_unavailable), saying what to do.
    explicit dispatcher(dispatcher_options options = {});
    /// Shuts down under `pool_options::drain`, if nobody has.
    ~dispatcher();
    dispatcher(const dispatcher&) = delete;
    dispatcher& operator=(const dispatcher&) = delete;

    thread_pool& pool() noexcept { return pool_; }
    const thread_pool& pool() const noexcept { return pool_; }
    queue_id queue(std::string_view name) const { return pool_.queue(name); }
    std::chrono::seconds retry_after() const noexcept { return retry_after_; }
    postlude::counters counters() const noexcept { return pool_.counters(); }
    postlude::job_counters job_counters() const noexcept;
    postlude::job_counters job_counters(queue_id queue) const noexcept;

    /// A task outside any request; see `thread_pool::try_run`.
    template <task_function F>
    [[nodiscard]] boost::system::error_code try_run(
        F&& f, task_options options = {},
        std::source_location where = std::source_location::current()) {
        return pool_.try_run(std::forward<F>(f), options, where);
    }

    // What follows blocks for as long as the store takes: not for a thread that serves, which has
    // `async_enqueue`, `async_find` and `async_amend` (in `postlude/dispatch/async_jobs.hpp`).
    // Throws errc::bad_kind without a store, and the store's errors.

    std::vector<job_view> find(const job_query& query);
    std::vector<job_event> history(job_id id);
    /// A result for each id.
    std::vector<amended> retry(std::span<const job_id> ids);
    std::vector<amended> cancel(std::span<const job_id> ids);
    std::vector<amended> erase(std::span<const job_id> ids);
    /// By queue and kind, with the age of the oldest job that is ready and not yet claimed.
    std::vector<queue_stats> stats();

    /// Runs all jobs that are ready now, and those that they make ready, and returns how many runs
    /// there were. Only for `job_running::by_hand`; see `postlude/dispatch/testing.hpp`.
    std::size_t run_ready();

    /// Takes nothing new, runs what was accepted, and gives up what is left at the deadline; see
    /// `thread_pool::drain`. From four fifths of the time on, jobs that have not begun go to the
    /// store, and those that stop when asked likewise. What the store can't take is lost, and is in
    /// the report. The store is closed within the deadline too, or left to itself; for each of the
    /// threads that wait for it, and for that, there are 0.1 s in any case. Blocks. Call it when
    /// the responses in flight have ended.
    drain_report shutdown(std::chrono::milliseconds deadline);

    // For Postlude's own parts.

    detail::release_lists& lists() noexcept { return *lists_; }
    const std::shared_ptr<detail::job_service>& jobs() const noexcept { return jobs_; }

private:
    std::chrono::milliseconds drain_;
    std::shared_ptr<detail::job_service> jobs_;
    thread_pool pool_;
    std::shared_ptr<detail::release_lists> lists_;
    std::chrono::seconds retry_after_;
};

}  // namespace postlude

#endif
