// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/sqlite/store.hpp"

#include <algorithm>

namespace postlude::detail::sqlite {

namespace {

using stats_table = std::map<std::pair<std::string, std::string>, queue_stats>;

queue_stats& entry(stats_table& table, const statement& row) {
    auto& found = table[{std::string(row.text(0)), std::string(row.text(1))}];
    found.queue = row.text(0);
    found.kind = row.text(1);
    return found;
}

void count_ready(connection& db, store_time time, stats_table& table) {
    statement query(db,
                    "SELECT l.queue, l.kind, r.due, r.later, r.oldest FROM (SELECT lane,"
                    " sum(run_at <= ?1) AS due, sum(run_at > ?1) AS later, min(run_at) AS oldest"
                    " FROM ready GROUP BY lane) r JOIN lanes l ON l.lane = r.lane");
    query.bind(time);
    while (query.step()) {
        auto& e = entry(table, query);
        const auto due = query.integer<std::size_t>(2);
        e.ready += due;
        e.scheduled += query.integer<std::size_t>(3);
        if (due > 0) {
            const auto age =
                std::chrono::duration_cast<std::chrono::milliseconds>(time - query.time(4));
            e.oldest_ready = std::max(age, e.oldest_ready.value_or(age));
        }
    }
}

void count(connection& db, const char* sql, std::size_t queue_stats::* which, stats_table& table) {
    statement query(db, sql);
    while (query.step()) {
        entry(table, query).*which += query.integer<std::size_t>(2);
    }
}

/// What a question asks for beside one of the lists that lead to few jobs.
class conditions {
public:
    void add(std::string_view condition) {
        sql_.append(sql_.empty() ? " WHERE " : " AND ").append(condition);
    }
    const std::string& sql() const noexcept { return sql_; }

private:
    std::string sql_;
};

std::string find_sql(const job_query& q) {
    std::string sql =
        "SELECT j.job, l.kind, l.queue, l.priority, j.arguments, j.request_id, j.tags, j.failures,"
        " j.crashes, coalesce(e.state, CASE WHEN c.job IS NULL THEN 1 ELSE 2 END), j.created,"
        " j.run_at, coalesce(c.at, e.claimed_at), e.at, coalesce(c.owner, e.owner), j.reason"
        " FROM jobs j JOIN lanes l ON l.lane = j.lane LEFT JOIN claimed c ON c.job = j.job"
        " LEFT JOIN ended e ON e.job = j.job";
    conditions where;
    if (!q.ids.empty()) {
        where.add("j.job IN (SELECT value FROM json_each(?1))");
    }
    if (!q.tag.empty()) {
        where.add("j.job IN (SELECT job FROM job_tags WHERE tag = ?2)");
    }
    if (!q.request_id.empty()) {
        where.add("j.request_id = ?3");
    }
    if (!q.kind.empty()) {
        where.add("l.kind = ?4");
    }
    if (!q.queue.empty()) {
        where.add("l.queue = ?5");
    }
    if (q.state == job_state::ready) {
        where.add("c.job IS NULL AND e.job IS NULL");
    } else if (q.state == job_state::claimed) {
        where.add("j.job IN (SELECT job FROM claimed)");
    } else if (q.state) {
        where.add("j.job IN (SELECT job FROM ended WHERE state = ?6)");
    }
    return sql.append(where.sql()).append(" ORDER BY j.job LIMIT ?7");
}

/// A JSON array, so that one statement takes any number of them.
std::string list_of(const std::vector<job_id>& ids) {
    std::string list = "[";
    for (const auto id : ids) {
        list.append(list.size() > 1 ? "," : "").append(std::to_string(id));
    }
    return list.append("]");
}

job_view read_view(const statement& row) {
    job_view v;
    v.job.id = row.integer<job_id>(0);
    v.job.kind = row.text(1);
    v.job.queue = row.text(2);
    v.job.priority = row.integer<std::uint8_t>(3);
    v.job.arguments = row.text(4);
    v.job.request_id = row.text(5);
    v.job.tags = read_tags(row.text(6));
    v.job.failures = row.integer<unsigned>(7);
    v.job.crashes = row.integer<unsigned>(8);
    v.state = row.integer<job_state>(9);
    v.created = row.time(10);
    v.run_at = row.time(11);
    v.claimed = row.optional_time(12);
    v.ended = row.optional_time(13);
    v.owner = row.integer<std::uint32_t>(14);
    v.reason = row.text(15);
    return v;
}

}  // namespace

std::vector<queue_stats> store::stats() {
    const std::lock_guard lock(s_->read);
    stats_table table;
    count_ready(s_->reader, now(), table);
    count(s_->reader,
          "SELECT l.queue, l.kind, count(*) FROM claimed c JOIN jobs j ON j.job = c.job"
          " JOIN lanes l ON l.lane = j.lane GROUP BY 1, 2",
          &queue_stats::claimed, table);
    count(s_->reader,
          "SELECT l.queue, l.kind, count(*) FROM ended e JOIN jobs j ON j.job = e.job"
          " JOIN lanes l ON l.lane = j.lane WHERE e.state IN (4, 5) GROUP BY 1, 2",
          &queue_stats::dead, table);
    std::vector<queue_stats> result;
    for (auto& [name, entry] : table) {
        result.push_back(std::move(entry));
    }
    return result;
}

std::vector<job_view> store::find(const job_query& query) {
    const std::lock_guard lock(s_->read);
    const auto sql = find_sql(query);
    const auto ids = list_of(query.ids);
    statement rows(s_->reader, sql.c_str());
    rows.bind(ids, query.tag, query.request_id, query.kind, query.queue,
              query.state.value_or(job_state{}), std::min<std::size_t>(query.limit, INT64_MAX));
    std::vector<job_view> found;
    while (rows.step()) {
        found.push_back(read_view(rows));
    }
    return found;
}

std::vector<job_event> store::history(job_id id) {
    const std::lock_guard lock(s_->read);
    statement rows(s_->reader,
                   "SELECT moment, what, attempt, owner, reason FROM job_steps WHERE job = ?"
                   " ORDER BY step");
    rows.bind(id);
    std::vector<job_event> steps;
    while (rows.step()) {
        steps.push_back({rows.time(0), std::string(rows.text(1)), rows.integer<unsigned>(2),
                         rows.integer<std::uint32_t>(3), std::string(rows.text(4))});
    }
    return steps;
}

}  // namespace postlude::detail::sqlite
