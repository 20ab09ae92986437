// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/memory/job_table.hpp"

#include <algorithm>
#include <functional>
#include <limits>

namespace postlude::detail::memory {

namespace {

constexpr job_id largest_id = std::numeric_limits<std::int64_t>::max();
constexpr std::uint8_t lowest_priority = 3;

store_time after(store_time now, std::chrono::milliseconds delay) {
    return now + std::max(delay, std::chrono::milliseconds(0));
}

}  // namespace

job_table::ready_key job_table::key_of(const entry& e) {
    return {e.view.job.priority, e.view.run_at, e.view.job.id};
}

void job_table::note(entry& e, store_time now, const char* what, std::string_view reason) {
    const auto owner = e.view.state == job_state::claimed ? e.view.owner : 0;
    e.way.push_back({now, what, e.attempts, owner, std::string(reason)});
}

void job_table::leave_state(entry& e) {
    if (e.view.state == job_state::ready) {
        ready_.erase(key_of(e));
    } else if (e.view.state == job_state::claimed) {
        const auto held = held_.find(e.view.owner);
        held->second.erase(e.view.job.id);
        if (held->second.empty()) {
            held_.erase(held);
        }
    }
}

void job_table::make_ready(entry& e, store_time run_at) {
    leave_state(e);
    e.view.state = job_state::ready;
    e.view.run_at = run_at;
    e.view.ended.reset();
    ready_.insert(key_of(e));
}

void job_table::make_claimed(entry& e, const holder& by, store_time now) {
    leave_state(e);
    e.view.state = job_state::claimed;
    e.view.claimed = now;
    e.view.owner = by.owner;
    ++e.attempts;
    e.claim = ++claims_;
    e.lease_end = now + by.lease;
    held_[by.owner].insert(e.view.job.id);
    note(e, now, "claimed");
}

void job_table::end(entry& e, job_state as, store_time now) {
    leave_state(e);
    e.view.state = as;
    e.view.ended = now;
}

void job_table::remove(job_id id) {
    const auto found = jobs_.find(id);
    leave_state(found->second);
    jobs_.erase(found);
}

put_result job_table::store(const put& what, const holder& by, store_time now) {
    const auto id = what.job.id;
    if (id == 0 || id > largest_id || what.job.priority > lowest_priority || jobs_.contains(id)) {
        return {put_result::outcome::refused, {}};
    }
    auto& e = jobs_[id];
    e.view.job = what.job;
    e.view.created = now;
    note(e, now, "enqueued");
    make_ready(e, after(now, what.delay));
    if (!what.claimed) {
        return {put_result::outcome::stored, {}};
    }
    make_claimed(e, by, now);
    return {put_result::outcome::stored, {id, e.claim}};
}

job_table::entry* job_table::find_held(const receipt& held, const holder& by) {
    const auto found = jobs_.find(held.a);
    if (found == jobs_.end()) {
        return nullptr;
    }
    auto& e = found->second;
    const bool is_held = e.view.state == job_state::claimed && e.claim == held.b;
    return is_held && e.view.owner == by.owner ? &e : nullptr;
}

settled job_table::settle(const settlement& what, const holder& by, store_time now) {
    auto* const e = find_held(what.of, by);
    if (e == nullptr) {
        return settled::lost_lease;
    }
    switch (what.what) {
    case verdict::done:
        note(*e, now, "done", what.reason);
        end(*e, job_state::done, now);
        break;
    case verdict::retry:
        note(*e, now, "failed", what.reason);
        ++e->view.job.failures;
        e->view.reason = what.reason;
        make_ready(*e, after(now, what.delay));
        break;
    case verdict::give_back:
        note(*e, now, "given back", what.reason);
        // Without a delay it keeps its place before those that came later.
        make_ready(*e, what.delay.count() > 0 ? now + what.delay : e->view.run_at);
        break;
    case verdict::dead:
        note(*e, now, "failed", what.reason);
        note(*e, now, "dead");
        ++e->view.job.failures;
        e->view.reason = what.reason;
        end(*e, job_state::dead, now);
        break;
    case verdict::withdrawn: remove(what.of.a); break;
    }
    for (auto follow_up : what.follow_ups) {
        // Nobody would have the receipt.
        follow_up.claimed = false;
        store(follow_up, by, now);
    }
    return settled::accepted;
}

bool job_table::holds_suspect(std::uint32_t owner) const {
    const auto held = held_.find(owner);
    return held != held_.end() && std::ranges::any_of(held->second, [this](job_id id) {
               return jobs_.at(id).view.job.crashes != 0;
           });
}

claimed_jobs job_table::claim(std::span<const std::size_t> credits, const holder& by,
                              store_time now) {
    claimed_jobs result;
    std::vector<std::size_t> left(credits.begin(), credits.end());
    bool has_suspect = holds_suspect(by.owner);
    const auto has_credit = [&] { return std::ranges::any_of(left, std::identity()); };
    for (auto next = ready_.begin(); next != ready_.end() && has_credit();) {
        auto& e = jobs_.at(std::get<job_id>(*next++));
        const auto group = by.groups.find(e.view.job.kind);
        if (group == by.groups.end() || group->second >= left.size() || left[group->second] == 0) {
            continue;
        }
        if (e.view.run_at > now) {
            result.next_due = std::min(result.next_due.value_or(e.view.run_at), e.view.run_at);
            continue;
        }
        const bool suspect = e.view.job.crashes != 0;
        if (suspect && has_suspect) {
            continue;
        }
        has_suspect |= suspect;
        --left[group->second];
        make_claimed(e, by, now);
        result.jobs.push_back({e.view.job, {e.view.job.id, e.claim}});
    }
    return result;
}

bool job_table::renew(const receipt& held, const holder& by, store_time now) {
    auto* const e = find_held(held, by);
    if (e == nullptr) {
        return false;
    }
    e->lease_end = now + by.lease;
    return true;
}

std::vector<job_id> job_table::lost_by(std::uint32_t owner, bool dead, store_time now) const {
    std::vector<job_id> lost;
    for (const auto id : held_.at(owner)) {
        if (dead || jobs_.at(id).lease_end <= now) {
            lost.push_back(id);
        }
    }
    // Suspects last: while one is there, a later call spares the rest of the innocents too.
    std::ranges::stable_partition(lost,
                                  [this](job_id id) { return jobs_.at(id).view.job.crashes == 0; });
    return lost;
}

rescued_job job_table::take_back(entry& e, bool dead, bool blamed, const holder& by,
                                 store_time now) {
    auto& job = e.view.job;
    const auto* reason = dead ? "its process died" : "its lease ended";
    if (!blamed) {
        note(e, now, "given back", std::string(reason).append(", with a suspect beside it"));
        make_ready(e, e.view.run_at);
        return {job.id, job.kind, job.crashes, e.view.state};
    }
    ++job.crashes;
    e.view.reason = reason;
    const bool hopeless = job.crashes >= by.quarantine_after;
    note(e, now, dead ? "crashed" : "lease ended", reason);
    if (hopeless) {
        note(e, now, "quarantined");
        end(e, job_state::quarantined, now);
    } else {
        make_ready(e, e.view.run_at);
    }
    return {job.id, job.kind, job.crashes, e.view.state};
}

std::vector<rescued_job> job_table::rescue(std::size_t limit, const std::set<std::uint32_t>& dead,
                                           const holder& by, store_time now) {
    std::vector<rescued_job> rescued;
    std::vector<std::uint32_t> owners;
    owners.reserve(held_.size());
    for (const auto& [owner, jobs] : held_) {
        owners.push_back(owner);
    }
    for (const auto owner : owners) {
        const bool is_dead = dead.contains(owner);
        const bool had_suspect = holds_suspect(owner);
        for (const auto id : lost_by(owner, is_dead, now)) {
            if (rescued.size() == limit) {
                return rescued;
            }
            auto& e = jobs_.at(id);
            const bool blamed = !had_suspect || e.view.job.crashes != 0;
            rescued.push_back(take_back(e, is_dead, blamed, by, now));
        }
    }
    return rescued;
}

void job_table::give_back_all(std::uint32_t owner, store_time now) {
    const auto held = held_.find(owner);
    if (held == held_.end()) {
        return;
    }
    for (const auto id : std::set<job_id>(held->second)) {
        auto& e = jobs_.at(id);
        note(e, now, "given back", "its process ended");
        make_ready(e, e.view.run_at);
    }
}

amended job_table::amend(job_id id, amendment what, store_time now) {
    const auto found = jobs_.find(id);
    if (found == jobs_.end()) {
        return amended::not_found;
    }
    auto& e = found->second;
    const auto state = e.view.state;
    const bool open = state == job_state::ready || state == job_state::claimed;
    switch (what) {
    case amendment::retry:
        if (state == job_state::claimed) {
            return amended::not_possible;
        }
        e.view.job.failures = 0;
        e.view.job.crashes = 0;
        note(e, now, "retried by hand");
        make_ready(e, open ? std::min(e.view.run_at, now) : now);
        return amended::changed;
    case amendment::cancel:
        if (!open) {
            return amended::not_possible;
        }
        note(e, now, "cancelled");
        end(e, job_state::cancelled, now);
        return amended::changed;
    case amendment::erase: remove(id); return amended::changed;
    }
    return amended::not_possible;
}

}  // namespace postlude::detail::memory
