// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "dispatch/job_questions.hpp"

#include "dispatch/job_service.hpp"

#include <utility>

namespace postlude::detail {

void job_questions::post(std::shared_ptr<question> what) {
    {
        const std::lock_guard lock(mutex_);
        if (!stopping_) {
            if (!thread_.joinable()) {
                thread_ = std::thread([this, keep_alive = service_.shared_from_this()] { run(); });
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
    ended_ = true;
    changed_.notify_all();
}

bool job_questions::stop(clock::time_point until) {
    std::unique_lock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
    if (!thread_.joinable()) {
        return true;
    }
    if (changed_.wait_until(lock, until, [this] { return ended_; })) {
        lock.unlock();
        thread_.join();
        return true;
    }
    auto left = std::exchange(waiting_, {});
    if (current_) {
        left.push_front(current_);
    }
    lock.unlock();
    for (const auto& one : left) {
        one->give_up();
    }
    thread_.detach();  // it keeps the service alive
    return false;
}

}  // namespace postlude::detail
