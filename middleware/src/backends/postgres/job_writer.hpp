// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_BACKENDS_POSTGRES_JOB_WRITER_HPP
#define POSTLUDE_SRC_BACKENDS_POSTGRES_JOB_WRITER_HPP

#include "backends/postgres/job_columns.hpp"
#include "backends/postgres/lanes.hpp"
#include "backends/postgres/owner_table.hpp"
#include "postlude/backends/backend.hpp"

namespace postlude::detail::postgres {

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

/// The channel of LISTEN and NOTIFY.
inline std::string channel_of(const place& where) { return where.schema + "_jobs"; }

/// Makes a group commit of puts and settlements: one statement for all jobs that are stored, one
/// for all that are done, and one for all other verdicts.
class job_writer {
public:
    job_writer(const place& where, lane_table& lanes, owner_table& owners);

    /// In one transaction. Throws as `connection::run`; after a `refused` that is a duplicate, it
    /// is to be repeated with care.
    ///
    /// @param careful of ids that are in use: each of these is refused by itself.
    commit_result commit(connection& db, std::span<const put> puts,
                         std::span<const settlement> settlements, std::int64_t claim, bool careful);
    /// To be sent with what makes jobs ready.
    command notify() const;

private:
    struct batch;

    void add_puts(batch& b, std::span<const put> puts);
    void add_settlements(batch& b, std::span<const settlement> settlements);
    void add_lanes(batch& b, connection& db, std::span<const put> puts,
                   std::span<const settlement> settlements);
    void add_insert(batch& b, std::int64_t claim, bool careful);
    void add_verdicts(batch& b);
    static void read(const batch& b, const std::vector<rows>& found, std::int64_t claim,
                     commit_result& result);

    const place& where_;
    lane_table& lanes_;
    owner_table& owners_;
    const std::string insert_, insert_fresh_, insert_tags_, insert_new_, insert_follow_ups_,
        finish_, release_;
    const std::string notify_;
};

}  // namespace postlude::detail::postgres

#endif
