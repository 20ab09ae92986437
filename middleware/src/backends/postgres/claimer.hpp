// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_BACKENDS_POSTGRES_CLAIMER_HPP
#define POSTLUDE_SRC_BACKENDS_POSTGRES_CLAIMER_HPP

#include "backends/postgres/lanes.hpp"
#include "backends/postgres/owner_table.hpp"
#include "postlude/backends/backend.hpp"

#include <atomic>

namespace postlude::detail::postgres {

/// Takes ready jobs of the kinds that are served. The server looks only at their lanes, and at as
/// many rows as it takes and one more a lane, however many jobs wait behind them or in other lanes.
class claimer {
public:
    /// What a claim may take.
    struct allowance {
        std::span<const std::size_t> credits;
        bool a_suspect = true;  ///< one
    };

    claimer(const place& where, lane_table& lanes, owner_table& owners,
            const open_options& options);

    /// Claims due jobs, in a transaction of its own.
    ///
    /// Other processes take from the same ends of the lanes, and a scan of an index passes what
    /// they have just removed, row by row: with four processes that was a fifth of the server's
    /// work. So a claim that follows a full one begins where that one has ended. What has come to
    /// stand before that place meanwhile is found by the next claim that looks from the start:
    /// after 100 ms, or `look_from_the_start`, or a claim that was not full.
    std::vector<claimed_job> take(connection& db, const allowance& may, std::int64_t claim);
    /// How long until the next of the jobs that could be taken is due, by the server's clock;
    /// nothing when there are none.
    std::optional<std::chrono::microseconds> until_next(connection& db, const allowance& may);
    /// This process has made a job ready that may stand before others. From any thread.
    void look_from_the_start() noexcept { from_the_start_ = true; }

private:
    /// A lane that is served, and whose credits it draws on.
    struct source {
        lane of;
        std::size_t group;
        std::size_t order = 0;  ///< of the lanes with the same group and priority
    };

    void find_sources();
    const source* source_of(std::int32_t lane) const;
    std::string take_sql() const;
    std::string lanes_as_values() const;
    static std::string merged(std::span<const source> lanes);
    array credits_of(const allowance& may) const;
    array begins();
    void begin_behind(const std::vector<store_time>& last, bool full);
    std::vector<claimed_job> read(const rows& found, std::int64_t claim,
                                  std::vector<store_time>& last) const;

    const place& where_;
    lane_table& lanes_;
    owner_table& owners_;
    std::vector<served_kind> kinds_;
    std::size_t groups_;
    std::vector<source> sources_;  ///< by group, then by priority
    std::size_t version_ = static_cast<std::size_t>(-1);
    std::string take_;
    std::vector<store_time> begins_;  ///< by `source::order`
    std::chrono::steady_clock::time_point began_at_start_{};
    std::atomic<bool> from_the_start_{true};
    const std::string next_;
};

}  // namespace postlude::detail::postgres

#endif
