// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_BACKENDS_SQLITE_STORE_HPP
#define POSTLUDE_SRC_BACKENDS_SQLITE_STORE_HPP

#include "backends/sqlite/checkpointer.hpp"
#include "backends/sqlite/claimer.hpp"
#include "backends/sqlite/job_table.hpp"
#include "backends/sqlite/owner_table.hpp"
#include "postlude/backends/sqlite.hpp"

#include <mutex>

namespace postlude::detail::sqlite {

/// Where a claim waits.
class wake_up {
public:
    enum class reason : std::uint8_t { changed, interrupted, time };

    /// Something is ready, or may be.
    void changed() noexcept;
    void interrupt() noexcept;
    std::uint64_t changes();
    /// Until a change after the first `seen`. An interruption is used up by it.
    reason wait(std::uint64_t seen, std::chrono::steady_clock::time_point until);

private:
    std::mutex mutex_;
    std::condition_variable condition_;
    std::uint64_t changes_ = 0;
    bool interrupted_ = false;
};

/// The connection through which everything is written. Opens the file, makes it or brings it up to
/// date, and sets it up.
struct writer_connection : connection {
    explicit writer_connection(const sqlite_options& options);
};

/// The one for questions.
struct reader_connection : connection {
    explicit reader_connection(const sqlite_options& options);
};

/// What there is while the store is open.
struct session {
    session(const sqlite_options& options, const open_options& asked);

    writer_connection writer;
    owner_lock lock;
    lane_table lanes;
    job_table jobs;
    owner_table owners;
    claimer claims;
    statement data_version;
    std::mutex write;  ///< held for all of the above, and what follows
    std::int64_t version_seen = 0;
    std::uint64_t claim_count = 0;
    std::optional<receipt> suspect;  ///< that this process holds

    reader_connection reader;
    std::mutex read;  ///< of reader

    checkpointer checkpoints;
};

class store final : public backend {
public:
    explicit store(sqlite_options options) : options_(std::move(options)) {}
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
    /// Runs f within a transaction, with `write` held.
    template <class F>
    auto write(bool synced, F f) {
        s_->checkpoints.make_room();
        try {
            transaction t(s_->writer, synced && options_.synced);
            auto result = f();
            t.commit();
            return result;
        } catch (...) {
            s_->lanes.forget();
            s_->owners.forget();
            throw;
        }
    }

    void give_everything_back();
    put_result put_one(const put& p, store_time time, std::uint64_t claim);
    settled settle_one(const settlement& s, store_time time);
    void settle_as(const settlement& s, const last_claim& claim, store_time time);
    bool let_go(const receipt& held);

    std::vector<claimed_job> try_claim(std::span<const std::size_t> credits,
                                       std::optional<store_time>& next);
    bool wait_for_jobs(std::uint64_t seen, std::optional<store_time> next,
                       std::chrono::steady_clock::time_point deadline);
    bool others_wrote();

    struct lost_owner;
    bool rescue_some(lost_owner& of, std::size_t limit, std::vector<rescued_job>& rescued);
    rescued_job rescue_one(const lost_owner& of, job_id id, store_time claimed_at, store_time time);

    struct standing;
    standing where_is(job_id id);
    amended amend_one(job_id id, amendment what, store_time time);
    void retry_by_hand(const standing& job, store_time time);
    void take_out(const standing& job);
    std::size_t prune_some(job_state state, std::size_t limit, store_time before);
    std::size_t prune_state(job_state state, std::size_t count, std::chrono::seconds age,
                            std::size_t limit);
    void give_pages_back();

    sqlite_options options_;
    open_options asked_;
    wake_up wake_;
    std::unique_ptr<session> s_;
};

}  // namespace postlude::detail::sqlite

#endif
