// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_DISPATCH_JOBS_IN_HAND_HPP
#define POSTLUDE_SRC_DISPATCH_JOBS_IN_HAND_HPP

#include "postlude/dispatch/detail/job.hpp"

#include <mutex>
#include <unordered_map>
#include <vector>

namespace postlude::detail {

/// The jobs that this process has taken on and not ended: whose leases are to be renewed, and what
/// a drain has to save. From any thread.
class jobs_in_hand {
public:
    void add(const job_ptr& j) {
        const std::lock_guard lock(mutex_);
        jobs_.emplace(j.get(), j);
    }
    void remove(const job& j) noexcept {
        const std::lock_guard lock(mutex_);
        jobs_.erase(const_cast<job*>(&j));
    }
    bool empty() const {
        const std::lock_guard lock(mutex_);
        return jobs_.empty();
    }
    std::vector<job_ptr> all() const {
        const std::lock_guard lock(mutex_);
        std::vector<job_ptr> found;
        found.reserve(jobs_.size());
        for (const auto& [address, j] : jobs_) {
            found.push_back(j);
        }
        return found;
    }

private:
    mutable std::mutex mutex_;
    std::unordered_map<job*, job_ptr> jobs_;
};

}  // namespace postlude::detail

#endif
