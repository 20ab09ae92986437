// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
// What a worker does with a job, and what becomes of it then.
#include "dispatch/job_service.hpp"
#include "pool/task_error.hpp"

#include <boost/system/system_error.hpp>

#include <spdlog/spdlog.h>

#include <random>
#include <utility>

namespace postlude::detail {

using boost::asio::awaitable;
using std::chrono::milliseconds;
using route = job::route;
using phase = job::phase;

namespace {

double random_share() {
    thread_local std::minstd_rand engine{std::random_device{}()};
    return std::uniform_real_distribution<double>(0, 1)(engine);
}

std::string_view none_if_empty(std::string_view id) noexcept { return id.empty() ? "none" : id; }

}  // namespace

job_task::~job_task() {
    if (job_ && !begun_) {
        job_->service->dropped(job_);
    }
}

void job_run::operator()(task_context& task) {
    begun_ = true;
    job_->service->run(job_, task);
}

awaitable<void> job_start::operator()(task_context& task) {
    begun_ = true;
    return job_->service->run_coroutine(job_, task);
}

bool job_service::hand_back_now() const noexcept {
    return draining() && std::chrono::steady_clock::now() >= hand_back_at_;
}

bool job_service::begin(const job_ptr& j) {
    auto before = phase::released;
    if (!j->now.compare_exchange_strong(before, phase::running)) {
        return false;
    }
    if (j->lost_lease) {
        if (j->end()) {
            end(j, job_count::revoked);
        }
        return false;
    }
    if (hand_back_now() && spillable(*j)) {
        j->now = phase::released;
        save(j, "it had not started");
        return false;
    }
    return true;
}

void job_service::read_arguments(job& j) {
    if (!j.arguments) {
        j.arguments = j.kind->kind->read(j.record.arguments);
    }
}

void job_service::run(const job_ptr& j, task_context& task) {
    if (!begin(j)) {
        return;
    }
    try {
        read_arguments(*j);
    } catch (...) {
        finish(j, nullptr, std::current_exception(), true);
        return;
    }
    job_context context(*j, task);
    std::exception_ptr error;
    try {
        j->kind->kind->run(*j->arguments, context);
    } catch (...) {
        error = std::current_exception();
    }
    finish(j, &context, error);
}

awaitable<void> job_service::run_coroutine(const job_ptr& j, task_context& task) {
    if (!begin(j)) {
        co_return;
    }
    std::exception_ptr error;
    try {
        read_arguments(*j);
    } catch (...) {
        error = std::current_exception();
    }
    if (error) {
        finish(j, nullptr, error, true);
        co_return;
    }
    job_context context(*j, task);
    try {
        co_await run_from(context, 0);
    } catch (...) {
        error = std::current_exception();
    }
    finish(j, &context, error);
}

awaitable<void> job_service::run_from(job_context& context, std::size_t index) {
    if (index != settings_.around.size()) {
        const job_next next(*this, context, index + 1);
        co_await settings_.around[index](context, next);
        co_return;
    }
    const auto& j = *context.job_;
    const auto& kind = *j.kind->kind;
    if (kind.start) {
        co_await kind.start(*j.arguments, context);
    } else {
        kind.run(*j.arguments, context);
    }
}

void job_service::finish(const job_ptr& j, job_context* context, const std::exception_ptr& error,
                         bool unreadable) noexcept {
    auto before = phase::running;
    if (!j->now.compare_exchange_strong(before, phase::ended)) {
        return;  // the drain has seen to it
    }
    try {
        if (!error) {
            succeeded(j, *context);
        } else if (j->lost_lease) {
            settle(j, verdict::give_back, {}, "its lease was lost");
        } else if (hand_back_now() && stopped_when_asked(error)) {
            interrupted(j);
        } else {
            failed(j, sentence_of(error), unreadable);
            report(*j, error);
        }
    } catch (const std::exception& e) {
        log_->error("job {} '{}': what became of it can't be kept: {}", j->record.id,
                    j->record.kind, e.what());
        unsettled(j);
    }
}

void job_service::succeeded(const job_ptr& j, job_context& context) {
    if (log_->should_log(spdlog::level::debug)) {
        log_->debug("job {} '{}' is done in attempt {} (request {})", j->record.id, j->record.kind,
                    context.attempt(), none_if_empty(j->record.request_id));
    }
    auto follow_ups = std::move(context.follow_ups_);
    if (j->held) {
        settle(j, verdict::done, {}, {}, std::move(follow_ups));
        return;
    }
    for (const auto& next : follow_ups) {
        follow(next);
    }
    end(j, job_count::completed);
}

void job_service::follow(const job_ptr& next) {
    const auto refused = [&](std::string_view why) {
        log_->error("job {} '{}' is refused: {}; it was to follow another (request {})",
                    next->record.id, next->record.kind, why,
                    none_if_empty(next->record.request_id));
    };
    try {
        const auto answer =
            choose_route(*next, false, [&] { return pool_->reserve(next->kind->queue); });
        if (answer != accepted) {
            refused(make_error_code(answer).message());
            return;
        }
    } catch (const std::exception& e) {
        accept(*next, errc::bad_arguments);
        refused(e.what());
        return;
    }
    release(next);
    if (next->way == route::memory) {
        place_taken(next, true);
    }
}

void job_service::failed(const job_ptr& j, const std::string& why, bool for_good) {
    const auto& traits = j->kind->kind->traits;
    const auto attempt = j->record.failures + 1;
    const auto most = traits.most_attempts();
    const auto id = none_if_empty(j->record.request_id);
    auto& counts = queue_of(*j).counts;
    if (for_good || attempt >= most) {
        log_->error("job {} '{}' is dead: {} {} of {}: {} (request {})", j->record.id,
                    j->record.kind,
                    for_good ? "it can't be read in attempt" : "it failed in attempt", attempt,
                    most, why, id);
        if (j->held) {
            settle(j, verdict::dead, {}, why);
        } else if (spillable(*j)) {
            owe(j, {}, why);  // kept for people to look at
        } else {
            end(j, job_count::dead);
        }
        return;
    }
    const auto delay = traits.retry.delay(attempt, random_share());
    log_->warn(
        "job {} '{}' failed in attempt {} of {}, and is tried again in {:.1f} s: {} "
        "(request {})",
        j->record.id, j->record.kind, attempt, most, static_cast<double>(delay.count()) / 1000, why,
        id);
    counts.add(job_count::retried);
    if (j->held) {
        settle(j, verdict::retry, delay, why);
        return;
    }
    j->record.failures = attempt;
    if (spillable(*j)) {
        owe(j, delay);
        return;
    }
    auto& queue = queue_of(*j);
    if (queue.timed.fetch_add(1) >= queue.capacity) {
        queue.timed.fetch_sub(1);
        log_->error("job {} '{}' is dead: too many wait in memory to be tried again (request {})",
                    j->record.id, j->record.kind, id);
        end(j, job_count::dead);
        return;
    }
    j->way = route::timed;
    j->now = phase::released;
    if (!timers_.add(j, std::chrono::steady_clock::now() + delay)) {
        lose(j, "it waited to be tried again");
    }
}

void job_service::report(const job& j, const std::exception_ptr& error) noexcept {
    if (!on_error_) {
        return;
    }
    try {
        on_error_({j.record.kind, j.record.request_id, j.record.queue, error});
    } catch (...) {
        log_->error("the error hook failed: {}", sentence_of(std::current_exception()));
    }
}

void job_service::interrupted(const job_ptr& j) {
    queue_of(*j).counts.add(job_count::interrupted);
    j->now = phase::released;
    save(j, "it stopped when it was asked to");
}

void job_service::settle(const job_ptr& j, verdict what, milliseconds delay, std::string reason,
                         job_list follow_ups) {
    std::vector<put> puts;
    puts.reserve(follow_ups.size());
    for (const auto& next : follow_ups) {
        puts.push_back(make_put(*next, false));
    }
    if (!writer_.settle({j,
                         {*j->held, what, delay, std::move(reason), std::move(puts)},
                         std::move(follow_ups)})) {
        unsettled(j);
    }
}

void job_service::unsettled(const job_ptr& j) noexcept {
    if (!j->held) {
        end(j, job_count::dead);
        return;
    }
    log_->warn(
        "how job {} '{}' ended is not stored: others will run it again, as its process has given "
        "no word (request {})",
        j->record.id, j->record.kind, none_if_empty(j->record.request_id));
    end(j, job_count::handed_over);
}

void job_service::settled(const job_ending& ending, bool accepted) noexcept {
    const auto& j = ending.which;
    for (const auto& next : ending.follow_ups) {
        auto& counts = queue_of(*next).counts;
        counts.add(job_count::registered);
        counts.add(accepted ? job_count::handed_over : job_count::discarded);
    }
    if (!accepted) {
        log_->warn("job {} '{}' ended here after its lease was lost: others have it (request {})",
                   j->record.id, j->record.kind, none_if_empty(j->record.request_id));
        end(j, job_count::revoked);
        return;
    }
    switch (ending.what.what) {
    case verdict::done: end(j, job_count::completed); break;
    case verdict::retry:
    case verdict::give_back: end(j, job_count::handed_over); break;
    case verdict::dead: end(j, job_count::dead); break;
    case verdict::withdrawn: end(j, job_count::discarded); break;
    }
}

void job_service::give_back(const job_ptr& j, std::string reason) {
    if (j->end()) {
        settle(j, verdict::give_back, {}, std::move(reason));
    }
}

job_ptr job_service::adopt(claimed_job&& claimed) {
    auto j = std::make_shared<job>();
    j->service = shared_from_this();
    j->record = std::move(claimed.job);
    j->held = claimed.held;
    j->stored = true;
    j->way = route::claimed;
    j->now = phase::released;
    j->kind = &entry(j->record.kind);
    auto& queue = queue_of(*j);
    queue.counts.add(job_count::claimed);
    queue.counts.add(job_count::left);
    queue.in_hand.fetch_add(1, std::memory_order_relaxed);
    in_hand_.add(j);
    return j;
}

namespace {

/// Puts a task into a record of its own.
task_slot* make_task(thread_pool& pool, const job_service& service, const job_ptr& j) {
    record_guard owner(pool.records());
    auto& slot = owner->slots[0];
    if (j->kind->kind->start || service.wrapped()) {
        construct(slot, job_start(j));
    } else {
        construct(slot, job_run(j));
    }
    owner->used = 1;
    owner->list.now = list_state::phase::ended;
    describe(slot, {.queue = j->kind->queue, .run_limit = service.run_limit(*j)}, {});
    slot.name = service.name_of(*j);
    slot.kept = true;
    set_request_id(*owner, j->record.request_id);
    pool.tickets(slot.queue).count(1, 0);
    owner.release();
    return &slot;
}

}  // namespace

void job_service::place_taken(const job_ptr& j, bool runs) {
    if (runs) {
        pool_->submit(make_task(*pool_, *this, j));
    } else {
        pool_->tickets(j->kind->queue).give_back(1);
    }
}

job_list job_service::run_now(job_list jobs) {
    job_list left;
    task_slot* first = nullptr;
    task_slot** last = &first;
    for (auto& j : jobs) {
        if (pool_->reserve(j->kind->queue) != accepted) {
            left.push_back(std::move(j));
            continue;
        }
        if (j->way == route::timed) {
            queue_of(*j).timed.fetch_sub(1, std::memory_order_relaxed);
            j->way = route::memory;
        }
        *last = make_task(*pool_, *this, j);
        last = &(*last)->next;
    }
    if (first) {
        pool_->submit(first);
    }
    return left;
}

void job_service::dropped(const job_ptr& j) noexcept {
    if (j->now == phase::released) {
        save(j, "it had not started");
    }
}

void job_service::save(const job_ptr& j, const char* what_it_did) noexcept {
    auto before = phase::running;
    if (!j->now.compare_exchange_strong(before, phase::released) && before == phase::ended) {
        return;
    }
    try {
        if (j->held) {
            give_back(j, std::string("the process was stopped: ").append(what_it_did));
        } else if (spillable(*j)) {
            owe(j, {});
        } else {
            lose(j, what_it_did);
        }
    } catch (const std::exception& e) {
        lose(j, e.what());
    }
}

void job_service::lose(const job_ptr& j, const char* why) noexcept {
    if (!j->end()) {
        return;
    }
    try {
        log_->error("job {} '{}' is lost: {} when the time for it was over (request {}, queue {})",
                    j->record.id, j->record.kind, why, none_if_empty(j->record.request_id),
                    j->record.queue);
        const std::lock_guard lock(lost_mutex_);
        lost_.push_back({.name = j->record.kind,
                         .request_id = j->record.request_id,
                         .queue = j->record.queue,
                         .state = task_report::where::waiting});
    } catch (...) {  // no memory to name it; the counter still tells
    }
    end(j, job_count::lost);
}

void job_service::lost_lease(const receipt& held) noexcept {
    for (const auto& j : in_hand_.all()) {
        if (j->held == held) {
            j->lost_lease = true;
            log_->warn("job {} '{}' has lost its lease: it is asked to stop (request {})",
                       j->record.id, j->record.kind, none_if_empty(j->record.request_id));
        }
    }
}

void job_service::rescued(const rescued_job& r) noexcept {
    const auto found = entries_.find(r.kind);
    auto& counts =
        queues_[found == entries_.end() ? 0 : static_cast<std::size_t>(found->second.queue)].counts;
    counts.add(job_count::rescued);
    if (r.now == job_state::quarantined) {
        counts.add(job_count::quarantined);
        log_->error("job {} '{}' is quarantined: {} processes died while they had it", r.id, r.kind,
                    r.crashes);
    } else {
        log_->warn("job {} '{}' is taken from a process that has died or does not answer", r.id,
                   r.kind);
    }
}

}  // namespace postlude::detail
