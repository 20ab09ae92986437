// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/postgres/lanes.hpp"

#include <algorithm>

namespace postlude::detail::postgres {

namespace {

/// Who makes the same lane in a transaction of its own has done so by then. A caller of
/// `postgres::enqueue` may keep it for as long as it likes: so it is not tried at every commit.
constexpr const char* limit_wait = "SELECT set_config('lock_timeout', '100ms', true)";
constexpr std::chrono::seconds between_tries{1};
constexpr const char* lock_not_available = "55P03";

}  // namespace

lane_table::lane_table(const place& where)
    : others_(where.sql("SELECT lane, kind, queue, priority FROM @lanes"
                        " WHERE lane <> ALL($1::integer[]) ORDER BY lane")),
      insert_(where.sql("INSERT INTO @lanes(kind, queue, priority)"
                        " VALUES($1::text, $2::text, $3::integer) ON CONFLICT DO NOTHING")),
      limit_(limit_wait) {}

bool lane_table::find(std::span<const job_record* const> jobs,
                      std::vector<std::int32_t>& numbers) const {
    const std::lock_guard lock(mutex_);
    numbers.clear();
    bool all = true;
    const job_record* last = nullptr;
    for (const auto* job : jobs) {
        // Most are like the one before them.
        if (last && last->kind == job->kind && last->queue == job->queue &&
            last->priority == job->priority) {
            numbers.push_back(numbers.back());
            continue;
        }
        const auto found = numbers_.find(std::tie(job->kind, job->queue, job->priority));
        numbers.push_back(found == numbers_.end() ? none : found->second);
        all &= found != numbers_.end();
        last = job;
    }
    return all;
}

std::vector<std::int32_t> lane_table::numbers_of(connection& db,
                                                 std::span<const job_record* const> jobs) {
    std::vector<std::int32_t> numbers;
    if (find(jobs, numbers)) {
        return numbers;
    }
    learn(db.run({others()}).front());  // another process may have made them
    find(jobs, numbers);
    std::map<key, const job_record*> missing;
    for (std::size_t i = 0; i < jobs.size(); ++i) {
        if (numbers[i] == none) {
            missing.emplace(key(jobs[i]->kind, jobs[i]->queue, jobs[i]->priority), jobs[i]);
        }
    }
    for (const auto& [which, first] : missing) {
        if (may_be_made(which)) {
            make(db, *first);
        }
    }
    find(jobs, numbers);
    return numbers;
}

void lane_table::make(connection& db, const job_record& first) {
    parameters values;
    values.text(first.kind).text(first.queue).int4(first.priority);
    try {
        db.run({{limit_}, {insert_, std::move(values)}});
    } catch (const refused& e) {
        if (e.state() != lock_not_available) {
            throw;
        }
        const std::lock_guard lock(mutex_);
        not_before_[key(first.kind, first.queue, first.priority)] = clock::now() + between_tries;
        return;
    }
    learn(db.run({others()}).front());
}

bool lane_table::may_be_made(const key& which) const {
    const std::lock_guard lock(mutex_);
    const auto found = not_before_.find(which);
    return found == not_before_.end() || clock::now() >= found->second;
}

lane lane_table::at(connection& db, std::int32_t number) {
    for (int look = 0; look < 2; ++look) {
        {
            const std::lock_guard lock(mutex_);
            const auto found = std::ranges::find(lanes_, number, &lane::number);
            if (found != lanes_.end()) {
                return *found;
            }
        }
        if (look == 0) {
            learn(db.run({others()}).front());
        }
    }
    return {};
}

command lane_table::others() const {
    auto known = array::of_int4();
    const std::lock_guard lock(mutex_);
    for (const auto& l : lanes_) {
        known.add(l.number);
    }
    return {others_, parameters().list(std::move(known))};
}

void lane_table::learn(const rows& found) {
    const std::lock_guard lock(mutex_);
    for (int i = 0; i < found.size(); ++i) {
        lane l{found.int4(i, 0), std::string(found.text(i, 1)), std::string(found.text(i, 2)),
               static_cast<std::uint8_t>(found.int2(i, 3))};
        not_before_.erase(key(l.kind, l.queue, l.priority));
        // Another thread may have met it meanwhile.
        if (numbers_.emplace(key(l.kind, l.queue, l.priority), l.number).second) {
            lanes_.push_back(std::move(l));
            ++version_;
        }
    }
}

std::vector<lane> lane_table::all() const {
    const std::lock_guard lock(mutex_);
    return lanes_;
}

void lane_table::forget() {
    const std::lock_guard lock(mutex_);
    lanes_.clear();
    numbers_.clear();
    ++version_;
}

}  // namespace postlude::detail::postgres
