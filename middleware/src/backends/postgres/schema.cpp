// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/postgres/schema.hpp"

#include <optional>

namespace postlude::detail::postgres {

namespace {

// What a job is stays as it is; its state is which of three short rows it has: in `ready`,
// `claimed` or `ended`. To claim and to finish it moves that, and touches no index of the job
// itself.
constexpr const char* version_1 = R"(
CREATE TABLE @meta(
    name text PRIMARY KEY,
    value bigint NOT NULL);
CREATE SEQUENCE @owner_numbers AS integer MAXVALUE 8388607;
CREATE SEQUENCE @outside_jobs MAXVALUE 1099511627775;

CREATE TABLE @owners(
    owner integer PRIMARY KEY,
    lease_until timestamptz NOT NULL,
    spares boolean,
    locked_at timestamptz,
    server timestamptz,
    since timestamptz NOT NULL DEFAULT clock_timestamp(),
    process text) WITH (fillfactor = 50);

CREATE TABLE @lanes(
    lane integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL,
    queue text NOT NULL,
    priority smallint NOT NULL,
    UNIQUE(kind, queue, priority));

CREATE TABLE @jobs(
    job bigint PRIMARY KEY,
    created timestamptz NOT NULL,
    run_at timestamptz NOT NULL,
    lane integer NOT NULL,
    failures integer NOT NULL,
    crashes integer NOT NULL,
    request_id text,
    tags text,
    reason text,
    arguments text NOT NULL)
WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 10000,
    autovacuum_vacuum_insert_threshold = -1, autovacuum_analyze_scale_factor = 0.2,
    autovacuum_vacuum_cost_delay = 2, autovacuum_vacuum_cost_limit = 2000);

CREATE TABLE @ready(
    lane integer,
    suspect boolean,
    run_at timestamptz,
    job bigint,
    PRIMARY KEY(lane, suspect, run_at, job))
WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 10000,
    autovacuum_vacuum_insert_threshold = -1, autovacuum_analyze_scale_factor = 0.2,
    autovacuum_vacuum_cost_delay = 2, autovacuum_vacuum_cost_limit = 2000);

CREATE TABLE @claimed(
    job bigint PRIMARY KEY,
    claim bigint NOT NULL,
    claimed_at timestamptz NOT NULL,
    owner integer NOT NULL,
    lane integer NOT NULL)
WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 10000,
    autovacuum_vacuum_insert_threshold = -1, autovacuum_analyze_scale_factor = 0.2,
    autovacuum_vacuum_cost_delay = 2, autovacuum_vacuum_cost_limit = 2000);
CREATE INDEX claimed_owner ON @claimed(owner, job);

CREATE TABLE @ended(
    job bigint PRIMARY KEY,
    ended_at timestamptz NOT NULL,
    claimed_at timestamptz,
    owner integer,
    state smallint NOT NULL)
WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 10000,
    autovacuum_vacuum_insert_threshold = -1, autovacuum_analyze_scale_factor = 0.2,
    autovacuum_vacuum_cost_delay = 2, autovacuum_vacuum_cost_limit = 2000);
CREATE INDEX ended_done ON @ended(ended_at) WHERE state = 3;
CREATE INDEX ended_others ON @ended(ended_at) WHERE state > 3;

CREATE TABLE @runs(
    job bigint NOT NULL,
    n integer NOT NULL,
    claimed_at timestamptz,
    at timestamptz NOT NULL,
    what smallint NOT NULL,
    owner integer,
    reason text,
    PRIMARY KEY(job, n));

CREATE TABLE @job_tags(
    job bigint NOT NULL,
    tag text NOT NULL,
    PRIMARY KEY(job, tag));
CREATE INDEX job_tags_tag ON @job_tags(tag, job);

CREATE VIEW @job_rows AS
SELECT j.job, j.lane, CASE WHEN e.job IS NOT NULL THEN e.state WHEN c.job IS NOT NULL THEN 2 ELSE 1
    END AS state,
    j.created, j.run_at, coalesce(c.claimed_at, e.claimed_at) AS claimed_at, e.ended_at,
    coalesce(c.owner, e.owner) AS owner, j.failures, j.crashes, j.request_id, j.tags, j.reason,
    j.arguments
FROM @jobs j LEFT JOIN @claimed c ON c.job = j.job LEFT JOIN @ended e ON e.job = j.job;

CREATE VIEW @job_list AS
SELECT j.job, l.kind, l.queue, l.priority,
    CASE j.state WHEN 1 THEN 'ready' WHEN 2 THEN 'claimed' WHEN 3 THEN 'done' WHEN 4 THEN 'dead'
        WHEN 5 THEN 'quarantined' WHEN 6 THEN 'cancelled' END AS state,
    j.created, j.run_at, j.claimed_at, j.ended_at, j.owner, j.failures, j.crashes, j.request_id,
    j.tags, j.reason, j.arguments
FROM @job_rows j JOIN @lanes l ON l.lane = j.lane;

CREATE VIEW @job_steps AS
SELECT job, 0 AS step, created AS moment, 'enqueued' AS what, 0::bigint AS attempt,
    NULL::integer AS owner, NULL AS reason
FROM @jobs
UNION ALL
SELECT r.job, 2 * r.n - 1, r.claimed_at, 'claimed',
    (SELECT count(p.claimed_at) FROM @runs p WHERE p.job = r.job AND p.n <= r.n), r.owner, NULL
FROM @runs r WHERE r.claimed_at IS NOT NULL
UNION ALL
SELECT r.job, 2 * r.n, r.at,
    CASE r.what WHEN 1 THEN 'failed' WHEN 2 THEN 'given back' WHEN 3 THEN 'crashed'
        WHEN 4 THEN 'lease ended' WHEN 5 THEN 'retried by hand' WHEN 6 THEN 'done'
        WHEN 7 THEN 'cancelled' WHEN 8 THEN 'dead' WHEN 9 THEN 'quarantined' END,
    (SELECT count(p.claimed_at) FROM @runs p WHERE p.job = r.job AND p.n <= r.n), r.owner, r.reason
FROM @runs r
UNION ALL
SELECT j.job, 1 + 2 * (SELECT coalesce(max(p.n), 0) FROM @runs p WHERE p.job = j.job),
    j.claimed_at, 'claimed',
    1 + (SELECT count(p.claimed_at) FROM @runs p WHERE p.job = j.job), j.owner, NULL
FROM @job_rows j WHERE j.state IN (2, 3, 6) AND j.claimed_at IS NOT NULL
UNION ALL
SELECT j.job, 2 + 2 * (SELECT coalesce(max(p.n), 0) FROM @runs p WHERE p.job = j.job), j.ended_at,
    CASE j.state WHEN 3 THEN 'done' WHEN 4 THEN 'dead' WHEN 5 THEN 'quarantined'
        WHEN 6 THEN 'cancelled' END,
    (SELECT count(p.claimed_at) FROM @runs p WHERE p.job = j.job)
        + (j.state IN (3, 6) AND j.claimed_at IS NOT NULL)::integer,
    j.owner, NULL
FROM @job_rows j WHERE j.state > 2;

CREATE VIEW @job_history AS
SELECT j.job, l.kind, l.queue, j.request_id, j.tags, s.moment AS at, s.what, s.attempt, s.owner,
    s.reason, s.step
FROM @job_rows j JOIN @lanes l ON l.lane = j.lane JOIN @job_steps s ON s.job = j.job;
)";

constexpr migration all_migrations[] = {{1, 1, version_1}};

std::vector<std::string> statements_of(const std::string& script) {
    std::vector<std::string> result;
    std::size_t begin = 0;
    for (auto end = script.find(";\n"); end != script.npos; end = script.find(";\n", begin)) {
        result.push_back(script.substr(begin, end - begin));
        begin = end + 2;
    }
    return result;
}

struct standing {
    bool schema = false;
    bool others = false;  ///< there is something in it that is not Postlude's
    std::optional<std::int64_t> version;
    std::int64_t min_reader = 0;
};

standing look_at(connection& db, const place& where) {
    const auto found = db.run(
        "SELECT to_regnamespace($1::text) IS NOT NULL, to_regclass($1::text || '.meta') IS NOT "
        "NULL AND to_regclass($1::text || '.owner_numbers') IS NOT NULL, EXISTS(SELECT FROM "
        "pg_catalog.pg_class WHERE relnamespace = to_regnamespace($1::text))",
        parameters().text(where.schema));
    standing result{found.boolean(0, 0), found.boolean(0, 2), {}, 0};
    if (found.boolean(0, 1)) {
        const auto meta =
            db.run(where.sql("SELECT (SELECT value FROM @meta WHERE name = 'version'),"
                             " (SELECT value FROM @meta WHERE name = 'min_reader')"));
        result.version = meta.int8(0, 0);
        result.min_reader = meta.int8(0, 1);
    }
    return result;
}

/// Whether there is anything to do.
bool check_standing(const standing& now, const place& where, int ours) {
    if (!now.version) {
        if (now.others) {
            where.fail(errc::bad_store, "its schema " + where.schema +
                                            " is another application's; give Postlude's jobs a "
                                            "schema of their own (postgres_options::schema)");
        }
        return true;
    }
    if (*now.version > ours && now.min_reader > ours) {
        where.fail(errc::bad_store,
                   "a newer Postlude has brought it to version " + std::to_string(*now.version) +
                       ", which needs a program that knows version " +
                       std::to_string(now.min_reader) + " or later; this one knows " +
                       std::to_string(ours) + ": use the newer one");
    }
    return *now.version < ours;
}

}  // namespace

std::span<const migration> migrations() noexcept { return all_migrations; }

void bring_up_to_date(connection& db, const place& where, std::span<const migration> steps) {
    // Whoever comes second waits here, and finds it done.
    static const std::string lock =
        "SELECT pg_advisory_xact_lock(hashtextextended($1, 1886351988))";
    for (int tries = 0;; ++tries) {
        const auto now = look_at(db, where);
        if (!check_standing(now, where, steps.back().version)) {
            return;
        }
        std::vector<std::string> statements;
        if (!now.schema) {
            statements.push_back("CREATE SCHEMA " + where.schema);
        }
        for (const auto& step : steps) {
            if (step.version > now.version.value_or(0)) {
                for (auto& one : statements_of(where.sql(step.sql))) {
                    statements.push_back(std::move(one));
                }
                statements.push_back(where.sql("INSERT INTO @meta VALUES('version', ") +
                                     std::to_string(step.version) + "), ('min_reader', " +
                                     std::to_string(step.min_reader) +
                                     ") ON CONFLICT (name) DO UPDATE SET value = excluded.value");
            }
        }
        std::vector<command> commands{{lock, parameters().text(where.schema), true}};
        for (const auto& one : statements) {
            commands.push_back({one, {}, true});
        }
        try {
            db.run(commands);
        } catch (const refused& e) {
            // Another process was quicker: its schema, its table, or its row is there.
            const auto& s = e.state();
            if (tries > 3 || (s != "42P06" && s != "42P07" && s != "23505" && s != "42701")) {
                throw;
            }
        }
    }
}

}  // namespace postlude::detail::postgres
