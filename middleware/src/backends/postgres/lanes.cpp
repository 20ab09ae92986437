// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/postgres/lanes.hpp"

#include <algorithm>
#include <stdexcept>

namespace postlude::detail::postgres {

lane_table::lane_table(const place& where)
    : others_(where.sql("SELECT lane, kind, queue, priority FROM @lanes"
                        " WHERE lane <> ALL($1::integer[]) ORDER BY lane")),
      insert_(where.sql("INSERT INTO @lanes(kind, queue, priority)"
                        " SELECT DISTINCT * FROM unnest($1::text[], $2::text[], $3::smallint[])"
                        " ORDER BY 1, 2, 3 ON CONFLICT DO NOTHING")) {}

bool lane_table::find(std::span<const job_record* const> jobs,
                      std::vector<std::int32_t>& numbers) const {
    const std::lock_guard lock(mutex_);
    numbers.clear();
    const job_record* last = nullptr;
    for (const auto* job : jobs) {
        // Most are like the one before them.
        if (last && last->kind == job->kind && last->queue == job->queue &&
            last->priority == job->priority) {
            numbers.push_back(numbers.back());
            continue;
        }
        const auto found = numbers_.find(std::tie(job->kind, job->queue, job->priority));
        if (found == numbers_.end()) {
            return false;
        }
        numbers.push_back(found->second);
        last = job;
    }
    return true;
}

std::vector<std::int32_t> lane_table::numbers_of(connection& db,
                                                 std::span<const job_record* const> jobs) {
    std::vector<std::int32_t> numbers;
    if (find(jobs, numbers)) {
        return numbers;
    }
    auto kinds = array::of_text();
    auto queues = array::of_text();
    auto priorities = array::of_int2();
    for (const auto* job : jobs) {
        kinds.add(job->kind);
        queues.add(job->queue);
        priorities.add(static_cast<std::int16_t>(job->priority));
    }
    parameters values;
    values.list(std::move(kinds)).list(std::move(queues)).list(std::move(priorities));
    db.run(insert_, std::move(values));
    learn(db.run({others()}).front());
    if (!find(jobs, numbers)) {
        throw std::logic_error("a lane that was stored is not there");
    }
    return numbers;
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
