// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "dispatch/job_service.hpp"

#include <boost/system/system_error.hpp>

#include <spdlog/spdlog.h>

#include <algorithm>
#include <future>
#include <random>
#include <thread>
#include <utility>

namespace postlude::detail {

using boost::system::system_error;
using std::chrono::milliseconds;
using phase = job::phase;

namespace {

constexpr unsigned id_bits = 40;
/// Also after the deadline: to say goodbye is one answer of the store's.
constexpr milliseconds shortest_close{100};

}  // namespace

void require(bool good, const char* sentence) {
    if (!good) {
        throw system_error(errc::bad_option, sentence);
    }
}

job_service::job_service(job_registry kinds, job_settings settings,
                         std::function<void(const task_failure&)> on_error)
    : kinds_(std::move(kinds)),
      settings_(std::move(settings)),
      has_store_(settings_.store != nullptr),
      store_(std::move(settings_.store)),
      on_error_(std::move(on_error)) {
    check_settings();
}

job_service::~job_service() = default;

void job_service::check_settings() const {
    const auto& s = settings_;
    const auto within = [](milliseconds value, milliseconds least, milliseconds most) {
        return value >= least && value <= most;
    };
    using namespace std::chrono_literals;
    require(within(s.commit_timeout, 10ms, 1h), "job_settings::commit_timeout takes 10 ms to 1 h");
    require(within(s.lease, 1s, 24h), "job_settings::lease takes 1 s to a day");
    require(within(s.rescue_interval, 100ms, 1h),
            "job_settings::rescue_interval takes 100 ms to 1 h");
    require(s.quarantine_after >= 1 && s.quarantine_after <= 100,
            "job_settings::quarantine_after takes 1 to 100");
    require(s.running == job_running::normally || has_store(),
            "job_settings::running: by_hand and at_once take a store");
    require(s.keep.done_age.count() >= 0 && s.keep.dead_age.count() >= 0,
            "job_settings::keep takes no negative time");
}

void job_service::start(thread_pool& pool) {
    pool_ = &pool;
    log_ = pool.logger().clone(pool.logger().name());
    health_.emplace(*log_);
    for (std::size_t i = 0; i != pool.queue_count(); ++i) {
        const auto& options = pool.options_of(queue_id{static_cast<std::uint8_t>(i)});
        auto& queue = queues_.emplace_back();
        queue.capacity = options.capacity;
        queue.workers =
            options.workers != 0 ? std::min(options.workers, pool.threads()) : pool.threads();
    }
    add_kinds();
    if (has_store()) {
        open_store();
    } else {
        std::random_device random;
        next_id_ = (static_cast<job_id>(random() & 0x7f'ffff) << id_bits) + 1;
    }
    try {
        start_threads();
    } catch (const std::system_error&) {
        shutdown(milliseconds(0));
        throw system_error(errc::no_thread, "postlude::dispatcher");
    }
}

void job_service::open_store() {
    const auto opened = store_->open({.kinds = served(),
                                      .groups = queues_.size(),
                                      .lease = settings_.lease,
                                      .quarantine_after = settings_.quarantine_after});
    can_ = opened.can;
    next_id_ = (static_cast<job_id>(opened.owner) << id_bits) + 1;
    for (const auto& sentence : opened.warnings) {
        log_->warn("the store of jobs: {}", sentence);
    }
}

void job_service::start_threads() {
    if (!entries_.empty()) {
        timers_.start();  // not with the first need, where it could fail
    }
    if (!has_store()) {
        return;
    }
    writer_.start();
    while (more_writers_.size() + 1 < can_.commits_at_once) {
        more_writers_.emplace_back(*this).start();
    }
    keeper_.start();
    if (settings_.runs_jobs && settings_.running == job_running::normally) {
        claimer_.start();
    }
}

void job_service::add_kinds() {
    bool in_memory = false;
    for (const auto& kind : kinds_.kinds()) {
        const auto& traits = kind->traits;
        kind_entry entry{kind.get(), pool_->queue(traits.queue)};
        entries_.emplace(traits.kind, entry);
        for (const auto former : traits.former) {
            if (!former.empty()) {
                entries_.emplace(former, entry);
            }
        }
        if (!has_store() && traits.stored == durability::durable) {
            throw system_error(errc::bad_kind,
                               std::string("jobs of kind ")
                                   .append(traits.kind)
                                   .append(" are durable, but there is no store: give one as "
                                           "dispatcher_options::jobs.store"));
        }
        in_memory = in_memory || (!has_store() && traits.stored == durability::spill);
    }
    if (in_memory) {
        log_->warn(
            "there is no store: jobs that may spill are kept in memory alone, refused when there "
            "is no room, and lost when the process ends");
    }
}

std::vector<served_kind> job_service::served() const {
    std::vector<served_kind> found;
    if (settings_.runs_jobs) {
        for (const auto& [name, entry] : entries_) {
            if (entry.kind->runs_here()) {
                found.push_back({std::string(name), static_cast<std::size_t>(entry.queue)});
            }
        }
    }
    return found;
}

const kind_entry& job_service::entry(std::string_view kind) const {
    const auto found = entries_.find(kind);
    if (found == entries_.end()) {
        throw system_error(errc::bad_kind,
                           std::string("no kind of job named ")
                               .append(kind)
                               .append(" is known here: give its handler, or declare it, in "
                                       "dispatcher_options::kinds"));
    }
    return found->second;
}

std::shared_ptr<backend> job_service::store() {
    const std::lock_guard lock(store_mutex_);
    if (!store_) {
        throw system_error(errc::bad_kind, has_store() ? "the store of jobs is closed"
                                                       : "there is no store of jobs");
    }
    return store_;
}

void job_service::check_runs_here(const job& j) const {
    if (of_memory(j) && !runs_here(j)) {
        throw system_error(errc::bad_kind,
                           std::string("jobs of kind ")
                               .append(j.kind->kind->traits.kind)
                               .append(" are of memory alone, and no handler runs them here"));
    }
}

std::chrono::duration<std::uint32_t, std::milli> job_service::run_limit(
    const job& j) const noexcept {
    return std::chrono::duration<std::uint32_t, std::milli>(
        static_cast<std::uint32_t>(std::min<std::int64_t>(
            j.kind->kind->traits.run_limit.count(), std::numeric_limits<std::uint32_t>::max())));
}

std::vector<amended> job_service::amend(std::span<const job_id> ids, amendment what) {
    return store()->amend(ids, what);
}

void job_service::watch_commits() { timers_.watch_commits(); }

bool job_service::expire_commits() {
    bool any = writer_.expire();
    for (auto& w : more_writers_) {
        any = w.expire() || any;
    }
    return any;
}

job_counters job_service::counters(queue_id queue) const noexcept {
    const auto& q = queues_[static_cast<std::size_t>(queue)];
    auto c = q.counts.all();
    c.unstored = q.owed.load(std::memory_order_relaxed);
    return c;
}

job_counters job_service::counters() const noexcept {
    job_counters sum;
    for (std::size_t i = 0; i != queues_.size(); ++i) {
        sum += counters(queue_id{static_cast<std::uint8_t>(i)});
    }
    return sum;
}

drain_report job_service::shutdown(milliseconds deadline) {
    if (shut_down_.exchange(true)) {
        return {};
    }
    deadline = std::clamp(deadline, milliseconds(0), milliseconds(longest_drain));
    const auto begin = std::chrono::steady_clock::now();
    const auto until = begin + deadline;
    // Of the last fifth, one quarter is the store's alone.
    const auto for_the_pool = has_store() ? deadline * 19 / 20 : deadline;
    hand_back_at_ = begin + for_the_pool * 4 / 5;
    draining_ = true;
    claimer_.stop_claiming();
    auto report = pool_->drain(for_the_pool);
    for (const auto& j : timers_.stop()) {
        save(j, "it waited for its time");
    }
    for (const auto& j : in_hand_.all()) {
        if (j->now == phase::running) {
            save(j, "it was running");
        }
    }
    over_ = true;
    const auto half_of_the_rest = [until] {
        const auto now = std::chrono::steady_clock::now();
        return now + std::max(until - now, std::chrono::steady_clock::duration::zero()) / 2;
    };
    // First, as it gives back what it has claimed meanwhile.
    bool clean = claimer_.stop(half_of_the_rest());
    // These leave nothing but what is to be withdrawn, to the first one.
    for (auto& w : more_writers_) {
        w.stop(half_of_the_rest());
        clean = w.ended() && clean;
    }
    for (const auto& j : writer_.stop(until)) {
        lose(j, "the store has not answered");
    }
    clean = writer_.ended() && clean;
    for (const auto& j : in_hand_.all()) {
        if (j->now == phase::ended && j->held) {
            unsettled(j);
            clean = false;
        }
    }
    clean = questions_.stop(until) && clean;
    clean = keeper_.stop(until) && clean;
    if (clean) {
        close_store(until);
    }
    const std::lock_guard lock(lost_mutex_);
    report.lost.insert(report.lost.end(), lost_.begin(), lost_.end());
    return report;
}

void job_service::close_store(std::chrono::steady_clock::time_point until) noexcept {
    std::shared_ptr<backend> last;  // whose end is the registration's
    {
        const std::lock_guard lock(store_mutex_);
        last.swap(store_);
    }
    if (!last) {
        return;
    }
    // It gives back what is still held, which may hang as any call may.
    std::packaged_task<void()> end([held = std::move(last)]() mutable { held.reset(); });
    const auto ended = end.get_future();
    try {
        std::thread by(std::move(end));
        const auto least = std::chrono::steady_clock::now() + shortest_close;
        if (ended.wait_until(std::max(until, least)) == std::future_status::ready) {
            by.join();
        } else {
            by.detach();
            log_->warn(
                "the store of jobs has not answered to the end of this process: what it "
                "holds there is rescued by others");
        }
    } catch (const std::system_error&) {  // no thread: `end` has been destroyed, and so the store
    }
}

// The way in for headers.

job_ptr make_job(const std::shared_ptr<job_service>& service, std::string_view kind,
                 std::unique_ptr<job_arguments> args, job_options&& options,
                 std::string_view request_id) {
    return service->make(kind, std::move(args), std::move(options), request_id);
}

void enqueue(job_service& service, const job_ptr& job, std::unique_ptr<commit_waiter> waiter) {
    service.enqueue(job, std::move(waiter));
}

void store(job_service& service, job_list jobs, std::unique_ptr<commit_waiter> waiter) {
    service.store(std::move(jobs), std::move(waiter));
}

void ask(job_service& service, std::shared_ptr<question> what) { service.ask(std::move(what)); }

std::vector<job_view> find(job_service& service, const job_query& query) {
    return service.store()->find(query);
}

std::vector<amended> amend(job_service& service, std::span<const job_id> ids, amendment what) {
    return service.amend(ids, what);
}

}  // namespace postlude::detail
