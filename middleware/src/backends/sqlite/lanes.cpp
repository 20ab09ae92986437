// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/sqlite/lanes.hpp"

#include <algorithm>

namespace postlude::detail::sqlite {

lane_table::lane_table(connection& db)
    : newer_(db, "SELECT lane, kind, queue, priority FROM lanes WHERE lane > ? ORDER BY lane"),
      insert_(db, "INSERT INTO lanes(kind, queue, priority) VALUES(?, ?, ?)") {
    refresh();
}

std::int64_t lane_table::number_of(const job_record& job) {
    if (last_used_ < lanes_.size()) {
        const auto& l = lanes_[last_used_];
        if (l.kind == job.kind && l.queue == job.queue && l.priority == job.priority) {
            return l.number;
        }
    }
    const auto wanted = std::tie(job.kind, job.queue, job.priority);
    auto found = numbers_.find(wanted);
    if (found == numbers_.end()) {
        refresh();
        found = numbers_.find(wanted);
    }
    if (found == numbers_.end()) {
        insert_.bind(job.kind, job.queue, job.priority).run();
        refresh();
        found = numbers_.find(wanted);
    }
    const auto place = std::ranges::lower_bound(lanes_, found->second, {}, &lane::number);
    last_used_ = static_cast<std::size_t>(place - lanes_.begin());
    return found->second;
}

const lane& lane_table::at(std::int64_t number) {
    if (lanes_.empty() || lanes_.back().number < number) {
        refresh();
    }
    static const lane unknown{};
    const auto place = std::ranges::lower_bound(lanes_, number, {}, &lane::number);
    return place == lanes_.end() ? unknown : *place;
}

const std::vector<lane>& lane_table::refresh() {
    newer_.bind(lanes_.empty() ? std::int64_t{0} : lanes_.back().number);
    while (newer_.step()) {
        add({newer_.integer(0), std::string(newer_.text(1)), std::string(newer_.text(2)),
             newer_.integer<std::uint8_t>(3)});
    }
    return lanes_;
}

void lane_table::add(lane l) {
    numbers_.emplace(key(l.kind, l.queue, l.priority), l.number);
    lanes_.push_back(std::move(l));
}

void lane_table::forget() noexcept {
    lanes_.clear();
    numbers_.clear();
    ++epoch_;
}

}  // namespace postlude::detail::sqlite
