// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_DISPATCH_JOB_SERVICE_HPP
#define POSTLUDE_SRC_DISPATCH_JOB_SERVICE_HPP

#include "dispatch/job_claimer.hpp"
#include "dispatch/job_counts.hpp"
#include "dispatch/job_keeper.hpp"
#include "dispatch/job_questions.hpp"
#include "dispatch/job_timers.hpp"
#include "dispatch/job_writer.hpp"
#include "dispatch/jobs_in_hand.hpp"
#include "dispatch/store_health.hpp"
#include "postlude/dispatch/dispatcher.hpp"

#include <atomic>
#include <chrono>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

namespace postlude::detail {

/// What the jobs of one of the pool's queues share.
struct job_queue {
    std::size_t capacity = 0;
    unsigned workers = 0;
    job_counts counts;
    std::atomic<std::uint32_t> in_hand{0};  ///< claimed in the store by this process, and not ended
    std::atomic<std::uint32_t> prefetch{0};  ///< how many of these there may be
    std::atomic<std::uint32_t> timed{0};     ///< waiting in memory for their time
    std::atomic<std::uint32_t> owed{0};      ///< accepted, on their way to the store
    std::atomic<std::uint64_t> ended{0};     ///< runs of claimed jobs
    /// The store has jobs of this queue that memory had no room for; new ones follow them.
    std::atomic<bool> spilled{false};
};

/// As log lines have the id of a request that there may not be.
inline std::string_view none_if_empty(std::string_view id) noexcept {
    return id.empty() ? "none" : id;
}

/// Throws errc::bad_option with the sentence.
void require(bool good, const char* sentence);

/// All that a dispatcher does with jobs: decides where one is kept, runs it, settles what became of
/// it. The threads that wait for the store are its parts.
class job_service : public std::enable_shared_from_this<job_service> {
public:
    job_service(job_registry kinds, job_settings settings,
                std::function<void(const task_failure&)> on_error);
    ~job_service();

    /// Opens the store and starts the threads.
    void start(thread_pool& pool);
    drain_report shutdown(std::chrono::milliseconds deadline);

    // Registration.

    job_ptr make(std::string_view kind, std::unique_ptr<job_arguments> args, job_options&& options,
                 std::string_view request_id);
    /// Decides where the job is kept, and takes the place that it needs. Counts a refusal.
    /// @param waits whether whoever registers it can wait for the store.
    /// @param take_place takes a place in the job's queue; called with whether a refusal counts.
    template <class TakePlace>
    errc choose_route(job& j, bool waits, TakePlace take_place);
    /// For tests.
    std::size_t run_ready();
    /// The outcome of its request lets it go, or does not.
    void release(const job_ptr& j) noexcept;
    void discard(const job_ptr& j, bool refused) noexcept;
    void store(job_list jobs, std::unique_ptr<commit_waiter> waiter);
    /// Accepts a job that belongs to no request.
    void enqueue(const job_ptr& j, std::unique_ptr<commit_waiter> waiter);
    /// The place of a job was taken: makes it a task, or gives the place back.
    void place_taken(const job_ptr& j, bool runs);
    put make_put(job& j, bool claimed) const;

    // Running, on the workers.

    void run(const job_ptr& j, task_context& task);
    boost::asio::awaitable<void> run_coroutine(const job_ptr& j, task_context& task);
    boost::asio::awaitable<void> run_from(job_context& context, std::size_t index);
    /// A task that was destroyed without having been run.
    void dropped(const job_ptr& j) noexcept;
    /// Makes jobs tasks of the pool. Those for which there is no place are returned.
    job_list run_now(job_list jobs);

    // From the threads that wait for the store.

    /// One that was owed is stored.
    void stored(const job_ptr& j, const receipt& held) noexcept;
    /// One that was owed, and that the store refuses for good.
    void unstorable(const job_ptr& j) noexcept;
    void settled(const job_ending& ending, bool accepted) noexcept;
    /// One that was claimed from the store.
    job_ptr adopt(claimed_job&& claimed);
    void give_back(const job_ptr& j, std::string reason);
    void rescued(const rescued_job& r) noexcept;
    /// Jobs that are stored, or may be, and shall never have been: as far as the store can.
    void withdraw(const std::vector<job_id>& ids);
    /// Warns of one for which it can't.
    void not_withdrawn(job_id id) noexcept;
    /// They belong to somebody else by now.
    void lost_leases(std::span<const receipt> lost);

    // What the parts share.

    bool has_store() const noexcept { return has_store_; }
    /// For the parts, which end before it does.
    backend& raw_store() noexcept { return *store_; }
    /// Throws errc::bad_kind when there is none, or no more.
    std::shared_ptr<backend> store();
    /// Throws errc::bad_kind for one of memory alone that no handler runs here.
    void check_runs_here(const job& j) const;
    std::vector<amended> amend(std::span<const job_id> ids, amendment what);
    /// On a thread that may block.
    void ask(std::shared_ptr<question> what) { questions_.post(std::move(what)); }
    void watch_commits();
    const job_settings& settings() const noexcept { return settings_; }
    const capabilities& can() const noexcept { return can_; }
    store_health& health() noexcept { return *health_; }
    spdlog::logger& log() const noexcept { return *log_; }
    thread_pool& pool() const noexcept { return *pool_; }
    std::deque<job_queue>& queues() noexcept { return queues_; }
    job_queue& queue_of(const job& j) noexcept {
        return queues_[static_cast<std::size_t>(j.kind->queue)];
    }
    /// As `job_writer::expire`.
    bool expire_commits();
    jobs_in_hand& in_hand() noexcept { return in_hand_; }
    const char* name_of(const job& j) const noexcept { return j.kind->kind->traits.kind.data(); }
    std::chrono::duration<std::uint32_t, std::milli> run_limit(const job& j) const noexcept;
    bool wrapped() const noexcept { return !settings_.around.empty(); }
    bool draining() const noexcept { return draining_.load(std::memory_order_acquire); }
    job_counters counters() const noexcept;
    job_counters counters(queue_id queue) const noexcept;
    std::vector<served_kind> served() const;

private:
    bool of_memory(const job& j) const noexcept {
        return !has_store() || j.kind->kind->traits.stored == durability::memory;
    }
    bool runs_here(const job& j) const noexcept {
        return j.kind->kind->runs_here() && settings_.runs_jobs;
    }
    struct run_first;
    void let_go(const job_ptr& j) noexcept;
    /// For tests: `run_ready`, where nothing can be thrown.
    void run_at_once() noexcept;
    /// How it ended can't be told to the store any more.
    void unsettled(const job_ptr& j) noexcept;
    void close_store(std::chrono::steady_clock::time_point until) noexcept;
    void check_settings() const;
    void add_kinds();
    void open_store();
    void start_threads();
    const kind_entry& entry(std::string_view kind) const;
    job_id next_id() noexcept;
    bool spillable(const job& j) const noexcept { return !of_memory(j); }
    errc accept(job& j, errc answer) noexcept;
    bool hand_back_now() const noexcept;
    job_writer& writer_for_a_request();
    void owe(const job_ptr& j, std::chrono::milliseconds delay, std::string last_words = {});
    void read_arguments(job& j);
    /// False when there is nothing to run any more.
    bool begin(const job_ptr& j);
    void finish(const job_ptr& j, job_context* context, const std::exception_ptr& error,
                bool unreadable = false) noexcept;
    void succeeded(const job_ptr& j, job_context& context);
    /// A job that follows from one of memory alone.
    void follow(const job_ptr& next);
    void failed(const job_ptr& j, const std::string& why, bool for_good);
    void report(const job& j, const std::exception_ptr& error) noexcept;
    void interrupted(const job_ptr& j);
    void settle(const job_ptr& j, verdict what, std::chrono::milliseconds delay, std::string reason,
                job_list follow_ups = {});
    void end(const job_ptr& j, job_count how) noexcept;
    /// It goes where it is safe, or is lost.
    void save(const job_ptr& j, const char* what_it_did) noexcept;
    void lose(const job_ptr& j, const char* why) noexcept;

    job_registry kinds_;
    job_settings settings_;
    const bool has_store_;
    std::mutex store_mutex_;  ///< for those who are not this one's parts
    std::shared_ptr<backend> store_;
    std::function<void(const task_failure&)> on_error_;
    thread_pool* pool_ = nullptr;
    std::shared_ptr<spdlog::logger> log_;
    capabilities can_;
    std::optional<store_health> health_;
    std::deque<job_queue> queues_;  ///< by queue_id
    std::unordered_map<std::string_view, kind_entry> entries_;
    std::atomic<job_id> next_id_{1};
    jobs_in_hand in_hand_;
    job_writer writer_{*this};
    std::deque<job_writer> more_writers_;
    job_claimer claimer_{*this};
    job_keeper keeper_{*this};
    job_questions questions_{*this};
    job_timers timers_{*this};
    std::atomic<bool> draining_{false};
    std::atomic<bool> shut_down_{false};
    std::atomic<bool> over_{false};  ///< nothing is accepted any more
    std::chrono::steady_clock::time_point hand_back_at_;
    std::mutex lost_mutex_;
    std::vector<task_report> lost_;

    friend class postlude::job_context;
};

template <class TakePlace>
errc job_service::choose_route(job& j, bool waits, TakePlace take_place) {
    using route = job::route;
    if (over_.load(std::memory_order_relaxed)) {
        return accept(j, errc::stopped);
    }
    if (settings_.running != job_running::normally) {
        j.put_into_words();
        j.way = route::stored;
        return accept(j, accepted);
    }
    const auto& traits = j.kind->kind->traits;
    auto& queue = queue_of(j);
    if (of_memory(j)) {
        check_runs_here(j);
        j.way = j.delay.count() > 0 ? route::timed : route::memory;
        if (j.way == route::timed) {
            if (draining()) {
                j.way = route::memory;  // it takes no place in the time
                return accept(j, errc::stopped);
            }
            const bool full = queue.timed.fetch_add(1) >= queue.capacity;
            queue.timed.fetch_sub(full ? 1 : 0);
            return accept(j, full ? errc::full : accepted);
        }
        return accept(j, take_place(true));
    }
    const bool soon = runs_here(j) && j.delay.count() == 0 && !draining();
    if (traits.stored == durability::durable) {
        const bool at_once = soon && waits && can_.stored_as_claimed &&
                             queue.in_hand.load(std::memory_order_relaxed) <
                                 queue.prefetch.load(std::memory_order_relaxed) &&
                             take_place(false) == accepted;
        j.way = at_once ? route::claimed : route::stored;
        return accept(j, accepted);
    }
    // Nobody waits for those in the store while it is gone.
    const bool follows =
        queue.spilled.load(std::memory_order_relaxed) && !health_->failing(store_call::commit);
    if (soon && !follows && take_place(false) == accepted) {
        j.way = route::memory;
        return accept(j, accepted);
    }
    j.put_into_words();
    j.way = route::stored;
    const bool full = queue.owed.load(std::memory_order_relaxed) >= queue.capacity;
    if (!full && soon) {
        queue.spilled.store(true, std::memory_order_relaxed);
        queue.counts.add(job_count::spilled);
    }
    return accept(j, full ? errc::full : accepted);
}

}  // namespace postlude::detail

#endif
