// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/postgres/claimer.hpp"

#include "backends/postgres/job_columns.hpp"

#include <algorithm>

namespace postlude::detail::postgres {

namespace {

/// Between a lane's number and the group it is put in, for the server.
std::string in_parentheses(std::initializer_list<std::int64_t> numbers) {
    std::string text;
    for (const auto n : numbers) {
        text.append(text.empty() ? "(" : ", ").append(std::to_string(n));
    }
    return text.append(")");
}

/// How long a job can be passed over that has come to stand before those that are being taken.
constexpr std::chrono::milliseconds longest_skip{100};

/// The first of a lane's ready jobs, in their order, read as they are needed.
std::string heads_of(std::int32_t lane, std::size_t order) {
    const auto number = std::to_string(lane);
    return "SELECT tid, run_at, job FROM (SELECT ctid AS tid, run_at, job FROM @ready"
           " WHERE NOT suspect AND lane = " +
           number + " AND run_at >= ($5::timestamptz[])[" + std::to_string(order + 1) +
           "] AND run_at <= now() ORDER BY run_at, job) lane_" + number;
}

}  // namespace

claimer::claimer(const place& where, lane_table& lanes, owner_table& owners,
                 const open_options& options)
    : where_(where),
      lanes_(lanes),
      owners_(owners),
      kinds_(options.kinds),
      groups_(options.groups),
      next_(where.sql("SELECT least((SELECT min(j.run_at) FROM unnest($1::integer[]) l(lane)"
                      " CROSS JOIN LATERAL (SELECT run_at FROM @ready WHERE NOT suspect"
                      " AND lane = l.lane ORDER BY run_at, job LIMIT 1) j),"
                      " (SELECT min(j.run_at) FROM unnest($1::integer[]) l(lane)"
                      " CROSS JOIN LATERAL (SELECT run_at FROM @ready WHERE $2::boolean"
                      " AND suspect AND lane = l.lane ORDER BY run_at, job LIMIT 1) j)),"
                      " clock_timestamp()")) {}

void claimer::find_sources() {
    if (version_ == lanes_.version()) {
        return;
    }
    version_ = lanes_.version();
    sources_.clear();
    for (auto& l : lanes_.all()) {
        const auto served = std::ranges::find(kinds_, l.kind, &served_kind::kind);
        if (served != kinds_.end()) {
            groups_ = std::max(groups_, served->group + 1);
            sources_.push_back({std::move(l), served->group});
        }
    }
    std::ranges::sort(sources_, {}, [](const source& s) {
        return std::tuple(s.group, s.of.priority, s.of.number);
    });
    std::size_t orders = 0;
    for (std::size_t i = 0; i < sources_.size(); ++i) {
        auto& s = sources_[i];
        const auto* const before = i == 0 ? nullptr : &sources_[i - 1];
        orders +=
            before && before->group == s.group && before->of.priority == s.of.priority ? 0 : 1;
        s.order = orders - 1;
    }
    begins_.assign(orders, {});
    take_ = sources_.empty() ? std::string() : where_.sql(take_sql());
}

const claimer::source* claimer::source_of(std::int32_t lane) const {
    const auto found =
        std::ranges::find(sources_, lane, [](const source& s) { return s.of.number; });
    return found == sources_.end() ? nullptr : &*found;
}

std::string claimer::lanes_as_values() const {
    std::string values;
    for (const auto& s : sources_) {
        values.append(values.empty() ? "" : ", ")
            .append(in_parentheses(
                {s.of.number, static_cast<std::int64_t>(s.group) + 1, s.of.priority}));
    }
    return values;
}

/// The jobs of lanes of one group and priority, in their order, each locked as it is taken: what
/// another process is taking is passed over. Rows that are locked come in no order that the planner
/// trusts, so they are merged first.
std::string claimer::merged(std::span<const source> lanes) {
    std::string heads;
    for (const auto& s : lanes) {
        heads.append(heads_of(s.of.number, s.order)).append(" UNION ALL ");
    }
    heads.append("SELECT tid, run_at, job FROM suspect WHERE grp = ")
        .append(std::to_string(lanes.front().group + 1))
        .append(" AND priority = ")
        .append(std::to_string(lanes.front().of.priority));
    return "(SELECT k.tid FROM (SELECT * FROM (" + heads +
           ") m ORDER BY run_at, job) h CROSS JOIN LATERAL (SELECT j.ctid AS tid FROM @ready j"
           " WHERE j.ctid = h.tid FOR UPDATE SKIP LOCKED) k)";
}

/// $1 this owner, $2 the claim, $3 the credits, $4 whether it may take a suspect, $5 where the
/// lanes of each group and priority begin. The one suspect is found first, and then stands in the
/// order among the others. An append runs its parts one after the other, so a lower priority is
/// looked at when credit is left.
std::string claimer::take_sql() const {
    std::string picked;
    for (auto group = sources_.begin(); group != sources_.end();) {
        const auto credit = "($3::bigint[])[" + std::to_string(group->group + 1) + "]";
        std::string parts;
        const auto end = std::find_if(group, sources_.end(),
                                      [&](const source& s) { return s.group != group->group; });
        for (auto begin = group; begin != end;) {
            const auto next = std::find_if(
                begin, end, [&](const source& s) { return s.of.priority != begin->of.priority; });
            parts.append(parts.empty() ? "" : " UNION ALL ").append(merged({begin, next}));
            begin = next;
        }
        picked.append(picked.empty() ? "" : " UNION ALL ")
            .append("(SELECT tid FROM (")
            .append(parts)
            .append(") g LIMIT ")
            .append(credit)
            .append(")");
        group = end;
    }
    return "WITH suspect AS MATERIALIZED (SELECT j.ctid AS tid, j.run_at, j.job, l.grp, l.priority"
           " FROM (VALUES " +
           lanes_as_values() +
           ") l(lane, grp, priority) JOIN @ready j ON j.lane = l.lane"
           " WHERE $4::boolean AND j.suspect AND j.run_at <= now()"
           " AND ($3::bigint[])[l.grp] > 0 ORDER BY l.priority, j.run_at, j.job LIMIT 1"
           " FOR UPDATE OF j SKIP LOCKED), picked AS MATERIALIZED (" +
           picked +
           "), moved AS (DELETE FROM @ready r USING picked p WHERE r.ctid = p.tid"
           " RETURNING r.job, r.lane, r.run_at), taken AS (INSERT INTO @claimed(job, claim,"
           " claimed_at, owner, lane) SELECT job, $2::bigint, now(), $1::integer, lane FROM moved)"
           " SELECT m.job, m.lane, m.run_at, j.failures, j.crashes, j.request_id, j.tags,"
           " j.arguments FROM moved m CROSS JOIN LATERAL (SELECT * FROM @jobs WHERE job = m.job"
           " OFFSET 0) j";
}

array claimer::credits_of(const allowance& may) const {
    auto credits = array::of_int8();
    for (std::size_t i = 0; i < groups_; ++i) {
        const auto n = i < may.credits.size() ? may.credits[i] : 0;
        credits.add(static_cast<std::int64_t>(std::min<std::size_t>(n, INT32_MAX)));
    }
    return credits;
}

std::vector<claimed_job> claimer::take(connection& db, const allowance& may, std::int64_t claim) {
    if (std::ranges::all_of(may.credits, [](auto n) { return n == 0; })) {
        return {};
    }
    for (;;) {
        db.connect();
        find_sources();
        std::vector<command> commands;
        if (!sources_.empty()) {
            if (auto lease = owners_.hold()) {
                commands.push_back(std::move(*lease));
            }
            parameters values;
            values.int4(owners_.self()).int8(claim).list(credits_of(may)).boolean(may.a_suspect);
            commands.push_back({take_, std::move(values.list(begins()))});
        }
        commands.push_back(lanes_.others());
        const auto found = db.run(commands);
        lanes_.learn(found.back());
        if (!sources_.empty()) {
            const auto skipped =
                std::ranges::any_of(begins_, [](auto t) { return t != store_time(); });
            auto last = begins_;
            auto jobs = read(found[found.size() - 2], claim, last);
            std::size_t most = 0;
            for (const auto n : may.credits) {
                most += std::min<std::size_t>(n, INT32_MAX);
            }
            begin_behind(last, jobs.size() >= most);
            if (!jobs.empty()) {
                return jobs;
            }
            if (skipped) {
                continue;
            }
        }
        if (version_ == lanes_.version()) {
            return {};
        }
    }
}

array claimer::begins() {
    const auto now = std::chrono::steady_clock::now();
    if (from_the_start_.exchange(false) || now - began_at_start_ >= longest_skip) {
        begins_.assign(begins_.size(), {});
        began_at_start_ = now;
    }
    auto all = array::of_time();
    for (const auto t : begins_) {
        all.add(t);
    }
    return all;
}

void claimer::begin_behind(const std::vector<store_time>& last, bool full) {
    begins_ = last;
    if (!full) {
        from_the_start_ = true;
    }
}

std::vector<claimed_job> claimer::read(const rows& found, std::int64_t claim,
                                       std::vector<store_time>& last) const {
    struct taken {
        const source* from;
        store_time run_at;
        claimed_job job;
    };
    std::vector<taken> all;
    all.reserve(static_cast<std::size_t>(found.size()));
    for (int i = 0; i < found.size(); ++i) {
        auto& one = all.emplace_back(taken{source_of(found.int4(i, 1)), found.time(i, 2), {}});
        auto& job = one.job.job;
        job.id = static_cast<job_id>(found.int8(i, 0));
        job.kind = one.from->of.kind;
        job.queue = one.from->of.queue;
        job.priority = one.from->of.priority;
        job.failures = static_cast<unsigned>(found.int4(i, 3));
        job.crashes = static_cast<unsigned>(found.int4(i, 4));
        job.request_id = found.text(i, 5);
        job.tags = read_tags(found.text(i, 6));
        job.arguments = found.text(i, 7);
        if (job.crashes == 0) {  // a suspect stands elsewhere
            auto& end = last[one.from->order];
            end = std::max(end, one.run_at);
        }
        one.job.held = {job.id, static_cast<std::uint64_t>(claim)};
    }
    std::ranges::sort(all, {}, [](const taken& t) {
        return std::tuple(t.from->group, t.from->of.priority, t.run_at, t.job.job.id);
    });
    std::vector<claimed_job> jobs;
    jobs.reserve(all.size());
    for (auto& one : all) {
        jobs.push_back(std::move(one.job));
    }
    return jobs;
}

std::optional<std::chrono::microseconds> claimer::until_next(connection& db, const allowance& may) {
    auto lanes = array::of_int4();
    for (const auto& s : sources_) {
        if (s.group < may.credits.size() && may.credits[s.group] > 0) {
            lanes.add(s.of.number);
        }
    }
    const auto found = db.run(next_, parameters().list(std::move(lanes)).boolean(may.a_suspect));
    if (found.is_null(0, 0)) {
        return std::nullopt;
    }
    return found.time(0, 0) - found.time(0, 1);
}

}  // namespace postlude::detail::postgres
