// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
// What becomes of a job whose run has ended, or that is not run here any more.
#include "dispatch/job_service.hpp"
#include "pool/task_error.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <random>
#include <utility>

namespace postlude::detail {

using std::chrono::milliseconds;
using route = job::route;
using phase = job::phase;

namespace {

double random_share() {
    thread_local std::minstd_rand engine{std::random_device{}()};
    return std::uniform_real_distribution<double>(0, 1)(engine);
}

}  // namespace

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

void job_service::lost_leases(std::span<const receipt> lost) {
    for (const auto& j : in_hand_.all()) {
        // The store tells of one that has ended when its end is settled.
        if (j->now != phase::ended && j->held && std::ranges::find(lost, *j->held) != lost.end()) {
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
