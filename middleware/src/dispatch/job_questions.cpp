// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "dispatch/job_questions.hpp"

#include "dispatch/job_service.hpp"

#include <utility>

namespace postlude::detail {

void job_questions::post(std::shared_ptr<question> what) {
    {
        const std::lock_guard lock(mutex_);
        if (!stopping_) {
            if (!thread_.started()) {
                thread_.start([this, keep_alive = service_.shared_from_this()] { run(); });
            }
            waiting_.push_back(std::move(what));
            changed_.notify_one();
            return;
        }
    }
    what->give_up();
}

void job_questions::run() {
    std::unique_lock lock(mutex_);
    for (;;) {
        changed_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
        if (waiting_.empty()) {
            break;
        }
        current_ = std::move(waiting_.front());
        waiting_.pop_front();
        const auto now = current_;
        lock.unlock();
        now->ask(service_);
        lock.lock();
        current_.reset();
    }
}

bool job_questions::stop(clock::time_point until) {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
        changed_.notify_all();
    }
    if (thread_.join(until)) {
        return true;
    }
    std::unique_lock lock(mutex_);
    auto left = std::exchange(waiting_, {});
    if (current_) {
        left.push_front(current_);
    }
    lock.unlock();
    for (const auto& one : left) {
        one->give_up();
    }
    return false;
}

}  // namespace postlude::detail
