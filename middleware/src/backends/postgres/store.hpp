// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_BACKENDS_POSTGRES_STORE_HPP
#define POSTLUDE_SRC_BACKENDS_POSTGRES_STORE_HPP

#include "backends/postgres/claimer.hpp"
#include "backends/postgres/job_writer.hpp"
#include "backends/postgres/wake_up.hpp"
#include "postlude/backends/postgres.hpp"

#include <atomic>
#include <map>
#include <mutex>

namespace postlude::detail::postgres {

/// What there is while the store is open. A connection for each thread of the dispatcher, so that
/// none waits for another's sync, and one for the questions of people, which may take long.
struct session {
    session(place where, const open_options& asked);

    place where;
    const std::string give_back;
    lane_table lanes;
    owner_table owners;
    job_writer writer;
    claimer claims;

    std::mutex committing;
    connection commits;
    std::mutex claiming;
    connection claimed;
    std::mutex keeping;
    connection kept;
    std::mutex asking;
    connection asked;

    std::atomic<std::int64_t> claim_count{0};
    struct doubt {
        std::int64_t claim;
        std::chrono::steady_clock::time_point since;
    };
    std::mutex doubts_mutex;
    /// Claims that broke off unanswered: the server has made them, or makes them yet, or never.
    /// A number stays until its jobs have been found, or for an hour and until a look has found
    /// none.
    std::vector<doubt> doubts;
    std::mutex suspect_mutex;
    std::optional<receipt> suspect;  ///< that this process holds
};

class store final : public backend {
public:
    store(postgres_options options, place where)
        : options_(std::move(options)), where_(std::move(where)) {}
    ~store() override;

    opened open(const open_options& options) override;
    commit_result commit(std::span<const put> puts,
                         std::span<const settlement> settlements) override;
    std::vector<claimed_job> claim(std::span<const std::size_t> credits,
                                   std::chrono::milliseconds longest_wait) override;
    std::vector<receipt> renew(std::span<const receipt> held) override;
    std::vector<rescued_job> rescue(std::size_t limit) override;
    std::vector<queue_stats> stats() override;
    std::vector<job_view> find(const job_query& query) override;
    std::vector<job_event> history(job_id id) override;
    std::vector<amended> amend(std::span<const job_id> ids, amendment what) override;
    std::size_t prune(const retention& keep) override;
    void interrupt() noexcept override { wake_.interrupt(); }

private:
    using clock = std::chrono::steady_clock;

    void give_everything_back();
    commit_result commit_once(std::span<const put> puts, std::span<const settlement> settlements);

    std::vector<claimed_job> try_claim(std::span<const std::size_t> credits,
                                       std::optional<clock::time_point>& next);
    bool wait_for_jobs(std::uint64_t seen, std::optional<clock::time_point> next,
                       clock::time_point deadline);
    /// What gives jobs of this process back: those of the claims in doubt, or all. Nothing where
    /// there are none.
    std::optional<command> give_back(bool all);
    void doubt(std::int64_t claim);
    void forget_doubts(const rows& given_back);
    void hold_suspect(const receipt& held);
    /// True when the process may take another suspect now.
    bool let_go(const receipt& held);

    struct lost_owner;
    std::vector<lost_owner> look_for_the_lost(bool& some_may_come_back);
    bool rescue_some(const lost_owner& of, std::size_t limit, std::vector<rescued_job>& rescued);
    std::vector<rows> take_from(const lost_owner& of, std::size_t limit, bool spares);

    /// Not synced: what is lost with the server's power is seen to be so.
    std::vector<rows> keep_up(std::vector<command> commands);

    postgres_options options_;
    place where_;
    open_options asked_;
    wake_up wake_;
    std::unique_ptr<session> s_;
    /// Owners whose locks were free, and since when they had them.
    std::map<std::int32_t, store_time> seen_free_;
};

}  // namespace postlude::detail::postgres

#endif
