// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/postgres/store.hpp"

#include <algorithm>

namespace postlude::detail::postgres {

namespace {

/// Jobs a transaction, so that nothing else need wait long for it; and transactions a call.
constexpr std::size_t prune_size = 512;
constexpr std::size_t prune_rounds = 8;
/// Of a change to a job that moves at the same time.
constexpr int amend_tries = 20;
constexpr std::chrono::seconds longest_age = std::chrono::hours(24 * 36525);

// Each takes the job's one row out of the three tables, which decides against whoever moves it at
// the same time. Answers nothing when there is no such job, else a number.
constexpr int was_changed = 1;
constexpr int was_not_found = -1;
constexpr int was_moving = 2;  ///< it has just been moved: to be asked again

constexpr const char* find_it =
    "WITH j AS MATERIALIZED (SELECT * FROM @jobs WHERE job = $1::bigint),"
    " r AS (DELETE FROM @ready r USING j CROSS JOIN LATERAL (SELECT ctid AS tid FROM @ready"
    " WHERE lane = j.lane AND suspect = (j.crashes > 0) AND run_at = j.run_at AND job = j.job"
    " OFFSET 0) t WHERE r.ctid = t.tid RETURNING r.job),";
constexpr const char* of_claimed =
    " c AS (DELETE FROM @claimed WHERE job = $1::bigint RETURNING job, claimed_at, owner),";
constexpr const char* of_ended = " e AS (DELETE FROM @ended WHERE job = $1::bigint RETURNING *),";

// What the end of a job that is retried was, is a note from then on.
constexpr const char* retry_job =
    " moved AS (SELECT job FROM e UNION ALL SELECT job FROM r),"
    " last AS (SELECT coalesce(max(n), 0) AS n FROM @runs WHERE job = $1::bigint),"
    " noted AS (INSERT INTO @runs(job, n, claimed_at, at, what, owner)"
    " SELECT e.job, l.n + 1, CASE WHEN e.state IN (3, 6) THEN e.claimed_at END, e.ended_at,"
    " CASE e.state WHEN 3 THEN 6 WHEN 6 THEN 7 WHEN 4 THEN 8 ELSE 9 END,"
    " CASE WHEN e.state IN (3, 6) THEN e.owner END FROM e, last l"
    " UNION ALL SELECT m.job, l.n + 1 + (SELECT count(*) FROM e)::integer, NULL, now(), 5, NULL"
    " FROM moved m, last l),"
    " renewed AS (UPDATE @jobs SET run_at = now(), failures = 0, crashes = 0"
    " WHERE job = $1::bigint AND EXISTS (SELECT FROM moved)),"
    " listed AS (INSERT INTO @ready(lane, suspect, run_at, job)"
    " SELECT j.lane, false, now(), j.job FROM j, moved)"
    " SELECT CASE WHEN EXISTS (SELECT FROM moved) THEN 1"
    " WHEN EXISTS (SELECT FROM @claimed WHERE job = $1::bigint) THEN 0 ELSE 2 END FROM j";

constexpr const char* cancel_job =
    " moved AS (SELECT job, claimed_at, owner FROM c UNION ALL SELECT job, NULL, NULL FROM r),"
    " cancelled AS (INSERT INTO @ended(job, ended_at, claimed_at, owner, state)"
    " SELECT job, now(), claimed_at, owner, 6 FROM moved)"
    " SELECT CASE WHEN EXISTS (SELECT FROM moved) THEN 1"
    " WHEN EXISTS (SELECT FROM @ended WHERE job = $1::bigint) THEN 0 ELSE 2 END FROM j";

constexpr const char* erase_job =
    " moved AS (SELECT job FROM c UNION ALL SELECT job FROM e UNION ALL SELECT job FROM r),"
    " gone AS (DELETE FROM @jobs WHERE job = $1::bigint AND EXISTS (SELECT FROM moved)"
    " RETURNING job),"
    " untagged AS (DELETE FROM @job_tags t USING gone g WHERE t.job = g.job),"
    " unnoted AS (DELETE FROM @runs r USING gone g WHERE r.job = g.job)"
    " SELECT CASE WHEN EXISTS (SELECT FROM gone) THEN 1 ELSE 2 END FROM j";

std::string text_of(amendment what) {
    std::string sql = find_it;
    switch (what) {
    case amendment::retry: sql.append(of_ended).append(retry_job); break;
    case amendment::cancel: sql.append(of_claimed).append(cancel_job); break;
    case amendment::erase: sql.append(of_claimed).append(of_ended).append(erase_job); break;
    }
    return sql;
}

constexpr const char* prune_done =
    "WITH old AS MATERIALIZED (SELECT ctid AS tid, job FROM @ended WHERE state = 3"
    " AND ended_at <= $1::timestamptz ORDER BY ended_at LIMIT $2::bigint FOR UPDATE SKIP LOCKED),";
constexpr const char* prune_others =
    "WITH old AS MATERIALIZED (SELECT ctid AS tid, job FROM @ended WHERE state > 3"
    " AND ended_at <= $1::timestamptz ORDER BY ended_at LIMIT $2::bigint FOR UPDATE SKIP LOCKED),";
constexpr const char* prune_rest =
    " gone AS (DELETE FROM @ended e USING old o WHERE e.ctid = o.tid),"
    " untagged AS (DELETE FROM @job_tags t USING old o WHERE t.job = o.job),"
    " unnoted AS (DELETE FROM @runs r USING old o WHERE r.job = o.job)"
    " DELETE FROM @jobs j USING old o CROSS JOIN LATERAL (SELECT ctid AS tid FROM @jobs"
    " WHERE job = o.job OFFSET 0) t WHERE j.ctid = t.tid";

}  // namespace

std::vector<amended> store::amend(std::span<const job_id> ids, amendment what) {
    if (ids.empty()) {
        return {};
    }
    const auto sql = s_->where.sql(text_of(what));
    // In the order of the ids, so that two of these do not wait for each other.
    std::vector<std::pair<std::int64_t, std::size_t>> order;
    order.reserve(ids.size());
    for (std::size_t i = 0; i < ids.size(); ++i) {
        order.emplace_back(static_cast<std::int64_t>(ids[i]), i);
    }
    std::ranges::sort(order);
    std::vector<amended> result(ids.size(), amended::not_found);
    const std::lock_guard lock(s_->keeping);
    for (int i = 0; i < amend_tries && !order.empty(); ++i) {
        std::vector<command> commands;
        commands.reserve(order.size() + 1);
        for (const auto& [id, index] : order) {
            commands.push_back({sql, parameters().int8(id)});
        }
        commands.push_back(s_->writer.notify());
        const auto found = s_->kept.run(commands);
        decltype(order) moving;
        for (std::size_t k = 0; k < order.size(); ++k) {
            const auto answer = found[k].size() > 0 ? found[k].int4(0, 0) : was_not_found;
            auto& mine = result[order[k].second];
            mine = answer == was_changed     ? amended::changed
                   : answer == was_not_found ? amended::not_found
                                             : amended::not_possible;
            if (answer == was_moving) {
                moving.push_back(order[k]);
            }
        }
        order = std::move(moving);
    }
    s_->claims.look_from_the_start();
    wake_.changed();
    return result;
}

std::size_t store::prune(const retention& keep) {
    const std::lock_guard lock(s_->keeping);
    const auto before = [](std::chrono::seconds age) {
        return "clock_timestamp() - interval '" +
               std::to_string(std::clamp<std::int64_t>(age.count(), 0, longest_age.count())) +
               " seconds'";
    };
    const auto& where = s_->where;
    const auto count = where.sql("SELECT count(*) FROM @ended WHERE state = 3");
    const auto times = "SELECT " + before(keep.done_age) + ", " + before(keep.dead_age) +
                       ", timestamptz '9999-12-31 00:00:00+00'";
    const auto now = keep_up({{times, {}, true}});
    const std::string done = where.sql(std::string(prune_done) + prune_rest);
    const std::string others = where.sql(std::string(prune_others) + prune_rest);
    std::size_t pruned = 0;
    const auto some = [&](const std::string& sql, store_time until, std::size_t limit) {
        const auto n =
            keep_up({{sql, parameters().time(until).int8(static_cast<std::int64_t>(limit))}})[0]
                .changed();
        pruned += n;
        return n;
    };
    std::size_t round = 0;
    while (round < prune_rounds && (some(done, now[0].time(0, 0), prune_size) != 0 ||
                                    some(others, now[0].time(0, 1), prune_size) != 0)) {
        ++round;
    }
    if (round == prune_rounds) {
        return pruned;
    }
    // Last, since to count tens of millions may take longer than a statement may.
    const auto there = static_cast<std::size_t>(keep_up({{count}})[0].int8(0, 0));
    auto too_many = there > keep.done_count ? there - keep.done_count : 0;
    for (; round < prune_rounds && too_many > 0; ++round) {
        const auto n = some(done, now[0].time(0, 2), std::min(too_many, prune_size));
        too_many = n > 0 ? too_many - std::min(n, too_many) : 0;
    }
    return pruned;
}

}  // namespace postlude::detail::postgres
