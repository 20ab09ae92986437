// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "dispatch/job_keeper.hpp"

#include "dispatch/job_service.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>

namespace postlude::detail {

using std::chrono::milliseconds;

namespace {

constexpr std::size_t rescued_at_once = 1'000;
constexpr milliseconds between_looks_at_the_dead{1'000};
constexpr std::chrono::seconds between_prunings{30};
/// A renewal is a sign of life, too: brokers end a connection that says nothing for a minute or
/// two.
constexpr milliseconds longest_silence{10'000};

/// Something to be done again and again, in steps that take no longer than a call of the store:
/// what is urgent waits for no more than that.
struct chore {
    milliseconds every;
    bool (job_keeper::*step)();  ///< true when there is more to do at once
    store_call call;
    job_keeper::clock::time_point next;
};

}  // namespace

void job_keeper::start() {
    thread_.start([this, keep_alive = service_.shared_from_this()] { run(); });
}

void job_keeper::run() {
    const auto now = clock::now();
    const auto& settings = service_.settings();
    const milliseconds rescues = service_.can().sees_death
                                     ? std::min(between_looks_at_the_dead, settings.rescue_interval)
                                     : settings.rescue_interval;
    const auto renewals = std::min(settings.lease / 6, longest_silence);
    chore chores[] = {
        {renewals, &job_keeper::renew, store_call::renew, now + renewals},
        {rescues, &job_keeper::rescue, store_call::rescue, now},
        {between_prunings, &job_keeper::prune, store_call::prune, now + between_prunings},
    };
    std::unique_lock lock(mutex_);
    while (!stopping_) {
        const auto next = std::ranges::min_element(chores, {}, &chore::next)->next;
        changed_.wait_until(lock, next, [this] { return stopping_.load(); });
        lock.unlock();
        for (auto& c : chores) {
            if (!stopping_ && clock::now() >= c.next) {
                auto pause = c.every;
                try {
                    if ((this->*c.step)()) {
                        pause = {};
                    }
                    service_.health().worked(c.call);
                } catch (const std::exception& e) {
                    service_.health().failed(c.call, e.what());
                    pause = std::min(pause, service_.health().pause(c.call));
                }
                c.next = clock::now() + pause;
            }
        }
        lock.lock();
    }
}

bool job_keeper::renew() {
    std::vector<receipt> held;
    for (const auto& j : service_.in_hand().all()) {
        if (j->now != job::phase::ended && j->held) {
            held.push_back(*j->held);
        }
    }
    // Also with none: the process itself is alive.
    const auto lost = service_.raw_store().renew(held);
    if (!lost.empty()) {
        service_.lost_leases(lost);
    }
    return false;
}

bool job_keeper::rescue() {
    const auto rescued = service_.raw_store().rescue(rescued_at_once);
    for (const auto& r : rescued) {
        service_.rescued(r);
    }
    return rescued.size() >= rescued_at_once;
}

bool job_keeper::prune() { return service_.raw_store().prune(service_.settings().keep) != 0; }

bool job_keeper::stop(clock::time_point until) {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
        changed_.notify_all();
    }
    return thread_.join(until);
}

}  // namespace postlude::detail
