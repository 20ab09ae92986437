// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/postgres/store.hpp"

#include <algorithm>
#include <thread>

namespace postlude::detail::postgres {

namespace {

/// Jobs a transaction, so that nothing else need wait long for it.
constexpr std::size_t rescue_size = 512;

constexpr const char* lost_claims =
    "SELECT r.job, r.claim FROM unnest($1::bigint[], $2::bigint[]) r(job, claim)"
    " WHERE (SELECT true FROM @claimed c WHERE c.job = r.job AND c.claim = r.claim"
    " AND c.owner = $3::integer) IS NOT TRUE";

// A claim of an owner without an entry: one that reached the server late, after its owner was
// rescued. It gets an entry, and a lease to renew it in.
constexpr const char* find_strays =
    "WITH RECURSIVE holders(owner) AS ((SELECT owner FROM @claimed ORDER BY owner, job LIMIT 1)"
    " UNION ALL SELECT (SELECT c.owner FROM @claimed c WHERE c.owner > h.owner"
    " ORDER BY c.owner, c.job LIMIT 1) FROM holders h"
    " WHERE h.owner IS NOT NULL)"
    " INSERT INTO @owners(owner, lease_until) SELECT h.owner, clock_timestamp() + $1::interval"
    " FROM holders h WHERE h.owner IS NOT NULL"
    " AND NOT EXISTS (SELECT FROM @owners o WHERE o.owner = h.owner) ON CONFLICT DO NOTHING";

// Of a server that was away, nobody could renew a lease, nor hold a lock.
constexpr const char* look_at_owners =
    "SELECT owner, lease_until < clock_timestamp()"
    " AND clock_timestamp() - pg_postmaster_start_time() > $3::interval, locked_at,"
    " CASE WHEN locked_at IS NOT NULL AND server = pg_postmaster_start_time()"
    " THEN pg_try_advisory_xact_lock((to_regnamespace($1::text)::oid::bigint & "
    "2147483647)::integer,"
    " owner) ELSE false END FROM @owners WHERE owner <> $2::integer ORDER BY owner";

// It may have come back meanwhile.
constexpr const char* begin_rescue =
    "UPDATE @owners o SET spares = coalesce(o.spares, EXISTS(SELECT FROM @claimed c"
    " CROSS JOIN LATERAL (SELECT FROM @jobs WHERE job = c.job AND crashes > 0 OFFSET 0) j"
    " WHERE c.owner = o.owner))"
    " WHERE o.owner = $1::integer AND (CASE WHEN $2::boolean THEN o.locked_at = $3::timestamptz"
    " AND pg_try_advisory_xact_lock((to_regnamespace($4::text)::oid::bigint & 2147483647)::integer,"
    " o.owner) ELSE o.lease_until < clock_timestamp() END) RETURNING o.spares";

constexpr const char* take_from_owner =
    "WITH held AS MATERIALIZED (SELECT c.tid, c.job, c.claimed_at, j.tid AS tid_of_job,"
    " $3::boolean AND j.crashes = 0 AS spared FROM (SELECT ctid AS tid, job, claimed_at"
    " FROM @claimed WHERE owner = $1::integer ORDER BY owner, job LIMIT $2::bigint FOR UPDATE) c"
    " CROSS JOIN LATERAL (SELECT ctid AS tid, crashes FROM @jobs WHERE job = c.job OFFSET 0) j),"
    " gone AS (DELETE FROM @claimed c USING held h WHERE c.ctid = h.tid),"
    " noted AS (INSERT INTO @runs(job, n, claimed_at, at, what, owner, reason)"
    " SELECT h.job, 1 + coalesce((SELECT max(r.n) FROM @runs r WHERE r.job = h.job), 0),"
    " h.claimed_at, now(), CASE WHEN h.spared THEN 2 ELSE $5::integer END, $1::integer,"
    " CASE WHEN h.spared THEN $6::text || ', with a suspect beside it' ELSE $6::text END"
    " FROM held h),"
    " freed AS (UPDATE @jobs j SET crashes = j.crashes + (NOT h.spared)::integer,"
    " reason = CASE WHEN h.spared THEN j.reason ELSE $6::text END"
    " FROM held h WHERE j.ctid = h.tid_of_job"
    " RETURNING j.job, j.lane, j.crashes, j.run_at, h.claimed_at,"
    " CASE WHEN h.spared OR j.crashes < $4::integer THEN 1::smallint ELSE 5::smallint END AS "
    "state),"
    " listed AS (INSERT INTO @ready(lane, suspect, run_at, job)"
    " SELECT lane, crashes > 0, run_at, job FROM freed WHERE state = 1),"
    " quarantined AS (INSERT INTO @ended(job, ended_at, claimed_at, owner, state)"
    " SELECT job, now(), claimed_at, $1::integer, state FROM freed WHERE state = 5)"
    " SELECT job, lane, crashes, state FROM freed";

const std::string& not_synced() {
    static const std::string sql = "SELECT set_config('synchronous_commit', 'off', true)";
    return sql;
}

}  // namespace

/// An owner whose jobs may be taken.
struct store::lost_owner {
    std::int32_t number;
    bool dead;  ///< else its lease has ended
    store_time locked_at;
};

std::vector<rows> store::keep_up(std::vector<command> commands) {
    std::vector<command> all{{not_synced()}};
    for (auto& one : commands) {
        all.push_back({one.sql, std::move(one.values), one.once});
    }
    auto found = s_->kept.run(all);
    found.erase(found.begin());
    return found;
}

std::vector<receipt> store::renew(std::span<const receipt> held) {
    if (const std::unique_lock claiming(s_->claiming, std::try_to_lock); claiming) {
        s_->claimed.hear();  // who has no room for jobs may not claim for hours
    }
    const std::lock_guard lock(s_->keeping);
    auto jobs = array::of_int8();
    auto claims = array::of_int8();
    for (const auto& r : held) {
        jobs.add(static_cast<std::int64_t>(r.a));
        claims.add(static_cast<std::int64_t>(r.b));
    }
    const auto question = s_->where.sql(lost_claims);
    parameters values;
    values.list(std::move(jobs)).list(std::move(claims)).int4(s_->owners.self());
    std::vector<command> commands{s_->owners.renew(), {question, std::move(values)}};
    if (auto doubtful = give_back(false)) {
        commands.push_back(std::move(*doubtful));
    }
    std::vector<rows> found;
    try {
        found = keep_up(std::move(commands));
    } catch (...) {
        s_->owners.forget();
        throw;
    }
    if (found.size() > 2) {
        forget_doubts(found[2]);
    }
    if (found.size() > 2 && found[2].size() > 0) {
        s_->claims.look_from_the_start();
        s_->kept.run({s_->writer.notify()});
    }
    std::vector<receipt> lost;
    auto more_to_take = false;
    for (int i = 0; i < found[1].size(); ++i) {
        lost.push_back({static_cast<std::uint64_t>(found[1].int8(i, 0)),
                        static_cast<std::uint64_t>(found[1].int8(i, 1))});
        more_to_take |= let_go(lost.back());
    }
    if (more_to_take) {
        wake_.changed();
    }
    return lost;
}

std::vector<store::lost_owner> store::look_for_the_lost(bool& some_may_come_back) {
    const std::lock_guard lock(s_->keeping);
    const auto& where = s_->where;
    const auto strays = where.sql(find_strays);
    const auto owners = where.sql(look_at_owners);
    const auto found = keep_up(
        {{strays, parameters().interval(asked_.lease)},
         {owners, parameters().text(where.schema).int4(s_->owners.self()).interval(asked_.lease)}});
    std::vector<lost_owner> lost;
    // A process that was cut off itself can't tell who else was.
    if (clock::now() - s_->kept.made_anew() < asked_.lease && s_->kept.count() > 1) {
        return lost;
    }
    std::map<std::int32_t, store_time> free;
    for (int i = 0; i < found[1].size(); ++i) {
        const lost_owner one{found[1].int4(i, 0), found[1].boolean(i, 3), found[1].time(i, 2)};
        if (one.dead) {
            free[one.number] = one.locked_at;
        }
        const auto before = seen_free_.find(one.number);
        if (one.dead && before != seen_free_.end() && before->second == one.locked_at) {
            lost.push_back(one);
        } else if (found[1].boolean(i, 1)) {
            lost.push_back({one.number, false, {}});
        } else {
            some_may_come_back |= one.dead;
        }
    }
    seen_free_ = std::move(free);
    return lost;
}

std::vector<rescued_job> store::rescue(std::size_t limit) {
    bool some_may_come_back = false;
    auto lost = look_for_the_lost(some_may_come_back);
    if (some_may_come_back) {
        // All connections of a process may have been cut: if it lives, it has made them again.
        const auto moment =
            std::min<std::chrono::milliseconds>(asked_.lease / 4, std::chrono::milliseconds(1'000));
        std::this_thread::sleep_for(moment);
        lost = look_for_the_lost(some_may_come_back);
    }
    std::vector<rescued_job> rescued;
    for (const auto& of : lost) {
        while (rescued.size() < limit &&
               rescue_some(of, std::min(limit - rescued.size(), rescue_size), rescued)) {
        }
    }
    if (!rescued.empty()) {
        s_->claims.look_from_the_start();
        wake_.changed();
    }
    return rescued;
}

/// One transaction; true when there may be more of this owner's.
bool store::rescue_some(const lost_owner& of, std::size_t limit,
                        std::vector<rescued_job>& rescued) {
    const std::lock_guard lock(s_->keeping);
    const auto& where = s_->where;
    static const std::string begin = "BEGIN";
    const auto may = where.sql(begin_rescue);
    std::vector<command> opening{{begin, {}, true}};
    opening.push_back({not_synced()});
    opening.push_back(
        {may, parameters().int4(of.number).boolean(of.dead).time(of.locked_at).text(where.schema)});
    const auto decided = s_->kept.run(opening);
    std::vector<rows> found;
    try {
        if (decided[2].size() > 0) {
            found = take_from(of, limit, decided[2].boolean(0, 0));
        }
    } catch (...) {
        s_->kept.leave_transaction();
        throw;
    }
    if (found.empty()) {
        s_->kept.leave_transaction();
        return false;
    }
    std::vector<rescued_job> some;
    some.reserve(static_cast<std::size_t>(found[1].size()));
    for (int i = 0; i < found[1].size(); ++i) {
        some.push_back({static_cast<job_id>(found[1].int8(i, 0)),
                        s_->lanes.at(s_->kept, found[1].int4(i, 1)).kind,
                        static_cast<unsigned>(found[1].int4(i, 2)),
                        static_cast<job_state>(found[1].int2(i, 3))});
    }
    std::ranges::sort(some, {}, &rescued_job::id);
    rescued.insert(rescued.end(), some.begin(), some.end());
    return some.size() == limit;
}

/// The second half of that transaction, and its end.
std::vector<rows> store::take_from(const lost_owner& of, std::size_t limit, bool spares) {
    const auto& where = s_->where;
    static const std::string commit = "COMMIT";
    const auto take = where.sql(take_from_owner);
    const std::string reason =
        of.dead ? "its process died" : "its process did not renew its lease in time";
    // It fails where the transaction has gone with its connection, and all that follows with it.
    static const std::string within = "SAVEPOINT taken";
    std::vector<command> closing{{within, {}, true}};
    closing.push_back({take, parameters()
                                 .int4(of.number)
                                 .int8(static_cast<std::int64_t>(limit))
                                 .boolean(spares)
                                 .int4(asked_.quarantine_after)
                                 .int4(static_cast<std::int32_t>(of.dead ? run_note::crashed
                                                                         : run_note::lease_ended))
                                 .text(reason)});
    closing.push_back(s_->writer.notify());
    const auto leave = where.sql(
        "DELETE FROM @owners o WHERE o.owner = $1::integer AND NOT"
        " EXISTS (SELECT FROM @claimed c WHERE c.owner = o.owner)");
    closing.push_back({leave, parameters().int4(of.number)});
    closing.push_back({commit, {}, true});
    return s_->kept.run(closing);
}

}  // namespace postlude::detail::postgres
