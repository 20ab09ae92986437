// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_BACKENDS_MEMORY_JOB_TABLE_HPP
#define POSTLUDE_SRC_BACKENDS_MEMORY_JOB_TABLE_HPP

#include "postlude/backends/backend.hpp"

#include <functional>
#include <map>
#include <set>
#include <tuple>
#include <vector>

namespace postlude::detail::memory {

/// Whoever calls, and what was agreed with it when it opened the store.
struct holder {
    std::uint32_t owner = 0;
    std::chrono::milliseconds lease{0};
    unsigned quarantine_after = 0;
    std::map<std::string, std::size_t, std::less<>> groups;  ///< of the kinds that it serves
};

struct claimed_jobs {
    std::vector<claimed_job> jobs;
    /// When the next of the kinds that are served is due, if one is scheduled.
    std::optional<store_time> next_due;
};

/// The jobs of a store and the rules by which they change, with neither a lock nor a clock.
class job_table {
public:
    put_result store(const put& what, const holder& by, store_time now);
    settled settle(const settlement& what, const holder& by, store_time now);
    claimed_jobs claim(std::span<const std::size_t> credits, const holder& by, store_time now);
    bool renew(const receipt& held, const holder& by, store_time now);
    /// @param dead the owners that are known to be.
    std::vector<rescued_job> rescue(std::size_t limit, const std::set<std::uint32_t>& dead,
                                    const holder& by, store_time now);
    void give_back_all(std::uint32_t owner, store_time now);

    std::vector<queue_stats> stats(store_time now) const;
    std::vector<job_view> find(const job_query& query) const;
    std::vector<job_event> history(job_id id) const;
    amended amend(job_id id, amendment what, store_time now);
    std::size_t prune(const retention& keep, store_time now);

private:
    struct entry {
        job_view view;
        std::vector<job_event> way;
        unsigned attempts = 0;    ///< claims so far
        std::uint64_t claim = 0;  ///< which one; no two of a store have the same number
        store_time lease_end{};
    };
    using ready_key = std::tuple<std::uint8_t, store_time, job_id>;

    static ready_key key_of(const entry& e);
    static void note(entry& e, store_time now, const char* what, std::string_view reason = {});
    entry* find_held(const receipt& held, const holder& by);
    bool holds_suspect(std::uint32_t owner) const;
    std::vector<job_id> lost_by(std::uint32_t owner, bool dead, store_time now) const;
    rescued_job take_back(entry& e, bool dead, bool blamed, const holder& by, store_time now);

    void leave_state(entry& e);
    void make_ready(entry& e, store_time run_at);
    void make_claimed(entry& e, const holder& by, store_time now);
    void end(entry& e, job_state as, store_time now);
    void remove(job_id id);
    std::size_t prune_oldest(std::vector<job_id> ended, store_time before, std::size_t count,
                             std::size_t most);

    std::map<job_id, entry> jobs_;
    std::set<ready_key> ready_;
    std::map<std::uint32_t, std::set<job_id>> held_;  ///< by owner
    std::uint64_t claims_ = 0;
};

}  // namespace postlude::detail::memory

#endif
