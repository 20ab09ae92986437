// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_TESTS_SUPPORT_EVENTUALLY_HPP
#define POSTLUDE_TESTS_SUPPORT_EVENTUALLY_HPP

#include <chrono>
#include <condition_variable>
#include <latch>
#include <memory>
#include <mutex>

namespace test {

/// Longer than anything takes on a busy machine under a sanitizer: reaching it is a failure.
inline constexpr std::chrono::seconds patience{60};

/// Waits until `done()`; false when the patience is over first.
template <class Done>
bool eventually(Done done) {
    std::mutex mutex;
    std::condition_variable never;
    std::unique_lock lock(mutex);
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (!done()) {
        if (std::chrono::steady_clock::now() > deadline) {
            return false;
        }
        never.wait_for(lock, std::chrono::milliseconds(1));
    }
    return true;
}

/// A door that tasks wait at until the test opens it. Opens when it is destroyed, so that a
/// failed test does not hang. Copies are the same door.
class door {
public:
    void open() { state_->open(); }
    void wait() const { state_->wait(); }
    /// Waits until n tasks stand at the door, or the patience is over.
    bool wait_for_waiters(unsigned n) const { return state_->wait_for_waiters(n); }

private:
    struct state {
        std::mutex mutex;
        std::condition_variable changed;
        unsigned waiters = 0;
        bool is_open = false;

        void open() {
            const std::lock_guard lock(mutex);
            is_open = true;
            changed.notify_all();
        }
        void wait() {
            std::unique_lock lock(mutex);
            ++waiters;
            changed.notify_all();
            changed.wait(lock, [&] { return is_open; });
        }
        bool wait_for_waiters(unsigned n) {
            std::unique_lock lock(mutex);
            return changed.wait_for(lock, patience, [&] { return waiters >= n; });
        }
    };
    std::shared_ptr<state> state_ = std::make_shared<state>();
};

/// Opens a door at the end of a scope.
class door_opener {
public:
    explicit door_opener(door d) : door_(std::move(d)) {}
    door_opener(const door_opener&) = delete;
    door_opener& operator=(const door_opener&) = delete;
    ~door_opener() { door_.open(); }

private:
    door door_;
};

}  // namespace test

#endif
