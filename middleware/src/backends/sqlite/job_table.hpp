// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_BACKENDS_SQLITE_JOB_TABLE_HPP
#define POSTLUDE_SRC_BACKENDS_SQLITE_JOB_TABLE_HPP

#include "backends/sqlite/lanes.hpp"
#include "postlude/backends/backend.hpp"

namespace postlude::detail::sqlite {

/// What is to wait for longer is refused.
inline constexpr std::chrono::milliseconds longest_delay = std::chrono::hours(24 * 36525);

/// What a row of `runs` tells. Stored, never reused.
enum class run_note : std::uint8_t {
    failed = 1,
    given_back = 2,
    crashed = 3,
    lease_ended = 4,
    retried = 5,      ///< by hand
    done = 6,         ///< and retried by hand after it
    cancelled = 7,    ///< likewise
    dead = 8,         ///< likewise; the failure has a note of its own
    quarantined = 9,  ///< likewise
};

/// What a job's own row says of it, its arguments aside.
struct job_row {
    job_id id = 0;
    std::int64_t lane = 0;
    store_time run_at{};
    unsigned failures = 0;
    unsigned crashes = 0;
};

/// Proves a claim: whose, and which of that owner's.
struct fence {
    job_id job = 0;
    std::uint32_t owner = 0;
    std::uint64_t claim = 0;
};

/// A claim or an end, for what becomes of the job next.
struct last_claim {
    std::optional<std::uint32_t> owner;
    std::optional<store_time> at;
};

/// Every way of a job from one state to another. All within a transaction of the caller's.
class job_table {
public:
    job_table(connection& db, lane_table& lanes);

    /// Ready, or claimed when there is a fence. False: the id is in use or none, or the
    /// delay is too long, and nothing is changed.
    bool insert(const put& p, store_time now, const fence* claim);
    /// Claimed, done. False: not under this claim.
    bool finish(const fence& claim, store_time now);
    /// Claimed, in no state: for one of those below. Nothing: not under this claim.
    std::optional<last_claim> release(const fence& claim);
    void unclaim(job_id id) { unclaim_.bind(id).run(); }

    std::optional<job_row> read(job_id id);
    /// In no state, ready at `job.run_at`.
    void make_ready(const job_row& job);
    void end(job_id id, job_state state, store_time now, const last_claim& claim);
    /// From ready, in no state.
    void take_from_ready(const job_row& job);
    bool take_from_ended(job_id id) { return delete_ended_.bind(id).run() > 0; }
    /// Writes what has changed in it; no reason keeps the one that there was.
    void update(const job_row& job, std::optional<std::string_view> reason);
    void note(job_id id, run_note what, store_time now, const last_claim& claim,
              std::string_view reason);
    /// What is left of a job in no state.
    void erase(job_id id);

private:
    void insert_tags(job_id id, const std::vector<std::string>& tags);

    lane_table& lanes_;
    statement insert_job_, insert_tag_, insert_ready_, insert_claimed_, insert_ended_, insert_run_;
    statement finish_, unclaim_, claim_at_, read_, update_;
    statement delete_ready_, delete_ended_, tags_of_, delete_tag_, delete_runs_, delete_job_;
};

/// As `jobs.tags` holds them: a JSON array that a person can read.
std::string write_tags(const std::vector<std::string>& tags);
std::vector<std::string> read_tags(std::string_view text);

}  // namespace postlude::detail::sqlite

#endif
