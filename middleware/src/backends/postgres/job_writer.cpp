// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/postgres/job_writer.hpp"

#include <algorithm>
#include <unordered_set>
#include <utility>

namespace postlude::detail::postgres {

namespace {

// A row is looked up by itself and then deleted by its place: so the plan stays the same, whatever
// the planner believes of a table that is empty now.
constexpr const char* finish =
    "WITH gone AS (DELETE FROM @claimed c USING unnest($1::bigint[], $2::bigint[]) s(job, claim)"
    " CROSS JOIN LATERAL (SELECT ctid AS tid FROM @claimed WHERE job = s.job"
    " AND owner = $3::integer AND claim = s.claim OFFSET 0) t WHERE c.ctid = t.tid"
    " RETURNING c.job, c.claimed_at)"
    " INSERT INTO @ended(job, ended_at, claimed_at, owner, state)"
    " SELECT job, now(), claimed_at, $3::integer, 3 FROM gone RETURNING job";

// Verdicts: 1 retry, 2 give back, 3 dead, 4 withdrawn.
constexpr const char* release =
    "WITH held AS (DELETE FROM @claimed c"
    " USING unnest($1::bigint[], $2::bigint[], $3::smallint[], $4::interval[], $5::text[])"
    " s(job, claim, verdict, delay, reason)"
    " CROSS JOIN LATERAL (SELECT ctid AS tid FROM @claimed WHERE job = s.job"
    " AND owner = $6::integer AND claim = s.claim OFFSET 0) t WHERE c.ctid = t.tid"
    " RETURNING c.job, c.claimed_at, s.verdict, s.delay, s.reason),"
    " noted AS (INSERT INTO @runs(job, n, claimed_at, at, what, owner, reason)"
    " SELECT h.job, 1 + coalesce((SELECT max(r.n) FROM @runs r WHERE r.job = h.job), 0),"
    " h.claimed_at, now(), CASE h.verdict WHEN 2 THEN 2 ELSE 1 END, $6::integer, h.reason"
    " FROM held h WHERE h.verdict <> 4),"
    " freed AS (UPDATE @jobs j SET failures = j.failures + CASE h.verdict WHEN 2 THEN 0 ELSE 1 END,"
    " run_at = CASE WHEN h.verdict = 1 OR h.delay > interval '0' THEN now() + h.delay"
    " ELSE j.run_at END,"
    " reason = CASE WHEN h.verdict = 2 THEN j.reason ELSE coalesce(h.reason, j.reason) END"
    " FROM held h CROSS JOIN LATERAL (SELECT ctid AS tid FROM @jobs WHERE job = h.job OFFSET 0) t"
    " WHERE j.ctid = t.tid AND h.verdict <> 4"
    " RETURNING j.job, j.lane, j.crashes, j.run_at, h.verdict, h.claimed_at),"
    " listed AS (INSERT INTO @ready(lane, suspect, run_at, job)"
    " SELECT lane, crashes > 0, run_at, job FROM freed WHERE verdict <> 3),"
    " dead AS (INSERT INTO @ended(job, ended_at, claimed_at, owner, state)"
    " SELECT job, now(), claimed_at, $6::integer, 4 FROM freed WHERE verdict = 3),"
    " untagged AS (DELETE FROM @job_tags t USING held h WHERE t.job = h.job AND h.verdict = 4),"
    " unnoted AS (DELETE FROM @runs r USING held h WHERE r.job = h.job AND h.verdict = 4),"
    " gone AS (DELETE FROM @jobs j USING held h"
    " CROSS JOIN LATERAL (SELECT ctid AS tid FROM @jobs WHERE job = h.job OFFSET 0) t"
    " WHERE j.ctid = t.tid AND h.verdict = 4)"
    " SELECT job FROM held";

}  // namespace

struct job_writer::batch {
    /// What is asked of one claim, in the order of the jobs, so that two transactions never wait
    /// for each other.
    struct verdict_on {
        std::int64_t job;
        std::size_t index;
    };
    job_columns puts, follow_ups;
    std::vector<std::size_t> rows_of_puts;         ///< which of the puts are in `puts`
    std::vector<const job_record*> jobs_of_lanes;  ///< those, and the follow-ups
    std::vector<std::int32_t> lanes;               ///< likewise
    std::span<const put> all_puts;
    std::span<const settlement> settlements;
    std::vector<verdict_on> done, released;
    std::vector<std::size_t> put_off, left_open;  ///< puts and settlements without a lane yet
    bool makes_ready = false;
    std::vector<command> commands;
    std::optional<std::size_t> stored_at, done_at, released_at;  ///< among the commands
};

job_writer::job_writer(const place& where, lane_table& lanes, owner_table& owners)
    : where_(where),
      lanes_(lanes),
      owners_(owners),
      insert_(where.sql(job_columns::insert(job_columns::form::plain))),
      insert_fresh_(where.sql(job_columns::insert(job_columns::form::fresh))),
      insert_tags_(where.sql("INSERT INTO @job_tags(job, tag)"
                             " SELECT DISTINCT * FROM unnest($1::bigint[], $2::text[])")),
      insert_new_(where.sql(job_columns::insert(job_columns::form::careful))),
      insert_follow_ups_(where.sql(job_columns::insert(job_columns::form::follow_ups))),
      finish_(where.sql(finish)),
      release_(where.sql(release)),
      notify_("SELECT pg_notify($1::text, $2::text)") {}

command job_writer::notify() const {
    return {notify_, parameters().text(channel_of(where_)).text(std::to_string(owners_.self()))};
}

commit_result job_writer::commit(connection& db, std::span<const put> puts,
                                 std::span<const settlement> settlements, std::int64_t claim,
                                 bool careful) {
    batch b;
    b.all_puts = puts;
    b.settlements = settlements;
    add_puts(b, puts);
    add_settlements(b, settlements);
    add_lanes(b, db, puts, settlements);
    if (b.puts.has_claimed()) {
        if (auto lease = owners_.hold()) {
            b.commands.push_back(std::move(*lease));
        }
    }
    add_insert(b, claim, careful);
    add_verdicts(b);
    if (b.makes_ready || b.puts.has_ready() || b.follow_ups.has_ready()) {
        b.commands.push_back(notify());
    }
    commit_result result;
    result.puts.resize(puts.size());
    result.settlements.assign(settlements.size(), settled::lost_lease);
    if (!b.commands.empty()) {
        read(b, db.run(b.commands), claim, result);
    }
    for (const auto i : b.put_off) {
        result.puts[i].what = put_result::outcome::unknown;
    }
    for (const auto i : b.left_open) {
        result.settlements[i] = settled::unknown;
    }
    if (!b.put_off.empty() || !b.left_open.empty()) {
        result.why_unknown = sentence(
            where_.shown,
            "a transaction that is still open has enqueued the first job of a kind in its queue at "
            "its priority; end it, and others can enqueue such jobs too");
    }
    return result;
}

void job_writer::add_puts(batch& b, std::span<const put> puts) {
    std::unordered_set<job_id> ids;
    for (std::size_t i = 0; i < puts.size(); ++i) {
        if (can_be_stored(puts[i]) && ids.insert(puts[i].job.id).second) {
            b.rows_of_puts.push_back(i);
            b.jobs_of_lanes.push_back(&puts[i].job);
        }
    }
}

void job_writer::add_settlements(batch& b, std::span<const settlement> settlements) {
    std::unordered_set<std::uint64_t> jobs;
    for (std::size_t i = 0; i < settlements.size(); ++i) {
        const auto& s = settlements[i];
        if (s.of.a > INT64_MAX || !jobs.insert(s.of.a).second) {
            continue;  // the first verdict counts
        }
        const auto job = static_cast<std::int64_t>(s.of.a);
        (s.what == verdict::done ? b.done : b.released).push_back({job, i});
        b.makes_ready |= s.what == verdict::retry || s.what == verdict::give_back;
        for (const auto& next : s.follow_ups) {
            if (can_be_stored(next)) {
                b.jobs_of_lanes.push_back(&next.job);
            }
        }
    }
    std::ranges::sort(b.done, {}, &batch::verdict_on::job);
    std::ranges::sort(b.released, {}, &batch::verdict_on::job);
}

void job_writer::add_lanes(batch& b, connection& db, std::span<const put> puts,
                           std::span<const settlement> settlements) {
    if (b.jobs_of_lanes.empty()) {
        return;
    }
    db.connect();  // which may make it forget the lanes
    const auto lanes = lanes_.numbers_of(db, b.jobs_of_lanes);
    std::size_t at = 0;
    std::erase_if(b.rows_of_puts, [&](std::size_t i) {
        const auto lane = lanes[at++];
        if (lane == lane_table::none) {
            b.put_off.push_back(i);
            return true;
        }
        b.puts.add(puts[i], puts[i].claimed, lane);
        return false;
    });
    for (std::size_t i = 0; i < settlements.size(); ++i) {
        const auto& s = settlements[i];
        const job_columns::parent of{static_cast<std::int64_t>(s.of.a),
                                     static_cast<std::int64_t>(s.of.b)};
        std::vector<std::pair<const put*, std::int32_t>> next_ones;
        for (const auto& next : s.follow_ups) {
            // Those of a verdict that does not count are not among them.
            if (at < lanes.size() && b.jobs_of_lanes[at] == &next.job) {
                next_ones.emplace_back(&next, lanes[at++]);
            }
        }
        if (std::ranges::any_of(next_ones,
                                [](const auto& n) { return n.second == lane_table::none; })) {
            b.left_open.push_back(i);  // all or nothing
            continue;
        }
        for (const auto& [next, lane] : next_ones) {
            // Nobody could be told the receipt of one that is claimed.
            b.follow_ups.add(*next, false, lane, of);
        }
    }
    const auto is_open = [&](const batch::verdict_on& v) {
        return std::ranges::find(b.left_open, v.index) != b.left_open.end();
    };
    std::erase_if(b.done, is_open);
    std::erase_if(b.released, is_open);
}

void job_writer::add_insert(batch& b, std::int64_t claim, bool careful) {
    if (!careful && !b.puts.empty() && b.puts.are_fresh()) {
        b.commands.push_back({insert_fresh_, b.puts.fresh_jobs()});
    } else if (!b.puts.empty()) {
        auto values = b.puts.jobs(claim, owners_.self());
        if (careful) {
            b.puts.add_tags_to(values);
            b.stored_at = b.commands.size();
        }
        b.commands.push_back({careful ? insert_new_ : insert_, std::move(values)});
        if (!careful && b.puts.has_tags()) {
            parameters tags;
            b.puts.add_tags_to(tags);
            b.commands.push_back({insert_tags_, std::move(tags)});
        }
    }
    if (!b.follow_ups.empty()) {
        auto values = b.follow_ups.jobs(claim, owners_.self());
        b.follow_ups.add_tags_to(values);
        b.follow_ups.add_parents_to(values);
        b.commands.push_back({insert_follow_ups_, std::move(values)});
    }
}

void job_writer::add_verdicts(batch& b) {
    auto jobs = array::of_int8();
    auto claims = array::of_int8();
    const auto add = [&](const batch::verdict_on& v) -> const settlement& {
        jobs.add(v.job);
        claims.add(static_cast<std::int64_t>(b.settlements[v.index].of.b));
        return b.settlements[v.index];
    };
    if (!b.done.empty()) {
        std::ranges::for_each(b.done, add);
        b.done_at = b.commands.size();
        parameters values;
        values.list(std::exchange(jobs, array::of_int8()));
        values.list(std::exchange(claims, array::of_int8())).int4(owners_.self());
        b.commands.push_back({finish_, std::move(values)});
    }
    if (!b.released.empty()) {
        auto verdicts = array::of_int2();
        auto delays = array::of_interval();
        auto reasons = array::of_text();
        for (const auto& v : b.released) {
            const auto& s = add(v);
            verdicts.add(static_cast<std::int16_t>(s.what));
            delays.add(std::chrono::microseconds(std::min(s.delay, longest_delay)));
            reasons.add_unless_empty(storable(s.reason));
        }
        b.released_at = b.commands.size();
        parameters values;
        values.list(std::move(jobs)).list(std::move(claims)).list(std::move(verdicts));
        values.list(std::move(delays)).list(std::move(reasons)).int4(owners_.self());
        b.commands.push_back({release_, std::move(values)});
    }
}

void job_writer::read(const batch& b, const std::vector<rows>& found, std::int64_t claim,
                      commit_result& result) {
    const auto stored = [&](std::size_t i) {
        result.puts[i].what = put_result::outcome::stored;
        if (b.all_puts[i].claimed) {
            result.puts[i].held = {b.all_puts[i].job.id, static_cast<std::uint64_t>(claim)};
        }
    };
    if (!b.stored_at) {
        std::ranges::for_each(b.rows_of_puts, stored);
    } else {
        const auto& ids = found[*b.stored_at];
        std::unordered_set<job_id> new_ones;
        for (int row = 0; row < ids.size(); ++row) {
            new_ones.insert(static_cast<job_id>(ids.int8(row, 0)));
        }
        for (const auto i : b.rows_of_puts) {
            if (new_ones.contains(b.all_puts[i].job.id)) {
                stored(i);
            }
        }
    }
    const auto accept = [&](const std::vector<batch::verdict_on>& asked, const rows& ids) {
        for (int row = 0; row < ids.size(); ++row) {
            const auto one =
                std::ranges::lower_bound(asked, ids.int8(row, 0), {}, &batch::verdict_on::job);
            result.settlements[one->index] = settled::accepted;
        }
    };
    if (b.done_at) {
        accept(b.done, found[*b.done_at]);
    }
    if (b.released_at) {
        accept(b.released, found[*b.released_at]);
    }
}

}  // namespace postlude::detail::postgres
