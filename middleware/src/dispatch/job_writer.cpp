// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "dispatch/job_writer.hpp"

#include "dispatch/job_service.hpp"

#include <sys/prctl.h>
#include <time.h>

#include <algorithm>
#include <iterator>
#include <limits>
#include <thread>
#include <utility>

namespace postlude::detail {

using boost::system::error_code;

namespace {

/// The end of a run waits at most so long for others to be committed with it: what a crash may
/// make run twice.
constexpr std::chrono::milliseconds ending_wait{5};
constexpr std::size_t endings_at_once = 256;
/// Of requests. While so many are written, those that were answered before come with their next.
constexpr std::size_t usual_puts_at_once = 256;
/// Where most of a commit is waiting, for a slow disk or another machine: the more share it the
/// better.
constexpr std::size_t most_puts_at_once = 1'024;
/// A batch smaller than this gains nothing by waiting for others.
constexpr std::size_t worth_gathering = 8;
constexpr std::chrono::microseconds gathering_step{30};
constexpr std::chrono::microseconds longest_gathering{400};

/// That this thread has used.
std::chrono::nanoseconds processor_time() noexcept {
    timespec t{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec);
}

/// Moves at most n elements from the front.
template <class T>
std::vector<T> take_front(std::vector<T>& from, std::size_t n) {
    if (from.size() <= n) {
        return std::exchange(from, {});
    }
    const auto middle = from.begin() + static_cast<std::ptrdiff_t>(n);
    std::vector<T> taken(std::move_iterator(from.begin()), std::move_iterator(middle));
    from.erase(from.begin(), middle);
    return taken;
}

}  // namespace

void job_writer::start() {
    thread_.start([this, keep_alive = service_.shared_from_this()] { run(); });
}

void job_writer::submit(waiter_ptr waiter) {
    auto refusal =
        service_.health().too_early() ? error_code(errc::store_unavailable) : error_code();
    if (!refusal) {
        const std::lock_guard lock(mutex_);
        if (!closed()) {
            waiter->begun = clock::now();
            const auto count = waiter->jobs.size();
            waiting_.requests.push_back({std::move(waiter), count});
            if (std::exchange(sleeping_, false)) {
                changed_.notify_one();
            }
            service_.watch_commits();
            return;
        }
        refusal = errc::stopped;
    }
    commit_waiter::finish(std::move(waiter), refusal);
}

std::size_t job_writer::under_way() const {
    const std::lock_guard lock(mutex_);
    return closed() ? std::numeric_limits<std::size_t>::max()
                    : waiting_.requests.size() + writing_.requests.size();
}

bool job_writer::owe(job_ptr job, put what) {
    const std::lock_guard lock(mutex_);
    if (closed()) {
        return false;
    }
    add({std::move(job), std::move(what)});
    return true;
}

void job_writer::add(owed_job owed) {
    waiting_.owed.push_back(std::move(owed));
    if (std::exchange(sleeping_, false)) {
        changed_.notify_one();
    }
}

bool job_writer::settle(job_ending ending) {
    const std::lock_guard lock(mutex_);
    if (closed()) {
        return false;
    }
    if (waiting_.endings.empty()) {
        oldest_ending_ = clock::now();
    }
    waiting_.endings.push_back(std::move(ending));
    const auto n = waiting_.endings.size();
    if ((n == 1 || n == endings_at_once) && std::exchange(sleeping_, false)) {
        changed_.notify_one();
    }
    return true;
}

bool job_writer::withdraw(std::span<const job_id> ids) {
    const std::lock_guard lock(mutex_);
    if (closed()) {
        return false;
    }
    waiting_.withdrawn.insert(waiting_.withdrawn.end(), ids.begin(), ids.end());
    if (std::exchange(sleeping_, false)) {
        changed_.notify_one();
    }
    return true;
}

bool job_writer::expire() {
    const auto before = clock::now() - service_.settings().commit_timeout;
    std::vector<waiter_ptr> late;
    bool any = false;
    {
        const std::lock_guard lock(mutex_);
        // In the order in which they came, so the oldest are in front. Those not begun yet go;
        // those that are being written are answered, and withdrawn when the store has answered.
        auto& requests = waiting_.requests;
        while (!requests.empty() && requests.front().waiter->begun < before) {
            late.push_back(std::move(requests.front().waiter));
            requests.pop_front();
        }
        for (auto& r : writing_.requests) {
            if (r.waiter && r.waiter->begun < before) {
                late.push_back(std::move(r.waiter));
            }
        }
        any = !requests.empty() || !writing_.requests.empty();
    }
    for (auto& waiter : late) {
        commit_waiter::finish(std::move(waiter), errc::store_timeout);
    }
    return any;
}

bool job_writer::ready(clock::time_point now) const {
    if (!waiting_.requests.empty() || stopping_) {
        return true;
    }
    if (now < not_before_) {
        return false;
    }
    const auto n = waiting_.endings.size();
    return !waiting_.owed.empty() || !waiting_.withdrawn.empty() || n >= endings_at_once ||
           (n != 0 && now >= oldest_ending_ + ending_wait);
}

void job_writer::wait(std::unique_lock<std::mutex>& lock) {
    for (;;) {
        const auto now = clock::now();
        if (ready(now)) {
            sleeping_ = false;
            return;
        }
        sleeping_ = true;
        auto until = clock::time_point::max();
        if (!waiting_.endings.empty()) {
            until = oldest_ending_ + ending_wait;
        }
        if (now < not_before_ &&
            !(waiting_.owed.empty() && waiting_.endings.empty() && waiting_.withdrawn.empty())) {
            until = not_before_;
        }
        if (until == clock::time_point::max()) {
            changed_.wait(lock);
        } else {
            changed_.wait_until(lock, until);
        }
    }
}

void job_writer::gather(std::unique_lock<std::mutex>& lock) {
    // Whoever was just answered is likely to come again at once, and shares this sync then instead
    // of waiting for the whole of it.
    const auto expected = std::min(std::exchange(answered_, 0), puts_at_once_);
    if (expected < worth_gathering || stopping_) {
        return;
    }
    const auto until = clock::now() + std::min<clock::duration>(longest_gathering, took_ / 2);
    auto before = waiting_.requests.size();
    while (waiting_.requests.size() < expected && clock::now() < until) {
        lock.unlock();
        std::this_thread::sleep_for(gathering_step);
        lock.lock();
        if (std::exchange(before, waiting_.requests.size()) == before) {
            return;  // nobody comes
        }
    }
}

void job_writer::take() {
    auto& from = waiting_.requests;
    puts_.clear();
    while (!from.empty() && puts_.size() < puts_at_once_) {
        // The texts are lent, and go back with the answer.
        std::ranges::move(from.front().waiter->puts, std::back_inserter(puts_));
        writing_.requests.push_back(std::move(from.front()));
        from.pop_front();
    }
    if (clock::now() >= not_before_ || !writing_.requests.empty() || stopping_) {
        writing_.owed = take_front(waiting_.owed, endings_at_once);
        writing_.endings = take_front(waiting_.endings, 2 * endings_at_once);
        writing_.withdrawn = std::exchange(waiting_.withdrawn, {});
        oldest_ending_ = clock::now();
    }
}

void job_writer::run() {
    ::prctl(PR_SET_TIMERSLACK, 1'000, 0, 0, 0);  // or `gather` sleeps for 50 us longer
    std::unique_lock lock(mutex_);
    for (;;) {
        wait(lock);
        gather(lock);
        if (abandoned_) {
            const auto left = std::exchange(waiting_.withdrawn, {});
            // What is here refers to the service, and it to this.
            waiting_ = {};
            writing_ = {};
            lock.unlock();
            service_.withdraw(left);  // which says that it can't
            return;
        }
        take();
        if (writing_.empty()) {
            if (stopping_) {
                break;
            }
            continue;
        }
        lock.unlock();
        const auto begin = clock::now();
        const auto worked = processor_time();
        write();
        took_ = clock::now() - begin;
        choose_size(processor_time() - worked);
        lock.lock();
        if (stopping_) {
            changed_.wait_until(lock, not_before_, [this] { return abandoned_; });
        }
    }
    ended_ = true;
}

void job_writer::choose_size(clock::duration worked) noexcept {
    const auto waited = took_ - worked;
    if (waited > 2 * worked) {
        puts_at_once_ = most_puts_at_once;
    } else if (waited < worked / 2) {
        puts_at_once_ = usual_puts_at_once;
    }
}

bool job_writer::ended() {
    const std::lock_guard lock(mutex_);
    return ended_;
}

std::vector<job_ptr> job_writer::stop(clock::time_point until) {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
        changed_.notify_all();
    }
    std::vector<job_ptr> left;
    if (thread_.join(until)) {
        return left;
    }
    // It hangs in the store: whoever waits is told, and what is owed is the caller's.
    std::vector<waiter_ptr> unanswered;
    {
        const std::lock_guard lock(mutex_);
        abandoned_ = true;
        changed_.notify_all();
        for (auto* list : {&waiting_.owed, &writing_.owed}) {
            for (auto& o : *list) {
                if (o.job) {
                    left.push_back(o.job);
                }
            }
        }
        for (auto* list : {&waiting_.requests, &writing_.requests}) {
            for (auto& r : *list) {
                if (r.waiter) {
                    unanswered.push_back(std::move(r.waiter));
                }
            }
        }
        waiting_.requests.clear();
    }
    for (auto& waiter : unanswered) {
        commit_waiter::finish(std::move(waiter), errc::stopped);
    }
    return left;
}

}  // namespace postlude::detail
