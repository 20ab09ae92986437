// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/sqlite/claimer.hpp"

#include "backends/sqlite/job_table.hpp"

#include <algorithm>
#include <tuple>

namespace postlude::detail::sqlite {

claimer::claimer(connection& db, lane_table& lanes, const open_options& options)
    : db_(db),
      lanes_(lanes),
      kinds_(options.kinds),
      epoch_(lanes.epoch()),
      rows_(db,
            "SELECT r.run_at, j.job, j.failures, j.crashes, j.request_id, j.tags, j.arguments"
            " FROM ready r CROSS JOIN jobs j ON j.job = r.job"
            " WHERE r.lane = ? AND r.suspect = ? AND (r.run_at, r.job) <= (?, ?)"
            " ORDER BY r.run_at, r.job"),
      claim_(db,
             "INSERT INTO claimed(job, owner, claim, at)"
             " SELECT job, ?5, ?6, ?7 FROM ready"
             " WHERE lane = ?1 AND suspect = ?2 AND (run_at, job) <= (?3, ?4)"),
      delete_(db, "DELETE FROM ready WHERE lane = ? AND suspect = ? AND (run_at, job) <= (?, ?)") {}

void claimer::find_sources() {
    const auto& lanes = lanes_.refresh();
    if (epoch_ != lanes_.epoch()) {
        epoch_ = lanes_.epoch();
        sources_.clear();
        lanes_seen_ = 0;
    }
    if (lanes_seen_ == lanes.size()) {
        return;
    }
    for (; lanes_seen_ < lanes.size(); ++lanes_seen_) {
        const auto& l = lanes[lanes_seen_];
        const auto served = std::ranges::find(kinds_, l.kind, &served_kind::kind);
        if (served != kinds_.end()) {
            add_source(l, served->group, false);
            add_source(l, served->group, true);
        }
    }
    std::ranges::sort(sources_, {}, [](const source& s) {
        return std::tuple(s.group, s.priority, s.lane, s.suspects);
    });
}

void claimer::add_source(const lane& l, std::size_t group, bool suspects) {
    sources_.push_back({l.number, l.kind, l.queue, l.priority, group, suspects,
                        statement(db_,
                                  "SELECT run_at, job FROM ready WHERE lane = ? AND suspect = ?"
                                  " AND run_at <= ? ORDER BY run_at, job")});
}

bool claimer::may_use(const source& s, const allowance& may) const {
    return s.group < may.credits.size() && may.credits[s.group] > 0 &&
           (may.a_suspect || !s.suspects);
}

std::optional<store_time> claimer::next(const allowance& may) {
    find_sources();
    std::optional<store_time> soonest;
    for (auto& s : sources_) {
        if (!may_use(s, may)) {
            continue;
        }
        s.heads.bind(s.lane, s.suspects, INT64_MAX);
        if (const auto first = next_head(s); first && (!soonest || first->run_at < *soonest)) {
            soonest = first->run_at;
        }
        s.heads.reset();
    }
    return soonest;
}

std::optional<claimer::head> claimer::next_head(source& s) {
    if (!s.heads.step()) {
        return std::nullopt;
    }
    return head{s.heads.time(0), s.heads.integer<job_id>(1), &s};
}

std::vector<claimed_job> claimer::take(const allowance& may, store_time now, std::uint32_t owner,
                                       std::uint64_t claim) {
    find_sources();
    std::vector<claimed_job> taken;
    std::vector<std::size_t> credits(may.credits.begin(), may.credits.end());
    auto a_suspect = may.a_suspect;
    for (auto begin = sources_.begin(); begin != sources_.end();) {
        const auto end = std::find_if(begin, sources_.end(), [&](const source& s) {
            return s.group != begin->group || s.priority != begin->priority;
        });
        if (begin->group < credits.size()) {
            batch found;
            for (const auto& c : choose({begin, end}, now, credits[begin->group], a_suspect)) {
                move(c, now, owner, claim, found);
            }
            std::ranges::sort(found, {},
                              [](const auto& f) { return std::pair(f.first, f.second.job.id); });
            for (auto& f : found) {
                taken.push_back(std::move(f.second));
            }
        }
        begin = end;
    }
    return taken;
}

std::vector<claimer::cut> claimer::choose(std::span<source> sources, store_time now,
                                          std::size_t& credit, bool& a_suspect) {
    const auto later = [](const head& a, const head& b) {
        return std::pair(a.run_at, a.job) > std::pair(b.run_at, b.job);
    };
    std::vector<cut> cuts;
    std::vector<head> heads;
    const auto push = [&](source& s) {
        if (const auto h = next_head(s)) {
            heads.push_back(*h);
            std::ranges::push_heap(heads, later);
        }
    };
    for (auto& s : sources) {
        if (credit > 0 && (a_suspect || !s.suspects)) {
            s.heads.bind(s.lane, s.suspects, now);
            push(s);
        }
    }
    while (credit > 0 && !heads.empty()) {
        std::ranges::pop_heap(heads, later);
        const auto first = heads.back();
        heads.pop_back();
        if (first.of->suspects && !std::exchange(a_suspect, false)) {
            continue;
        }
        --credit;
        const auto known = std::ranges::find(cuts, first.of, &cut::of);
        known == cuts.end() ? cuts.push_back(first) : void(*known = first);
        if (!first.of->suspects) {
            push(*first.of);
        }
    }
    // They must not stand in the rows that are about to move.
    for (auto& s : sources) {
        s.heads.reset();
    }
    return cuts;
}

void claimer::move(const cut& c, store_time now, std::uint32_t owner, std::uint64_t claim,
                   batch& into) {
    rows_.bind(c.of->lane, c.of->suspects, c.run_at, c.job);
    while (rows_.step()) {
        claimed_job found;
        auto& job = found.job;
        job.id = rows_.integer<job_id>(1);
        job.kind = c.of->kind;
        job.queue = c.of->queue;
        job.priority = c.of->priority;
        job.failures = rows_.integer<unsigned>(2);
        job.crashes = rows_.integer<unsigned>(3);
        job.request_id = rows_.text(4);
        job.tags = read_tags(rows_.text(5));
        job.arguments = rows_.text(6);
        found.held = {job.id, claim};
        into.emplace_back(rows_.time(0), std::move(found));
    }
    claim_.bind(c.of->lane, c.of->suspects, c.run_at, c.job, owner, claim, now).run();
    delete_.bind(c.of->lane, c.of->suspects, c.run_at, c.job).run();
}

}  // namespace postlude::detail::sqlite
