// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/sqlite/store.hpp"

#include <algorithm>

namespace postlude::detail::sqlite {

namespace {

/// Jobs a transaction, so that commits need not wait long for it.
constexpr std::size_t rescue_size = 512;

}  // namespace

/// An owner whose jobs are being taken.
struct store::lost_owner {
    std::uint32_t number;
    bool dead;            ///< else its lease has ended
    bool spares = false;  ///< those that were no suspects
    job_id after = 0;     ///< its jobs up to here are done
};

std::vector<receipt> store::renew(std::span<const receipt> held) {
    const std::lock_guard lock(s_->write);
    auto lost = write(false, [&] {
        std::vector<receipt> gone;
        if (!s_->owners.renew()) {
            return gone;
        }
        statement query(s_->writer,
                        "SELECT 1 FROM claimed WHERE job = ? AND owner = ? AND claim = ?");
        for (const auto& r : held) {
            if (!query.bind(r.a, s_->owners.self(), r.b).step()) {
                gone.push_back(r);
            }
            query.reset();
        }
        return gone;
    });
    auto more_to_take = false;
    for (const auto& r : lost) {
        more_to_take |= let_go(r);
    }
    if (more_to_take) {
        wake_.changed();
    }
    return lost;
}

std::vector<rescued_job> store::rescue(std::size_t limit) {
    std::vector<rescued_job> rescued;
    std::vector<owner_table::other> others;
    {
        const std::lock_guard lock(s_->write);
        others = s_->owners.others();
    }
    for (const auto& o : others) {
        lost_owner of{o.number, !s_->lock.is_held(o.number)};
        if (!of.dead && o.lease_until >= lease_now()) {
            continue;
        }
        while (rescued.size() < limit &&
               rescue_some(of, std::min(limit - rescued.size(), rescue_size), rescued)) {
        }
    }
    if (!rescued.empty()) {
        wake_.changed();
    }
    return rescued;
}

/// One transaction; true when there may be more of this owner's.
bool store::rescue_some(lost_owner& of, std::size_t limit, std::vector<rescued_job>& rescued) {
    const std::lock_guard lock(s_->write);
    auto some = write(false, [&] {
        std::vector<rescued_job> result;
        if (!s_->owners.may_rescue(of.number, of.dead)) {
            return result;
        }
        of.spares = s_->owners.spares_innocents(of.number);
        std::vector<std::pair<job_id, store_time>> held;
        statement query(
            s_->writer,
            "SELECT job, at FROM claimed WHERE owner = ? AND job > ? ORDER BY job LIMIT ?");
        query.bind(of.number, of.after, limit);
        while (query.step()) {
            held.emplace_back(query.integer<job_id>(0), query.time(1));
        }
        for (const auto& [id, claimed_at] : held) {
            result.push_back(rescue_one(of, id, claimed_at, now()));
            of.after = id;
        }
        if (held.size() < limit) {
            s_->owners.leave(of.number);
        }
        return result;
    });
    rescued.insert(rescued.end(), some.begin(), some.end());
    return some.size() == limit;
}

rescued_job store::rescue_one(const lost_owner& of, job_id id, store_time claimed_at,
                              store_time time) {
    auto& jobs = s_->jobs;
    const last_claim claim{of.number, claimed_at};
    auto row = jobs.read(id).value_or(job_row{id});
    const auto reason =
        of.dead ? "its process died" : "its process did not renew its lease in time";
    auto state = job_state::ready;
    jobs.unclaim(id);
    if (of.spares && row.crashes == 0) {
        jobs.note(id, run_note::given_back, time, claim,
                  std::string(reason).append(", with a suspect beside it"));
    } else {
        ++row.crashes;
        jobs.update(row, reason);
        jobs.note(id, of.dead ? run_note::crashed : run_note::lease_ended, time, claim, reason);
        if (row.crashes >= asked_.quarantine_after) {
            state = job_state::quarantined;
        }
    }
    if (state == job_state::ready) {
        jobs.make_ready(row);
    } else {
        jobs.end(id, state, time, claim);
    }
    return {id, s_->lanes.at(row.lane).kind, row.crashes, state};
}

}  // namespace postlude::detail::sqlite
