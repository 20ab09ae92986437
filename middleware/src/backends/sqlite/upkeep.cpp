// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/sqlite/store.hpp"

#include <algorithm>

namespace postlude::detail::sqlite {

namespace {

/// Jobs a transaction, so that commits need not wait long for it; and transactions a call.
constexpr std::size_t prune_size = 512;
constexpr std::size_t prune_rounds = 8;

bool has_ended(job_state s) { return s != job_state::ready && s != job_state::claimed; }

}  // namespace

/// A job, and which of the lists it is in.
struct store::standing {
    job_row row;
    job_state state = job_state::ready;
    store_time at{};  ///< of the claim, or the end
    last_claim claim;
};

std::vector<amended> store::amend(std::span<const job_id> ids, amendment what) {
    const std::lock_guard lock(s_->write);
    auto result = write(true, [&] {
        std::vector<amended> each;
        const auto time = now();
        for (const auto id : ids) {
            each.push_back(amend_one(id, what, time));
        }
        return each;
    });
    wake_.changed();
    return result;
}

amended store::amend_one(job_id id, amendment what, store_time time) {
    const auto row = s_->jobs.read(id);
    if (!row) {
        return amended::not_found;
    }
    auto job = where_is(id);
    job.row = *row;
    if (what == amendment::retry ? job.state == job_state::claimed
                                 : what == amendment::cancel && has_ended(job.state)) {
        return amended::not_possible;
    }
    take_out(job);
    if (what == amendment::retry) {
        retry_by_hand(job, time);
    } else if (what == amendment::cancel) {
        s_->jobs.end(id, job_state::cancelled, time, job.claim);
    } else {
        s_->jobs.erase(id);
    }
    return amended::changed;
}

store::standing store::where_is(job_id id) {
    standing found;
    statement claimed(s_->writer, "SELECT owner, at FROM claimed WHERE job = ?");
    if (claimed.bind(id).step()) {
        found.state = job_state::claimed;
        found.claim = {claimed.integer<std::uint32_t>(0), claimed.time(1)};
        return found;
    }
    statement ended(s_->writer, "SELECT state, at, owner, claimed_at FROM ended WHERE job = ?");
    if (ended.bind(id).step()) {
        found.state = ended.integer<job_state>(0);
        found.at = ended.time(1);
        if (!ended.is_null(2)) {
            found.claim.owner = ended.integer<std::uint32_t>(2);
        }
        found.claim.at = ended.optional_time(3);
    }
    return found;
}

/// Afterwards it is in none of the lists.
void store::take_out(const standing& job) {
    if (job.state == job_state::ready) {
        s_->jobs.take_from_ready(job.row);
    } else if (job.state == job_state::claimed) {
        s_->jobs.unclaim(job.row.id);
        s_->owners.tell_lost(job.claim.owner.value_or(0));
    } else {
        s_->jobs.take_from_ended(job.row.id);
    }
}

void store::retry_by_hand(const standing& job, store_time time) {
    auto row = job.row;
    row.run_at = time;
    row.failures = 0;
    row.crashes = 0;
    s_->jobs.update(row, std::nullopt);
    // The run that was the end of a dead or quarantined job has a note already.
    switch (job.state) {
    case job_state::done: s_->jobs.note(row.id, run_note::done, job.at, job.claim, {}); break;
    case job_state::cancelled:
        s_->jobs.note(row.id, run_note::cancelled, job.at, job.claim, {});
        break;
    case job_state::dead: s_->jobs.note(row.id, run_note::dead, job.at, {}, {}); break;
    case job_state::quarantined:
        s_->jobs.note(row.id, run_note::quarantined, job.at, {}, {});
        break;
    case job_state::ready:
    case job_state::claimed: break;
    }
    s_->jobs.note(row.id, run_note::retried, time, {}, {});
    s_->jobs.make_ready(row);
}

std::size_t store::prune(const retention& keep) {
    auto left = prune_size * prune_rounds;
    std::size_t pruned = prune_state(job_state::done, keep.done_count, keep.done_age, left);
    for (const auto state : {job_state::dead, job_state::quarantined, job_state::cancelled}) {
        pruned += prune_state(state, SIZE_MAX, keep.dead_age, left - pruned);
    }
    give_pages_back();
    return pruned;
}

std::size_t store::prune_state(job_state state, std::size_t count, std::chrono::seconds age,
                               std::size_t limit) {
    std::size_t there = 0;
    if (count != SIZE_MAX) {
        const std::lock_guard lock(s_->read);
        statement query(s_->reader, "SELECT count(*) FROM ended WHERE state = ?");
        there = query.bind(state).step() ? query.integer<std::size_t>(0) : 0;
    }
    const auto too_many = std::min(there > count ? there - count : 0, limit);
    std::size_t pruned = 0;
    // An age that is longer than the clock is old means for ever.
    const auto time = now();
    const auto before = age < time.time_since_epoch() ? time - age : store_time{};
    while (pruned < limit) {
        const auto size = std::min(prune_size, limit - pruned);
        const auto surely = std::min(size, too_many > pruned ? too_many - pruned : 0);
        const auto n = surely > 0 ? prune_some(state, surely, store_time::max())
                                  : prune_some(state, size, before);
        if (n == 0) {
            break;
        }
        pruned += n;
    }
    return pruned;
}

/// The oldest ones that ended in this state before a time, in one transaction.
std::size_t store::prune_some(job_state state, std::size_t limit, store_time before) {
    const std::lock_guard lock(s_->write);
    std::vector<job_id> ids;
    statement query(s_->writer,
                    "SELECT job FROM ended INDEXED BY ended_by_time"
                    " WHERE state = ? AND at <= ? ORDER BY at LIMIT ?");
    query.bind(state, before, limit);
    while (query.step()) {
        ids.push_back(query.integer<job_id>(0));
    }
    if (ids.empty()) {
        return 0;
    }
    return write(false, [&] {
        std::size_t pruned = 0;
        for (const auto id : ids) {
            // Meanwhile another process may have done so, or have made it ready.
            if (s_->jobs.take_from_ended(id)) {
                s_->jobs.erase(id);
                ++pruned;
            }
        }
        return pruned;
    });
}

/// After a drain the file would stay as long as it was: what is free is used again, but not given
/// back. A quarter is left free, so that a load that comes and goes does not move pages.
void store::give_pages_back() {
    constexpr std::int64_t least = 1024;
    const std::lock_guard lock(s_->write);
    const auto free = s_->writer.integer("PRAGMA freelist_count");
    const auto all = s_->writer.integer("PRAGMA page_count");
    if (free < least || free * 4 < all) {
        return;
    }
    write(false, [&] {
        s_->writer.execute("PRAGMA incremental_vacuum(1024)");
        return true;
    });
}

}  // namespace postlude::detail::sqlite
