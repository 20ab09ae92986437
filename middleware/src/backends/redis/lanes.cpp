// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/redis/lanes.hpp"

#include "backends/redis/records.hpp"

#include <algorithm>

namespace postlude::detail::redis {

void lane_list::add(std::string_view entry) {
    const auto& l = lanes_.emplace_back(read_lane(entry));
    numbers_.emplace(stored_key(l.kind, l.queue, l.priority), lanes_.size() - 1);
    last_ = entry;
}

std::optional<std::size_t> lane_list::number_of(const job_record& job) const {
    const auto found = numbers_.find(key(job.kind, job.queue, job.priority));
    return found == numbers_.end() ? std::nullopt : std::optional(found->second);
}

lane_list_ptr lane_table::known() const {
    const std::lock_guard lock(mutex_);
    return lanes_;
}

reply lane_table::read(std::size_t from, connection& by, deadline until) const {
    command c({"LRANGE", list_});
    c.add(from).add("-1");
    auto answer = by.call(c, until);
    if (answer.is_error()) {
        by.refuse(answer.text());
    }
    return answer;
}

lane_list_ptr lane_table::refresh(connection& by, deadline until) {
    auto lanes = *known();
    const auto last = std::max<std::size_t>(lanes.size(), 1) - 1;
    auto answer = read(last, by, until);
    auto next = lanes.size() - last;
    if (next > 0 && (answer.size() == 0 || answer[0].text() != lanes.last())) {
        lanes = {};
        next = 0;
        answer = read(0, by, until);
    }
    for (; next < answer.size(); ++next) {
        lanes.add(answer[next].text());
    }
    auto found = std::make_shared<const lane_list>(std::move(lanes));
    const std::lock_guard lock(mutex_);
    return lanes_ = std::move(found);
}

lane_list_ptr lane_table::make(const job_record& job, const std::string& token, connection& by,
                               deadline until) {
    command c;
    c.add(owner_.number()).add(token).add(write_lane({job.kind, job.queue, job.priority}));
    by.run(make_, c, until);
    return refresh(by, until);
}

void lane_table::forget() {
    const std::lock_guard lock(mutex_);
    lanes_ = std::make_shared<lane_list>();
}

}  // namespace postlude::detail::redis
