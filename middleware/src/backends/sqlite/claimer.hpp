// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_BACKENDS_SQLITE_CLAIMER_HPP
#define POSTLUDE_SRC_BACKENDS_SQLITE_CLAIMER_HPP

#include "backends/sqlite/lanes.hpp"
#include "postlude/backends/backend.hpp"

#include <span>

namespace postlude::detail::sqlite {

/// Takes ready jobs of the kinds that are served. It looks only at their lanes, and at as many rows
/// as it takes and one more a lane, however many jobs wait behind them or in other lanes.
class claimer {
public:
    /// What a claim may take.
    struct allowance {
        std::span<const std::size_t> credits;
        bool a_suspect = true;  ///< one
    };

    claimer(connection& db, lane_table& lanes, const open_options& options);

    /// When the next of the jobs that could be taken is due; nothing when there are none.
    std::optional<store_time> next(const allowance& may);
    /// Moves due jobs to `claimed`, within a transaction of the caller's.
    std::vector<claimed_job> take(const allowance& may, store_time now, std::uint32_t owner,
                                  std::uint64_t claim);

private:
    /// The ready jobs of a lane that are no suspects, or those that are.
    struct source {
        std::int64_t lane;
        std::string kind;
        std::string queue;
        std::uint8_t priority;
        std::size_t group;
        bool suspects;
        statement heads;
    };
    struct head {
        store_time run_at;
        job_id job;
        source* of;
    };
    /// How much of a source is taken: everything up to and with this head.
    using cut = head;
    using batch = std::vector<std::pair<store_time, claimed_job>>;

    void find_sources();
    void add_source(const lane& l, std::size_t group, bool suspects);
    bool may_use(const source& s, const allowance& may) const;
    std::vector<cut> choose(std::span<source> sources, store_time now, std::size_t& credit,
                            bool& a_suspect);
    static std::optional<head> next_head(source& s);
    void move(const cut& c, store_time now, std::uint32_t owner, std::uint64_t claim, batch& into);

    connection& db_;
    lane_table& lanes_;
    std::vector<served_kind> kinds_;
    std::vector<source> sources_;  ///< by group, then by priority
    std::size_t lanes_seen_ = 0;
    std::size_t epoch_ = 0;
    statement rows_, claim_, delete_;
};

}  // namespace postlude::detail::sqlite

#endif
