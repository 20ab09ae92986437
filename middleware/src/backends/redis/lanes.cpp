// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/redis/lanes.hpp"

#include "backends/redis/records.hpp"

namespace postlude::detail::redis {

std::size_t lane_table::number_of(const job_record& job, const std::string& token, connection& by,
                                  deadline until) {
    const stored_key wanted(job.kind, job.queue, job.priority);
    {
        const std::lock_guard lock(mutex_);
        if (const auto found = numbers_.find(wanted); found != numbers_.end()) {
            return found->second;
        }
    }
    command c;
    c.add(owner_.number()).add(token).add(write_lane({job.kind, job.queue, job.priority}));
    const auto number = static_cast<std::size_t>(by.run(make_, c, until).integer());
    const std::lock_guard lock(mutex_);
    numbers_.emplace(wanted, number);
    return number;
}

std::vector<lane> lane_table::refresh(connection& by, deadline until) {
    auto lanes = known();
    command c({"LRANGE", list_});
    c.add(lanes.size()).add("-1");
    const auto answer = by.call(c, until);
    if (answer.is_error()) {
        by.refuse(answer.text());
    }
    for (std::size_t i = 0; i < answer.size(); ++i) {
        lanes.push_back(read_lane(answer[i].text()));
    }
    const std::lock_guard lock(mutex_);
    if (lanes.size() > lanes_.size()) {
        lanes_ = lanes;
    }
    return lanes;
}

std::vector<lane> lane_table::known() const {
    const std::lock_guard lock(mutex_);
    return lanes_;
}

void lane_table::forget() {
    const std::lock_guard lock(mutex_);
    lanes_.clear();
    numbers_.clear();
}

}  // namespace postlude::detail::redis
