// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/sqlite/schema.hpp"

#include "backends/sqlite/failure.hpp"

#include <string>

namespace postlude::detail::sqlite {

namespace {

// Where a job stands follows from which of `ready`, `claimed` and `ended` it is in: exactly one.
// A job's own row, which holds its arguments, is written once and again only when a run fails: to
// claim and to finish a job moves some 20 bytes, and not the whole row into the log each time.
constexpr const char* version_1 = R"(
CREATE TABLE meta(
    name TEXT NOT NULL PRIMARY KEY,
    value ANY) WITHOUT ROWID;
INSERT INTO meta VALUES('next_owner', 1);

CREATE TABLE owners(
    owner INTEGER PRIMARY KEY,
    lease_until INTEGER NOT NULL,
    lost INTEGER NOT NULL DEFAULT 0,
    spares INTEGER);

CREATE TABLE lanes(
    lane INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    queue TEXT NOT NULL,
    priority INTEGER NOT NULL,
    UNIQUE(kind, queue, priority));

CREATE TABLE jobs(
    job INTEGER PRIMARY KEY,
    lane INTEGER NOT NULL,
    created INTEGER NOT NULL,
    run_at INTEGER NOT NULL,
    failures INTEGER NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0,
    request_id TEXT,
    tags TEXT,
    reason TEXT,
    arguments TEXT NOT NULL);

CREATE TABLE ready(
    lane INTEGER NOT NULL,
    suspect INTEGER NOT NULL,
    run_at INTEGER NOT NULL,
    job INTEGER NOT NULL,
    PRIMARY KEY(lane, suspect, run_at, job)) WITHOUT ROWID;

CREATE TABLE claimed(
    job INTEGER PRIMARY KEY,
    owner INTEGER NOT NULL,
    claim INTEGER NOT NULL,
    at INTEGER NOT NULL);

CREATE TABLE ended(
    job INTEGER PRIMARY KEY,
    state INTEGER NOT NULL,
    at INTEGER NOT NULL,
    owner INTEGER,
    claimed_at INTEGER);
CREATE INDEX ended_by_time ON ended(state, at);

CREATE TABLE runs(
    job INTEGER NOT NULL,
    n INTEGER NOT NULL,
    claimed_at INTEGER,
    at INTEGER NOT NULL,
    what INTEGER NOT NULL,
    owner INTEGER,
    reason TEXT,
    PRIMARY KEY(job, n)) WITHOUT ROWID;

CREATE TABLE job_tags(
    tag TEXT NOT NULL,
    job INTEGER NOT NULL,
    PRIMARY KEY(tag, job)) WITHOUT ROWID;

CREATE VIEW job_list AS
SELECT j.job, l.kind, l.queue, l.priority,
    CASE coalesce(e.state, CASE WHEN c.job IS NULL THEN 1 ELSE 2 END)
        WHEN 1 THEN 'ready' WHEN 2 THEN 'claimed' WHEN 3 THEN 'done' WHEN 4 THEN 'dead'
        WHEN 5 THEN 'quarantined' WHEN 6 THEN 'cancelled' END AS state,
    strftime('%Y-%m-%dT%H:%M:%fZ', j.created / 1e6, 'unixepoch') AS created,
    strftime('%Y-%m-%dT%H:%M:%fZ', j.run_at / 1e6, 'unixepoch') AS run_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', coalesce(c.at, e.claimed_at) / 1e6, 'unixepoch') AS claimed,
    strftime('%Y-%m-%dT%H:%M:%fZ', e.at / 1e6, 'unixepoch') AS ended,
    coalesce(c.owner, e.owner) AS owner,
    j.failures, j.crashes, j.request_id, j.tags, j.reason, j.arguments
FROM jobs j JOIN lanes l ON l.lane = j.lane
LEFT JOIN claimed c ON c.job = j.job
LEFT JOIN ended e ON e.job = j.job;

CREATE VIEW job_steps AS
SELECT job, 0 AS step, created AS moment, 'enqueued' AS what, 0 AS attempt, NULL AS owner,
    NULL AS reason FROM jobs
UNION ALL
SELECT r.job, 2 * r.n - 1, r.claimed_at, 'claimed',
    (SELECT count(p.claimed_at) FROM runs p WHERE p.job = r.job AND p.n <= r.n), r.owner, NULL
FROM runs r WHERE r.claimed_at IS NOT NULL
UNION ALL
SELECT r.job, 2 * r.n, r.at,
    CASE r.what WHEN 1 THEN 'failed' WHEN 2 THEN 'given back' WHEN 3 THEN 'crashed'
        WHEN 4 THEN 'lease ended' WHEN 5 THEN 'retried by hand' WHEN 6 THEN 'done'
        WHEN 7 THEN 'cancelled' WHEN 8 THEN 'dead' WHEN 9 THEN 'quarantined' END,
    (SELECT count(p.claimed_at) FROM runs p WHERE p.job = r.job AND p.n <= r.n), r.owner, r.reason
FROM runs r
UNION ALL
SELECT c.job, 1 + 2 * (SELECT coalesce(max(p.n), 0) FROM runs p WHERE p.job = c.job), c.at,
    'claimed', 1 + (SELECT count(p.claimed_at) FROM runs p WHERE p.job = c.job), c.owner, NULL
FROM claimed c
UNION ALL
SELECT e.job, 1 + 2 * (SELECT coalesce(max(p.n), 0) FROM runs p WHERE p.job = e.job), e.claimed_at,
    'claimed', 1 + (SELECT count(p.claimed_at) FROM runs p WHERE p.job = e.job), e.owner, NULL
FROM ended e WHERE e.state IN (3, 6) AND e.claimed_at IS NOT NULL
UNION ALL
SELECT e.job, 2 + 2 * (SELECT coalesce(max(p.n), 0) FROM runs p WHERE p.job = e.job), e.at,
    CASE e.state WHEN 3 THEN 'done' WHEN 4 THEN 'dead' WHEN 5 THEN 'quarantined'
        WHEN 6 THEN 'cancelled' END,
    (SELECT count(p.claimed_at) FROM runs p WHERE p.job = e.job)
        + (e.state IN (3, 6) AND e.claimed_at IS NOT NULL),
    e.owner, NULL
FROM ended e;

CREATE VIEW job_history AS
SELECT j.job, l.kind, l.queue, j.request_id, j.tags,
    strftime('%Y-%m-%dT%H:%M:%fZ', s.moment / 1e6, 'unixepoch') AS at,
    s.what, s.attempt, s.owner, s.reason, s.step
FROM jobs j JOIN lanes l ON l.lane = j.lane JOIN job_steps s ON s.job = j.job;
)";

constexpr migration all[] = {{1, 1, version_1}};

[[noreturn]] void refuse(const connection& db, const std::string& why) {
    fail(errc::bad_store, db.file(), why);
}

bool is_empty(connection& db) { return db.integer("SELECT count(*) FROM sqlite_schema") == 0; }

}  // namespace

std::span<const migration> migrations() noexcept { return all; }

void check_identity(connection& db, std::span<const migration> known) {
    const auto ours = known.back().version;
    const auto id = db.integer("PRAGMA application_id");
    if (id != application_id && (id != 0 || !is_empty(db))) {
        refuse(db,
               "it is the database of another application; name a file of its own for Postlude's "
               "jobs");
    }
    const auto version = db.integer("PRAGMA user_version");
    if (version <= ours) {
        return;
    }
    const auto oldest = db.integer("SELECT value FROM meta WHERE name = 'min_reader'");
    if (oldest > ours) {
        refuse(db, std::string("a newer Postlude has brought it to version ")
                       .append(std::to_string(version))
                       .append(", which needs a program that knows version ")
                       .append(std::to_string(oldest))
                       .append(" or later; this one knows ")
                       .append(std::to_string(ours))
                       .append(": use the newer one"));
    }
}

namespace {

void apply(connection& db, const migration& step) {
    db.execute(step.sql);
    statement(db, "INSERT INTO meta VALUES('min_reader', ?1) ON CONFLICT DO UPDATE SET value = ?1")
        .bind(step.min_reader)
        .run();
    const auto mark = "PRAGMA user_version = " + std::to_string(step.version);
    db.execute(mark.c_str());
}

void check_small(connection& db, const char* table) {
    auto sql = std::string("PRAGMA quick_check(").append(table).append(")");
    if (const auto found = db.text(sql.c_str()); found != "ok") {
        refuse(db, "it is damaged (" + found +
                       "); stop all that use it, keep a copy of it and of its -wal file, and "
                       "recover what can be with '.recover' of the sqlite3 program");
    }
}

}  // namespace

void bring_up_to_date(connection& db, std::span<const migration> steps) {
    check_identity(db, steps);
    if (db.integer("PRAGMA user_version") >= steps.back().version) {
        return;
    }
    transaction t(db, true);
    // Another process may have done it meanwhile, or more.
    check_identity(db, steps);
    const auto mark = "PRAGMA application_id = " + std::to_string(application_id);
    db.execute(mark.c_str());
    const auto version = db.integer("PRAGMA user_version");
    for (const auto& step : steps) {
        if (step.version > version) {
            apply(db, step);
        }
    }
    t.commit();
}

void check_quickly(connection& db) {
    for (const auto* table : {"meta", "owners", "lanes"}) {
        check_small(db, table);
    }
    for (const auto* ends :
         {"SELECT min(job) FROM jobs", "SELECT max(job) FROM jobs",
          "SELECT lane FROM ready ORDER BY lane, suspect, run_at, job LIMIT 1",
          "SELECT lane FROM ready ORDER BY lane DESC, suspect DESC, run_at DESC, job DESC LIMIT 1",
          "SELECT min(job) FROM claimed", "SELECT max(job) FROM claimed",
          "SELECT min(job) FROM ended", "SELECT max(job) FROM ended",
          "SELECT at FROM ended INDEXED BY ended_by_time WHERE state = 3 ORDER BY at LIMIT 1",
          "SELECT max(job) FROM runs", "SELECT max(tag) FROM job_tags"}) {
        db.integer(ends);
    }
}

}  // namespace postlude::detail::sqlite
