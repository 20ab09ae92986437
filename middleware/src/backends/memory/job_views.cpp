// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/memory/job_table.hpp"

#include <algorithm>
#include <utility>

namespace postlude::detail::memory {

namespace {

constexpr std::size_t most_pruned_at_a_time = 4'000;

bool matches(const job_view& view, const job_query& query) {
    const auto& job = view.job;
    const auto is = [](const std::string& wanted, const std::string& value) {
        return wanted.empty() || wanted == value;
    };
    return (query.ids.empty() || std::ranges::find(query.ids, job.id) != query.ids.end()) &&
           (!query.state || *query.state == view.state) && is(query.kind, job.kind) &&
           is(query.queue, job.queue) && is(query.request_id, job.request_id) &&
           (query.tag.empty() || std::ranges::find(job.tags, query.tag) != job.tags.end());
}

void count(queue_stats& stats, const job_view& view, store_time now) {
    switch (view.state) {
    case job_state::ready: {
        if (view.run_at > now) {
            ++stats.scheduled;
            break;
        }
        ++stats.ready;
        const auto age = std::chrono::floor<std::chrono::milliseconds>(now - view.run_at);
        stats.oldest_ready = std::max(stats.oldest_ready.value_or(age), age);
        break;
    }
    case job_state::claimed: ++stats.claimed; break;
    case job_state::dead:
    case job_state::quarantined: ++stats.dead; break;
    case job_state::done:
    case job_state::cancelled: break;
    }
}

}  // namespace

std::vector<queue_stats> job_table::stats(store_time now) const {
    std::map<std::pair<std::string, std::string>, queue_stats> by_name;
    for (const auto& [id, e] : jobs_) {
        auto& stats = by_name[{e.view.job.queue, e.view.job.kind}];
        stats.queue = e.view.job.queue;
        stats.kind = e.view.job.kind;
        count(stats, e.view, now);
    }
    std::vector<queue_stats> all;
    all.reserve(by_name.size());
    for (auto& [name, stats] : by_name) {
        all.push_back(std::move(stats));
    }
    return all;
}

std::vector<job_view> job_table::find(const job_query& query) const {
    std::vector<job_view> found;
    for (const auto& [id, e] : jobs_) {
        if (found.size() == query.limit) {
            break;
        }
        if (matches(e.view, query)) {
            found.push_back(e.view);
        }
    }
    return found;
}

std::vector<job_event> job_table::history(job_id id) const {
    const auto found = jobs_.find(id);
    return found != jobs_.end() ? found->second.way : std::vector<job_event>();
}

std::size_t job_table::prune(const retention& keep, store_time now) {
    std::vector<job_id> done;
    std::vector<job_id> others;
    for (const auto& [id, e] : jobs_) {
        if (e.view.ended) {
            (e.view.state == job_state::done ? done : others).push_back(id);
        }
    }
    const auto pruned =
        prune_oldest(std::move(done), now - keep.done_age, keep.done_count, most_pruned_at_a_time);
    const auto all_of_them = others.size();
    return pruned + prune_oldest(std::move(others), now - keep.dead_age, all_of_them,
                                 most_pruned_at_a_time - pruned);
}

std::size_t job_table::prune_oldest(std::vector<job_id> ended, store_time before, std::size_t count,
                                    std::size_t most) {
    const auto when = [this](job_id id) { return *jobs_.at(id).view.ended; };
    std::ranges::stable_sort(ended, {}, when);
    std::size_t over = ended.size() - std::min(count, ended.size());
    while (over < ended.size() && when(ended[over]) < before) {
        ++over;
    }
    over = std::min(over, most);
    ended.resize(over);
    std::ranges::for_each(ended, [this](job_id id) { remove(id); });
    return over;
}

}  // namespace postlude::detail::memory
