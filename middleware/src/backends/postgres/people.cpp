// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/postgres/store.hpp"

#include <algorithm>

namespace postlude::detail::postgres {

namespace {

/// A question with what must hold, and the values of that.
class question {
public:
    explicit question(std::string_view begin) : sql_(begin) {}

    /// A condition in which ? stands for the value that was added last.
    void where(std::string_view condition) {
        sql_.append(any_ ? " AND " : " WHERE ");
        any_ = true;
        for (const auto c : condition) {
            c == '?' ? sql_.append("$").append(std::to_string(values.count())) : sql_.append(1, c);
        }
    }
    void end(std::string_view rest) { sql_.append(rest); }
    const std::string& sql() const noexcept { return sql_; }

    parameters values;

private:
    std::string sql_;
    bool any_ = false;
};

question make_question(const job_query& q) {
    question asked(
        "SELECT j.job, l.kind, l.queue, l.priority, j.arguments, j.request_id, j.tags, j.failures,"
        " j.crashes, CASE WHEN e.job IS NOT NULL THEN e.state WHEN c.job IS NOT NULL THEN 2 ELSE 1"
        " END::smallint, j.created, j.run_at, coalesce(c.claimed_at, e.claimed_at), e.ended_at,"
        " coalesce(c.owner, e.owner), j.reason FROM @jobs j JOIN @lanes l ON l.lane = j.lane"
        " LEFT JOIN @claimed c ON c.job = j.job LEFT JOIN @ended e ON e.job = j.job");
    if (!q.ids.empty()) {
        auto ids = array::of_int8();
        for (const auto id : q.ids) {
            ids.add(static_cast<std::int64_t>(id));
        }
        asked.values.list(std::move(ids));
        asked.where("j.job = ANY(?::bigint[])");
    }
    const auto text = [&](const std::string& value, const char* condition) {
        if (!value.empty()) {
            asked.values.text(storable(value));
            asked.where(condition);
        }
    };
    text(q.tag, "j.job IN (SELECT job FROM @job_tags WHERE tag = ?::text)");
    text(q.request_id, "j.request_id = ?::text");
    text(q.kind, "l.kind = ?::text");
    text(q.queue, "l.queue = ?::text");
    if (q.state) {
        // As the tables and their indexes have it.
        const auto state = std::to_string(static_cast<int>(*q.state));
        asked.where(*q.state == job_state::ready
                        ? "EXISTS (SELECT FROM @ready r WHERE r.lane = j.lane"
                          " AND r.suspect = (j.crashes > 0) AND r.run_at = j.run_at"
                          " AND r.job = j.job)"
                    : *q.state == job_state::claimed ? std::string("c.job IS NOT NULL")
                    : *q.state == job_state::done    ? std::string("e.state = 3")
                                                     : "e.state > 3 AND e.state = " + state);
    }
    asked.end(" ORDER BY j.job LIMIT " + std::to_string(std::min<std::size_t>(q.limit, INT64_MAX)));
    return asked;
}

job_view read_view(const rows& row, int i) {
    job_view v;
    v.job.id = static_cast<job_id>(row.int8(i, 0));
    v.job.kind = row.text(i, 1);
    v.job.queue = row.text(i, 2);
    v.job.priority = static_cast<std::uint8_t>(row.int2(i, 3));
    v.job.arguments = row.text(i, 4);
    v.job.request_id = row.text(i, 5);
    v.job.tags = read_tags(row.text(i, 6));
    v.job.failures = static_cast<unsigned>(row.int4(i, 7));
    v.job.crashes = static_cast<unsigned>(row.int4(i, 8));
    v.state = static_cast<job_state>(row.int2(i, 9));
    v.created = row.time(i, 10);
    v.run_at = row.time(i, 11);
    v.claimed = row.optional_time(i, 12);
    v.ended = row.optional_time(i, 13);
    v.owner = static_cast<std::uint32_t>(row.int4(i, 14));
    v.reason = row.text(i, 15);
    return v;
}

}  // namespace

std::vector<queue_stats> store::stats() {
    const std::lock_guard lock(s_->asking);
    const auto sql = s_->where.sql(
        "SELECT l.queue, l.kind, coalesce(sum(r.due), 0)::bigint, coalesce(sum(r.later), "
        "0)::bigint,"
        " coalesce(sum(c.n), 0)::bigint, coalesce(sum(d.n), 0)::bigint,"
        " (extract(epoch FROM now() - min(r.oldest)) * 1000)::bigint FROM @lanes l"
        " LEFT JOIN (SELECT lane, count(*) FILTER (WHERE run_at <= now()) AS due,"
        " count(*) FILTER (WHERE run_at > now()) AS later,"
        " min(run_at) FILTER (WHERE run_at <= now()) AS oldest FROM @ready GROUP BY lane) r"
        " ON r.lane = l.lane"
        " LEFT JOIN (SELECT lane, count(*) AS n FROM @claimed GROUP BY lane) c ON c.lane = l.lane"
        " LEFT JOIN (SELECT j.lane, count(*) AS n FROM @ended e JOIN @jobs j ON j.job = e.job"
        " WHERE e.state > 3 AND e.state IN (4, 5) GROUP BY j.lane) d ON d.lane = l.lane"
        " WHERE r.lane IS NOT NULL OR c.lane IS NOT NULL OR d.lane IS NOT NULL"
        " GROUP BY l.queue, l.kind ORDER BY l.queue, l.kind");
    const auto found = s_->asked.run(sql);
    std::vector<queue_stats> result;
    for (int i = 0; i < found.size(); ++i) {
        const auto number = [&](int column) {
            return static_cast<std::size_t>(found.int8(i, column));
        };
        auto& one = result.emplace_back();
        one.queue = found.text(i, 0);
        one.kind = found.text(i, 1);
        one.ready = number(2);
        one.scheduled = number(3);
        one.claimed = number(4);
        one.dead = number(5);
        if (!found.is_null(i, 6)) {
            one.oldest_ready = std::chrono::milliseconds(found.int8(i, 6));
        }
    }
    return result;
}

std::vector<job_view> store::find(const job_query& query) {
    const std::lock_guard lock(s_->asking);
    auto asked = make_question(query);
    const auto sql = s_->where.sql(asked.sql());
    const auto found = s_->asked.run({command{sql, std::move(asked.values), true}});
    std::vector<job_view> views;
    views.reserve(static_cast<std::size_t>(found[0].size()));
    for (int i = 0; i < found[0].size(); ++i) {
        views.push_back(read_view(found[0], i));
    }
    return views;
}

std::vector<job_event> store::history(job_id id) {
    const std::lock_guard lock(s_->asking);
    const auto sql = s_->where.sql(
        "SELECT moment, what, attempt, owner, reason FROM @job_steps WHERE job = $1::bigint"
        " ORDER BY step");
    const auto found = s_->asked.run(sql, parameters().int8(static_cast<std::int64_t>(id)));
    std::vector<job_event> steps;
    steps.reserve(static_cast<std::size_t>(found.size()));
    for (int i = 0; i < found.size(); ++i) {
        steps.push_back({found.time(i, 0), std::string(found.text(i, 1)),
                         static_cast<unsigned>(found.int8(i, 2)),
                         static_cast<std::uint32_t>(found.int4(i, 3)),
                         std::string(found.text(i, 4))});
    }
    return steps;
}

}  // namespace postlude::detail::postgres
