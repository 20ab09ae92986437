// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/sqlite/store.hpp"

#include <algorithm>

namespace postlude::detail::sqlite {

void wake_up::changed() noexcept {
    {
        const std::lock_guard lock(mutex_);
        ++changes_;
    }
    condition_.notify_all();
}

void wake_up::interrupt() noexcept {
    {
        const std::lock_guard lock(mutex_);
        interrupted_ = true;
    }
    condition_.notify_all();
}

std::uint64_t wake_up::changes() {
    const std::lock_guard lock(mutex_);
    return changes_;
}

wake_up::reason wake_up::wait(std::uint64_t seen, std::chrono::steady_clock::time_point until) {
    std::unique_lock lock(mutex_);
    condition_.wait_until(lock, until, [&] { return interrupted_ || changes_ != seen; });
    if (std::exchange(interrupted_, false)) {
        return reason::interrupted;
    }
    return changes_ != seen ? reason::changed : reason::time;
}

std::vector<claimed_job> store::claim(std::span<const std::size_t> credits,
                                      std::chrono::milliseconds longest_wait) {
    using std::chrono::steady_clock;
    const auto start = steady_clock::now();
    const auto deadline =
        start + std::min<std::chrono::milliseconds>(longest_wait, std::chrono::hours(1));
    for (;;) {
        const auto seen = wake_.changes();
        if (wake_.wait(seen, start) == wake_up::reason::interrupted) {
            return {};
        }
        std::optional<store_time> next;
        auto jobs = try_claim(credits, next);
        if (!jobs.empty() || !wait_for_jobs(seen, next, deadline)) {
            return jobs;
        }
    }
}

std::vector<claimed_job> store::try_claim(std::span<const std::size_t> credits,
                                          std::optional<store_time>& next) {
    const std::lock_guard lock(s_->write);
    s_->data_version.bind().step();
    s_->version_seen = s_->data_version.integer(0);
    s_->data_version.reset();
    const claimer::allowance may{credits, !s_->suspect};
    // A look takes no lock from those who write.
    next = s_->claims.next(may);
    if (!next || *next > now()) {
        return {};
    }
    const auto claim = ++s_->claim_count;
    // Not synced: if it is lost with the machine's power, the jobs are ready again, and their owner
    // is gone.
    auto jobs = write(false, [&] {
        s_->owners.hold_lease();
        return s_->claims.take(may, now(), s_->owners.self(), claim);
    });
    const auto suspect =
        std::ranges::find_if(jobs, [](const claimed_job& c) { return c.job.crashes > 0; });
    if (suspect != jobs.end()) {
        s_->suspect = suspect->held;
    }
    return jobs;
}

/// True when it is worth looking again, false at the deadline or when interrupted.
bool store::wait_for_jobs(std::uint64_t seen, std::optional<store_time> next,
                          std::chrono::steady_clock::time_point deadline) {
    using std::chrono::steady_clock;
    auto until = deadline;
    if (next && *next - now() < deadline - steady_clock::now()) {
        until = steady_clock::now() + std::max(*next - now(), store_time::duration(0));
    }
    for (;;) {
        switch (wake_.wait(seen, std::min(until, steady_clock::now() + options_.poll))) {
        case wake_up::reason::interrupted: return false;
        case wake_up::reason::changed: return true;
        case wake_up::reason::time: break;
        }
        if (steady_clock::now() >= until) {
            return until < deadline;
        }
        if (others_wrote()) {
            return true;
        }
    }
}

bool store::others_wrote() {
    const std::lock_guard lock(s_->write);
    s_->data_version.bind().step();
    const auto version = s_->data_version.integer(0);
    s_->data_version.reset();
    return version != s_->version_seen;
}

}  // namespace postlude::detail::sqlite
