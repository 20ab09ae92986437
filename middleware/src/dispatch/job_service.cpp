// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "dispatch/job_service.hpp"

#include "postlude/core/request_id.hpp"

#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>

#include <spdlog/spdlog.h>

#include <algorithm>
#include <random>
#include <utility>

namespace postlude::detail {

using boost::system::error_code;
using boost::system::system_error;
using std::chrono::milliseconds;
using route = job::route;
using phase = job::phase;

namespace {

constexpr unsigned id_bits = 40;
constexpr std::size_t most_tags = 16;
constexpr std::size_t longest_tag = 128;

void require(bool good, const char* sentence) {
    if (!good) {
        throw system_error(errc::bad_option, sentence);
    }
}

}  // namespace

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
        queue.name = options.name;
        queue.capacity = options.capacity;
        queue.workers =
            options.workers != 0 ? std::min(options.workers, pool.threads()) : pool.threads();
    }
    add_kinds();
    if (!has_store()) {
        std::random_device random;
        next_id_ = (static_cast<job_id>(random() & 0x7f'ffff) << id_bits) + 1;
        return;
    }
    const auto opened = store_->open({.kinds = served(),
                                      .groups = queues_.size(),
                                      .lease = settings_.lease,
                                      .quarantine_after = settings_.quarantine_after});
    can_ = opened.can;
    next_id_ = (static_cast<job_id>(opened.owner) << id_bits) + 1;
    for (const auto& sentence : opened.warnings) {
        log_->warn("the store of jobs: {}", sentence);
    }
    try {
        writer_.start();
        keeper_.start();
        if (settings_.runs_jobs && settings_.running == job_running::normally) {
            claimer_.start();
        }
    } catch (const std::system_error&) {
        shutdown(milliseconds(0));
        throw system_error(errc::no_thread, "postlude::dispatcher");
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

job_id job_service::next_id() noexcept { return next_id_.fetch_add(1, std::memory_order_relaxed); }

job_ptr job_service::make(std::string_view kind, std::unique_ptr<job_arguments> args,
                          job_options&& options, std::string_view request_id) {
    require(options.when != when::sent,
            "a job can't depend on `sent`: it may be stored before anything is sent");
    require(options.delay.count() >= 0 && options.delay <= std::chrono::hours(24 * 366),
            "job_options::delay takes 0 to a year");
    require(options.priority.value_or(0) <= 3, "job_options::priority takes 0 to 3");
    require(options.tags.size() <= most_tags, "job_options::tags takes 16 at most");
    for (const auto& tag : options.tags) {
        require(!tag.empty() && tag.size() <= longest_tag, "a tag of a job has 1 to 128 bytes");
    }
    auto j = std::make_shared<job>();
    j->service = shared_from_this();
    j->kind = &entry(kind);
    j->arguments = std::move(args);
    j->delay = options.delay;
    j->condition = options.when;
    const auto& traits = j->kind->kind->traits;
    auto& r = j->record;
    r.id = next_id();
    r.kind = traits.kind;
    r.queue = traits.queue;
    r.arguments.clear();
    r.request_id = request_id;
    r.tags = std::move(options.tags);
    r.priority = options.priority.value_or(traits.priority);
    if (has_store() && traits.stored == durability::durable) {
        j->put_into_words();  // what can't be stored is refused here
    }
    return j;
}

std::chrono::duration<std::uint32_t, std::milli> job_service::run_limit(
    const job& j) const noexcept {
    return std::chrono::duration<std::uint32_t, std::milli>(
        static_cast<std::uint32_t>(std::min<std::int64_t>(
            j.kind->kind->traits.run_limit.count(), std::numeric_limits<std::uint32_t>::max())));
}

errc job_service::accept(job& j, errc answer) noexcept {
    auto& counts = queue_of(j).counts;
    if (answer == accepted) {
        counts.add(job_count::left);
        if (j.way == route::claimed) {
            queue_of(j).in_hand.fetch_add(1, std::memory_order_relaxed);
        } else if (j.way == route::stored) {
            queue_of(j).owed.fetch_add(1, std::memory_order_relaxed);
        }
    } else {
        counts.add(job_count::registered);
        counts.add(job_count::refused);
        j.now = phase::ended;
    }
    return answer;
}

void job_service::end(const job_ptr& j, job_count how) noexcept {
    if (j->counted.exchange(true)) {
        return;
    }
    auto& queue = queue_of(*j);
    queue.counts.end(how);
    if (j->way == route::claimed) {
        queue.ended.fetch_add(1, std::memory_order_relaxed);
        const auto before = queue.in_hand.fetch_sub(1, std::memory_order_relaxed);
        if (before == queue.prefetch.load(std::memory_order_relaxed) / 2 + 1) {
            claimer_.wake();
        }
    } else if (j->way == route::stored) {
        queue.owed.fetch_sub(1, std::memory_order_relaxed);
    } else if (j->way == route::timed) {
        queue.timed.fetch_sub(1, std::memory_order_relaxed);
    }
    in_hand_.remove(*j);
}

put job_service::make_put(job& j, bool claimed) const {
    // The text moves on: who needs it again makes it anew.
    auto text = std::exchange(j.record.arguments, {});
    put p{j.record, j.delay, claimed};
    p.job.arguments = text.empty() ? j.arguments->text() : std::move(text);
    return p;
}

void job_service::store(job_list jobs, std::unique_ptr<commit_waiter> waiter) {
    std::vector<put> puts;
    puts.reserve(jobs.size());
    for (const auto& j : jobs) {
        puts.push_back(make_put(*j, j->way == route::claimed));
        j->tried = true;
    }
    writer_.submit(std::move(jobs), std::move(puts), std::move(waiter));
}

void job_service::release(const job_ptr& j) noexcept {
    let_go(j);
    if (settings_.running == job_running::at_once && !pool_->running_in_this_thread()) {
        run_at_once();
    }
}

void job_service::run_at_once() noexcept {
    try {
        run_ready();
    } catch (const std::exception& e) {
        log_->error("jobs can't be run at once: {}", e.what());
    }
}

void job_service::let_go(const job_ptr& j) noexcept {
    auto& queue = queue_of(*j);
    queue.counts.add(job_count::registered);
    j->now = phase::released;
    if (j->tried && !j->stored) {
        // Its commit failed. If the store did take it, it is withdrawn there under its former id.
        j->record.id = next_id();
    }
    switch (j->way) {
    case route::memory: in_hand_.add(j); break;
    case route::claimed:
        if (!j->stored) {
            // Its commit failed, and still it is wanted: it is run, and nobody else knows of it.
            j->way = route::memory;
            queue.in_hand.fetch_sub(1, std::memory_order_relaxed);
        }
        in_hand_.add(j);
        break;
    case route::stored:
        if (!j->stored) {
            owe(j, j->delay);
        } else if (j->end()) {
            end(j, job_count::handed_over);
        }
        break;
    case route::timed:
        in_hand_.add(j);
        if (!timers_.add(j, std::chrono::steady_clock::now() + j->delay)) {
            lose(j, "it waited for its time");
        }
        break;
    }
}

std::size_t job_service::run_ready() {
    require(settings_.running != job_running::normally && has_store(),
            "dispatcher::run_ready is for job_running::by_hand, with a store");
    const auto wait = [&] {
        while (!in_hand_.empty()) {
            std::this_thread::sleep_for(std::chrono::microseconds(100));
        }
    };
    const auto from = store();
    std::size_t runs = 0;
    for (;;) {
        wait();  // until what was released before is stored, and what runs has ended
        std::vector<std::size_t> credits;
        credits.reserve(queues_.size());
        for (const auto& q : queues_) {
            credits.push_back(std::min<std::size_t>(q.capacity, 1'000));
        }
        job_list jobs;
        for (auto& claimed : from->claim(credits, milliseconds(0))) {
            jobs.push_back(adopt(std::move(claimed)));
        }
        if (jobs.empty()) {
            return runs;
        }
        runs += jobs.size();
        for (const auto& j : run_now(std::move(jobs))) {
            give_back(j, "there was no room for it");
        }
    }
}

void job_service::discard(const job_ptr& j, bool refused) noexcept {
    auto& counts = queue_of(*j).counts;
    counts.add(job_count::registered);
    if (!j->end()) {
        return;
    }
    if (j->stored && j->held) {
        writer_.settle({nullptr, {*j->held, verdict::withdrawn, {}, "its request failed", {}}, {}});
    } else if (j->stored) {
        writer_.withdraw({j->record.id});
    }
    if (log_->should_log(spdlog::level::debug)) {
        log_->debug("job {} '{}' is discarded by the request's outcome (request {})", j->record.id,
                    j->record.kind, j->record.request_id);
    }
    end(j, refused && !j->stored && j->way != route::memory ? job_count::refused
                                                            : job_count::discarded);
}

void job_service::owe(const job_ptr& j, milliseconds delay, std::string last_words) {
    auto& queue = queue_of(*j);
    if (j->way != route::stored) {
        if (j->way == route::timed) {
            queue.timed.fetch_sub(1, std::memory_order_relaxed);
        }
        j->way = route::stored;
        queue.owed.fetch_add(1, std::memory_order_relaxed);
    }
    j->delay = delay;
    j->last_words = std::move(last_words);
    try {
        auto p = make_put(*j, !j->last_words.empty() && can_.stored_as_claimed);
        in_hand_.add(j);
        j->now = phase::released;
        if (!writer_.owe(j, std::move(p))) {
            lose(j, "the store is closed");
        }
    } catch (const std::exception& e) {
        log_->error("job {} '{}' is dead: it can't be stored: {} (request {})", j->record.id,
                    j->record.kind, e.what(), j->record.request_id);
        j->now = phase::ended;
        end(j, job_count::dead);
    }
}

void job_service::stored(const job_ptr& j, const receipt& held) noexcept {
    if (!j->end()) {
        return;  // the drain has given it up, and now it is there after all
    }
    if (j->last_words.empty()) {
        end(j, job_count::handed_over);
        return;
    }
    if (can_.stored_as_claimed) {
        writer_.settle({nullptr, {held, verdict::dead, {}, j->last_words, {}}, {}});
    }
    end(j, job_count::dead);
}

void job_service::unstorable(const job_ptr& j) noexcept {
    if (!j->end()) {
        return;
    }
    log_->error("job {} '{}' is dead: it can't be stored: the store refuses it (request {})",
                j->record.id, j->record.kind, j->record.request_id);
    end(j, job_count::dead);
}

void job_service::enqueue(const job_ptr& j, std::unique_ptr<commit_waiter> waiter) {
    const auto answer = choose_route(*j, true, [&] { return pool_->reserve(j->kind->queue); });
    if (answer != accepted) {
        waiter->done(make_error_code(answer));
        return;
    }
    switch (j->way) {
    case route::stored:
    case route::claimed: {
        struct then_release final : commit_waiter {
            then_release(job_ptr which, std::unique_ptr<commit_waiter> w)
                : j(std::move(which)), next(std::move(w)) {}
            void done(error_code ec) noexcept override {
                auto& service = *j->service;
                if (ec) {
                    service.discard(j, true);
                } else {
                    service.let_go(j);
                }
                if (j->way == route::claimed) {
                    service.place_taken(j, !ec);
                }
                if (!ec && service.settings().running == job_running::at_once) {
                    // Not here: the runs need this thread for their ends.
                    service.run_blocking(
                        [&service, j = j, next = std::shared_ptr<commit_waiter>(std::move(next))] {
                            service.run_at_once();
                            next->done({});
                        });
                    return;
                }
                next->done(ec);
            }
            job_ptr j;
            std::unique_ptr<commit_waiter> next;
        };
        store({j}, std::make_unique<then_release>(j, std::move(waiter)));
        return;
    }
    case route::memory:
        release(j);
        place_taken(j, true);
        break;
    case route::timed: release(j); break;
    }
    waiter->done({});
}

std::vector<amended> job_service::amend(std::span<const job_id> ids, amendment what) {
    return store()->amend(ids, what);
}

void job_service::run_blocking(std::function<void()> work) { keeper_.post(std::move(work)); }

void job_service::watch_commits() { timers_.watch_commits(); }

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
    bool clean = true;
    for (const auto& j : writer_.stop(until)) {
        lose(j, "the store has not answered");
        clean = false;
    }
    for (const auto& j : in_hand_.all()) {
        if (j->now == phase::ended && j->held) {
            unsettled(j);
            clean = false;
        }
    }
    clean = keeper_.stop(until) && clean;
    clean = claimer_.stop(until) && clean;
    if (clean) {
        std::shared_ptr<backend> last;  // whose end is the registration's
        const std::lock_guard lock(store_mutex_);
        last.swap(store_);
    }
    const std::lock_guard lock(lost_mutex_);
    report.lost.insert(report.lost.end(), lost_.begin(), lost_.end());
    return report;
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

void run_blocking(job_service& service, std::function<void()> work) {
    service.run_blocking(std::move(work));
}

}  // namespace postlude::detail
