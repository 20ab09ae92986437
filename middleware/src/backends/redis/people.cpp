// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/redis/records.hpp"
#include "backends/redis/store.hpp"

#include <algorithm>
#include <map>
#include <set>

namespace postlude::detail::redis {

namespace {

/// Jobs that one script looks at, so that others need not wait long for it.
constexpr std::size_t look_size = 500;

}  // namespace

std::vector<queue_stats> store::stats() {
    const std::lock_guard lock(s_->questions.mutex);
    const auto answer =
        run(s_->questions.server, s_->texts.stats, soon(), [](command&, const std::string&) {});
    std::map<std::pair<std::string, std::string>, queue_stats> table;
    for (std::size_t i = 0; i + 5 < answer.size(); i += 6) {
        const auto number = [&](std::size_t k) {
            return static_cast<std::size_t>(answer[i + k].integer());
        };
        if (number(1) + number(2) + number(3) + number(4) == 0) {
            continue;
        }
        const auto l = read_lane(answer[i].text());
        auto& e = table[{l.queue, l.kind}];
        e.queue = l.queue;
        e.kind = l.kind;
        e.ready += number(1);
        e.scheduled += number(2);
        e.claimed += number(3);
        e.dead += number(4);
        if (const auto age = answer[i + 5].integer(); age >= 0) {
            e.oldest_ready = std::max(e.oldest_ready.value_or(std::chrono::milliseconds(0)),
                                      std::chrono::milliseconds(age));
        }
    }
    std::vector<queue_stats> result;
    result.reserve(table.size());
    for (auto& [name, entry] : table) {
        result.push_back(std::move(entry));
    }
    return result;
}

/// A question on its way through the store.
struct store::search {
    const job_query& query;
    lane_list_ptr known;
    std::string lane_filter;  ///< as the script takes it
    std::set<job_id> seen;    ///< a scan may come by the same one twice
    std::vector<job_view> found;

    bool has_enough() const { return found.size() >= query.limit; }
    bool wants(const lane& l) const {
        return (query.kind.empty() || query.kind == l.kind) &&
               (query.queue.empty() || query.queue == l.queue);
    }
};

std::vector<job_view> store::find(const job_query& query) {
    if (query.limit == 0) {
        return {};
    }
    const std::lock_guard lock(s_->questions.mutex);
    search s{query, s_->lanes.refresh(s_->questions.server, soon()), {}, {}, {}};
    std::vector<std::string> ready;
    const auto& lanes = s.known->all();
    for (std::size_t i = 0; i < lanes.size(); ++i) {
        if (s.wants(lanes[i])) {
            for (const auto* const list : {"fifo:", "ready:", "suspect:"}) {
                ready.push_back(list + std::to_string(i));
            }
            s.lane_filter.append(s.lane_filter.empty() ? " " : "").append(std::to_string(i) + " ");
        }
    }
    if (query.kind.empty() && query.queue.empty()) {
        s.lane_filter.clear();
    } else if (ready.empty()) {
        return {};
    }
    std::vector<std::string> sources;
    if (!query.ids.empty()) {
        sources = {"ids"};
    } else if (!query.tag.empty()) {
        sources = {"tag:" + query.tag};
    } else if (query.state == job_state::ready) {
        sources = std::move(ready);
    } else if (query.state == job_state::claimed) {
        sources = {"claimed"};
    } else if (query.state) {
        sources = {"ended:" + std::to_string(static_cast<int>(*query.state))};
    } else {
        const auto pages =
            s_->questions.server.call(command({"SMEMBERS", to_.key("pages")}), soon());
        if (pages.is_error()) {
            s_->questions.server.refuse(pages.text());
        }
        for (std::size_t i = 0; i < pages.size(); ++i) {
            sources.push_back(std::string("jobs:").append(pages[i].text()));
        }
    }
    for (const auto& source : sources) {
        auto ids = std::span(query.ids);
        do {
            const auto some = ids.first(std::min(ids.size(), look_size));
            ids = ids.subspan(some.size());
            look_through(s, source, some, soon());
        } while (!ids.empty() && !s.has_enough());
    }
    std::ranges::sort(s.found, {}, [](const job_view& v) { return v.job.id; });
    return std::move(s.found);
}

void store::look_through(search& s, const std::string& source, std::span<const job_id> ids,
                         deadline until) {
    std::string position = "0";
    while (!position.empty() && !s.has_enough()) {
        const auto answer =
            run(s_->questions.server, s_->texts.find, until, [&](command& c, const std::string&) {
                c.add(source).add(position).add(look_size);
                c.add(s.query.state ? static_cast<int>(*s.query.state) : 0);
                c.add(s.query.request_id).add(s.query.tag).add(s.lane_filter);
                for (const auto id : ids) {
                    c.add(write_id(id));
                }
            });
        position = answer[0].text();
        for (std::size_t i = 1; i + stored_job::size <= answer.size() && !s.has_enough();
             i += stored_job::size) {
            auto view = stored_job(answer, i).view(s.known->all());
            if (s.seen.insert(view.job.id).second) {
                s.found.push_back(std::move(view));
            }
        }
        until = soon();
    }
}

std::vector<job_event> store::history(job_id id) {
    const std::lock_guard lock(s_->questions.mutex);
    const auto answer = run(s_->questions.server, s_->texts.history, soon(),
                            [&](command& c, const std::string&) { c.add(write_id(id)); });
    return answer.size() == 0 ? std::vector<job_event>() : stored_job(answer, 0).way();
}

}  // namespace postlude::detail::redis
