// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "dispatch/job_timers.hpp"

#include "dispatch/job_service.hpp"

#include <algorithm>
#include <utility>

namespace postlude::detail {

namespace {

/// When the queue of a job whose time has come is full.
constexpr std::chrono::milliseconds full_pause{50};

}  // namespace

void job_timers::start() {
    thread_ = std::thread([this] { run(); });
}

bool job_timers::add(const job_ptr& job, clock::time_point when) {
    const std::lock_guard lock(mutex_);
    if (stopping_) {
        return false;
    }
    const bool first = jobs_.empty() || when < jobs_.begin()->first;
    jobs_.emplace(when, job);
    if (first) {
        changed_.notify_one();
    }
    return true;
}

void job_timers::watch_commits() {
    const std::lock_guard lock(mutex_);
    if (!watching_) {
        watching_ = true;
        changed_.notify_one();
    }
}

void job_timers::run() {
    const auto& settings = service_.settings();
    const auto step = std::clamp(settings.commit_timeout / 10, std::chrono::milliseconds(1),
                                 std::chrono::milliseconds(100));
    std::unique_lock lock(mutex_);
    while (!stopping_) {
        auto next = clock::time_point::max();
        if (watching_) {
            next = clock::now() + step;
        }
        if (!jobs_.empty()) {
            next = std::min(next, jobs_.begin()->first);
        }
        if (next == clock::time_point::max()) {
            changed_.wait(lock);
        } else {
            changed_.wait_until(lock, next);
        }
        const auto now = clock::now();
        job_list due;
        while (!jobs_.empty() && jobs_.begin()->first <= now) {
            due.push_back(std::move(jobs_.begin()->second));
            jobs_.erase(jobs_.begin());
        }
        const bool watching = std::exchange(watching_, false);
        lock.unlock();
        auto left = service_.run_now(std::move(due));
        const bool waits = watching && service_.expire_commits();
        lock.lock();
        watching_ = watching_ || waits;
        for (auto& j : left) {
            jobs_.emplace(now + full_pause, std::move(j));
        }
    }
}

job_list job_timers::stop() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
        changed_.notify_all();
    }
    if (thread_.joinable()) {
        thread_.join();
    }
    job_list left;
    for (auto& [when, j] : jobs_) {
        left.push_back(std::move(j));
    }
    jobs_.clear();
    return left;
}

}  // namespace postlude::detail
