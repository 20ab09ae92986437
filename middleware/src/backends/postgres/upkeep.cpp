// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/postgres/store.hpp"

#include <algorithm>

namespace postlude::detail::postgres {

namespace {

/// Jobs a transaction, so that nothing else need wait long for it; and transactions a call.
constexpr std::size_t prune_size = 512;
constexpr std::size_t prune_rounds = 8;
constexpr std::chrono::seconds longest_age = std::chrono::hours(24 * 36525);

// What the end of a job that is retried was, is a note from then on.
constexpr const char* retry_job =
    "WITH old AS MATERIALIZED (SELECT * FROM @jobs WHERE job = $1::bigint FOR UPDATE),"
    " last AS (SELECT coalesce(max(n), 0) AS n FROM @runs WHERE job = $1::bigint),"
    " noted AS (INSERT INTO @runs(job, n, claimed_at, at, what, owner)"
    " SELECT o.job, l.n + 1, CASE WHEN o.state IN (3, 6) THEN o.claimed_at END, o.ended_at,"
    " CASE o.state WHEN 3 THEN 6 WHEN 6 THEN 7 WHEN 4 THEN 8 ELSE 9 END,"
    " CASE WHEN o.state IN (3, 6) THEN o.owner END FROM old o, last l WHERE o.state > 2"
    " UNION ALL SELECT o.job, l.n + 1 + (o.state > 2)::integer, NULL, now(), 5, NULL"
    " FROM old o, last l WHERE o.state <> 2),"
    " changed AS (UPDATE @jobs j SET state = 1, run_at = now(), failures = 0, crashes = 0,"
    " owner = NULL, claim = NULL, claimed_at = NULL, ended_at = NULL"
    " FROM old o WHERE j.job = o.job AND o.state <> 2)"
    " SELECT state <> 2 FROM old";

constexpr const char* cancel_job =
    "WITH old AS MATERIALIZED (SELECT * FROM @jobs WHERE job = $1::bigint FOR UPDATE),"
    " changed AS (UPDATE @jobs j SET state = 6, ended_at = now(), claim = NULL"
    " FROM old o WHERE j.job = o.job AND o.state < 3)"
    " SELECT state < 3 FROM old";

constexpr const char* erase_job =
    "WITH gone AS (DELETE FROM @jobs WHERE job = $1::bigint RETURNING job),"
    " untagged AS (DELETE FROM @job_tags t USING gone g WHERE t.job = g.job),"
    " unnoted AS (DELETE FROM @runs r USING gone g WHERE r.job = g.job)"
    " SELECT true FROM gone";

constexpr const char* prune_done =
    "WITH old AS MATERIALIZED (SELECT job FROM @jobs WHERE state = 3 AND ended_at <= "
    "$1::timestamptz"
    " ORDER BY ended_at LIMIT $2::bigint FOR UPDATE SKIP LOCKED),";
constexpr const char* prune_others =
    "WITH old AS MATERIALIZED (SELECT job FROM @jobs WHERE state > 3 AND ended_at <= "
    "$1::timestamptz"
    " ORDER BY ended_at LIMIT $2::bigint FOR UPDATE SKIP LOCKED),";
constexpr const char* prune_rest =
    " untagged AS (DELETE FROM @job_tags t USING old o WHERE t.job = o.job),"
    " unnoted AS (DELETE FROM @runs r USING old o WHERE r.job = o.job)"
    " DELETE FROM @jobs j USING old o WHERE j.job = o.job";

}  // namespace

std::vector<amended> store::amend(std::span<const job_id> ids, amendment what) {
    if (ids.empty()) {
        return {};
    }
    const auto* const text = what == amendment::retry    ? retry_job
                             : what == amendment::cancel ? cancel_job
                                                         : erase_job;
    const auto sql = s_->where.sql(text);
    // In the order of the ids, so that two of these do not wait for each other.
    std::vector<std::pair<std::int64_t, std::size_t>> order;
    order.reserve(ids.size());
    for (std::size_t i = 0; i < ids.size(); ++i) {
        order.emplace_back(static_cast<std::int64_t>(ids[i]), i);
    }
    std::ranges::sort(order);
    std::vector<command> commands;
    commands.reserve(order.size() + 1);
    for (const auto& [id, i] : order) {
        commands.push_back({sql, parameters().int8(id)});
    }
    commands.push_back(s_->writer.notify());
    std::vector<amended> result(ids.size(), amended::not_found);
    {
        const std::lock_guard lock(s_->keeping);
        const auto found = s_->kept.run(commands);
        for (std::size_t k = 0; k < order.size(); ++k) {
            if (found[k].size() > 0) {
                result[order[k].second] =
                    found[k].boolean(0, 0) ? amended::changed : amended::not_possible;
            }
        }
    }
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
    const auto count = where.sql("SELECT count(*) FROM @jobs WHERE state = 3");
    const auto times = "SELECT " + before(keep.done_age) + ", " + before(keep.dead_age) +
                       ", timestamptz '9999-12-31 00:00:00+00'";
    const auto now = keep_up({{count}, {times, {}, true}});
    const auto there = static_cast<std::size_t>(now[0].int8(0, 0));
    auto too_many = there > keep.done_count ? there - keep.done_count : 0;
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
    for (std::size_t round = 0; round < prune_rounds; ++round) {
        if (too_many > 0) {
            const auto n = some(done, now[1].time(0, 2), std::min(too_many, prune_size));
            too_many = n > 0 ? too_many - std::min(n, too_many) : 0;
        } else if (some(done, now[1].time(0, 0), prune_size) == 0 &&
                   some(others, now[1].time(0, 1), prune_size) == 0) {
            break;
        }
    }
    return pruned;
}

}  // namespace postlude::detail::postgres
