// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "dispatch/job_claimer.hpp"

#include "dispatch/job_service.hpp"

#include <algorithm>

namespace postlude::detail {

using clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

namespace {

/// At most so many jobs of a queue are claimed and wait here: what others could run meanwhile.
constexpr std::uint32_t most_prefetched = 512;
constexpr milliseconds longest_wait{1'000};
/// While some queue has no use for more: it may have soon.
constexpr milliseconds short_wait{20};
/// What is claimed should last for so long, and for as long as the store takes to give more and to
/// take the ends, whose commits are no quicker than a claim's.
constexpr milliseconds ahead{20};
constexpr int store_calls_ahead = 4;

}  // namespace

void job_claimer::start() {
    credits_.resize(service_.queues().size());
    ended_before_.resize(service_.queues().size());
    for (auto& queue : service_.queues()) {
        queue.prefetch = 2 * queue.workers;
    }
    looked_ = clock::now();
    thread_.start([this, keep_alive = service_.shared_from_this()] { run(); });
}

void job_claimer::wake() noexcept {
    {
        const std::lock_guard lock(mutex_);
        woken_ = true;
        changed_.notify_one();
        if (!claims_for_some_) {
            return;
        }
        claims_for_some_ = false;
    }
    // It waits in the store for jobs of the other queues.
    service_.raw_store().interrupt();
}

void job_claimer::adapt(std::size_t i, clock::duration passed) {
    auto& queue = service_.queues()[i];
    const auto ended = queue.ended.load(std::memory_order_relaxed);
    const auto runs = static_cast<double>(ended - std::exchange(ended_before_[i], ended));
    const auto rate = runs / std::max(1e-4, std::chrono::duration<double>(passed).count());
    const std::chrono::duration<double> lasts = ahead + store_calls_ahead * claim_took_;
    const auto wanted =
        static_cast<std::uint32_t>(std::min<double>(most_prefetched, rate * lasts.count()));
    const auto least = std::min(2 * queue.workers, most_prefetched);
    // Up at once, down by and by.
    const auto before = queue.prefetch.load(std::memory_order_relaxed);
    queue.prefetch = std::max({least, wanted, before - before / 8});
}

bool job_claimer::count_credits() {
    const auto now = clock::now();
    if (now - looked_ >= milliseconds(5)) {
        for (std::size_t i = 0; i != credits_.size(); ++i) {
            adapt(i, now - looked_);
        }
        looked_ = now;
    }
    bool any = false;
    short_of_ = false;
    for (std::size_t i = 0; i != credits_.size(); ++i) {
        auto& queue = service_.queues()[i];
        const auto in_hand = queue.in_hand.load(std::memory_order_relaxed);
        const auto most = queue.prefetch.load(std::memory_order_relaxed);
        credits_[i] = in_hand <= most / 2 ? most - in_hand : 0;
        const auto left = service_.pool().counters(queue_id{static_cast<std::uint8_t>(i)}).left;
        const auto room = queue.capacity > left ? queue.capacity - left : 0;
        credits_[i] = std::min<std::size_t>(credits_[i], room);
        any = any || credits_[i] != 0;
        short_of_ = short_of_ || credits_[i] == 0;
    }
    return any;
}

void job_claimer::run() {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
        woken_ = false;
        lock.unlock();
        const bool room = count_credits();
        if (room) {
            claim();
        }
        lock.lock();
        claims_for_some_ = false;
        if (!room && !stopping_) {
            // Whoever ends a run wakes this; the time is for queues that are full of other work.
            changed_.wait_for(lock, milliseconds(20), [this] { return woken_ || stopping_; });
        } else if (service_.health().failing(store_call::claim) && !stopping_) {
            changed_.wait_for(lock, service_.health().pause(store_call::claim),
                              [this] { return stopping_; });
        }
    }
}

void job_claimer::claim() {
    std::vector<claimed_job> claimed;
    {
        const std::lock_guard lock(mutex_);
        if (stopping_ || (short_of_ && woken_)) {
            return;  // there may be room by now
        }
        claims_for_some_ = short_of_;
    }
    try {
        auto& store = service_.raw_store();
        const auto begin = clock::now();
        claimed = store.claim(credits_, milliseconds(0));
        if (!claimed.empty()) {
            claim_took_ += (clock::now() - begin - claim_took_) / 4;
        } else {
            if (stopping()) {
                return;  // this claim may have used up the interruption
            }
            // All that was spilled is claimed, so memory is good enough again.
            look_at_backlog(std::vector<std::size_t>(credits_.size()));
            claimed = store.claim(credits_, short_of_ ? short_wait : longest_wait);
        }
        service_.health().worked(store_call::claim);
    } catch (const std::exception& e) {
        service_.health().failed(store_call::claim, e.what());
        return;
    }
    std::vector<std::size_t> got(credits_.size());
    job_list jobs;
    jobs.reserve(claimed.size());
    for (auto& c : claimed) {
        if (auto j = service_.adopt(std::move(c))) {
            ++got[static_cast<std::size_t>(j->kind->queue)];
            jobs.push_back(std::move(j));
        }
    }
    if (stopping()) {
        for (const auto& j : jobs) {
            service_.give_back(j, "the process is being stopped");  // others can run it
        }
        return;
    }
    look_at_backlog(got);
    for (const auto& j : service_.run_now(std::move(jobs))) {
        service_.give_back(j, "there was no room for it");
    }
}

bool job_claimer::stopping() {
    const std::lock_guard lock(mutex_);
    return stopping_;
}

void job_claimer::look_at_backlog(const std::vector<std::size_t>& got) {
    for (std::size_t i = 0; i != got.size(); ++i) {
        auto& queue = service_.queues()[i];
        // Those that are being stored right now may be overtaken, by some milliseconds; to wait for
        // a moment without any would keep a busy queue from ever using memory again.
        if (credits_[i] != 0 && got[i] < credits_[i]) {
            queue.spilled.store(false, std::memory_order_relaxed);
        }
    }
}

void job_claimer::stop_claiming() {
    if (!thread_.started()) {
        return;
    }
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
        changed_.notify_all();
    }
    service_.raw_store().interrupt();
}

bool job_claimer::stop(clock::time_point until) {
    stop_claiming();
    return thread_.join(until);
}

}  // namespace postlude::detail
