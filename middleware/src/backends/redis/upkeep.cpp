// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/redis/records.hpp"
#include "backends/redis/store.hpp"

#include <algorithm>

namespace postlude::detail::redis {

namespace {

/// Jobs a script, so that others need not wait long for it; and scripts a call of `prune`.
constexpr std::size_t script_size = 512;
constexpr std::size_t prune_rounds = 8;
/// In seconds: longer than any clock has run, and its microseconds are exact in a double.
constexpr std::int64_t longest_age = 9'000'000'000;

}  // namespace

std::vector<receipt> store::renew(std::span<const receipt> held) {
    if (const std::unique_lock claiming(s_->claims.mutex, std::try_to_lock); claiming) {
        s_->news.drain();  // who has no room for jobs may not claim for hours
    }
    const std::lock_guard lock(s_->others.mutex);
    const auto answer =
        run(s_->others.server, s_->texts.renew, soon(), [&](command& c, const std::string&) {
            c.add(s_->owner.lease());
            for (const auto& r : held) {
                c.add(write_id(r.a)).add(r.b);
            }
        });
    std::vector<receipt> lost;
    lost.reserve(answer.size());
    for (std::size_t i = 0; i < answer.size(); ++i) {
        lost.push_back(held[static_cast<std::size_t>(answer[i].integer())]);
    }
    return lost;
}

std::vector<rescued_job> store::rescue(std::size_t limit) {
    const std::lock_guard lock(s_->others.mutex);
    auto& server = s_->others.server;
    std::vector<rescued_job> rescued;
    lane_list_ptr known;
    while (rescued.size() < limit) {
        const auto until = soon();
        const auto size = std::min(limit - rescued.size(), script_size);
        const auto answer =
            run(server, s_->texts.rescue, until,
                [&](command& c, const std::string&) { c.add(size).add(s_->quarantine_after); });
        if (answer.size() > 0) {
            known = s_->lanes.refresh(server, until);
        }
        for (std::size_t i = 0; i + 3 < answer.size(); i += 4) {
            const auto& lanes = known->all();
            const auto lane = static_cast<std::size_t>(answer[i + 1].integer());
            rescued.push_back({read_id(answer[i].text()),
                               lane < lanes.size() ? lanes[lane].kind : std::string(),
                               static_cast<unsigned>(answer[i + 2].integer()),
                               static_cast<job_state>(answer[i + 3].integer())});
        }
        if (answer.size() < 4 * size) {
            break;
        }
    }
    return rescued;
}

std::vector<amended> store::amend(std::span<const job_id> ids, amendment what) {
    const std::lock_guard lock(s_->others.mutex);
    std::vector<amended> result;
    while (result.size() < ids.size()) {
        const auto some =
            ids.subspan(result.size()).first(std::min(ids.size() - result.size(), script_size));
        const auto answer =
            run(s_->others.server, s_->texts.amend, soon(), [&](command& c, const std::string&) {
                c.add(static_cast<int>(what));
                for (const auto id : some) {
                    c.add(write_id(id));
                }
            });
        for (const char c : answer.text()) {
            result.push_back(static_cast<amended>(c - '0'));
        }
        if (answer.text().size() != some.size()) {
            to_.fail(errc::bad_store, "the server gave an answer that makes no sense");
        }
    }
    return result;
}

std::size_t store::prune(const retention& keep) {
    const std::lock_guard lock(s_->others.mutex);
    const auto most = script_size * prune_rounds;
    auto pruned =
        prune_state(job_state::done, std::to_string(keep.done_count), keep.done_age, most);
    for (const auto state : {job_state::dead, job_state::quarantined, job_state::cancelled}) {
        pruned += prune_state(state, {}, keep.dead_age, most - pruned);
    }
    return pruned;
}

std::size_t store::prune_state(job_state state, const std::string& count, std::chrono::seconds age,
                               std::size_t limit) {
    const auto seconds = std::min<std::int64_t>(age.count(), longest_age);
    std::size_t pruned = 0;
    while (pruned < limit) {
        const auto answer =
            run(s_->others.server, s_->texts.prune, soon(), [&](command& c, const std::string&) {
                c.add(static_cast<int>(state)).add(std::min(script_size, limit - pruned));
                c.add(seconds * 1'000'000).add(count);
            });
        if (answer.integer() == 0) {
            break;
        }
        pruned += static_cast<std::size_t>(answer.integer());
    }
    return pruned;
}

}  // namespace postlude::detail::redis
