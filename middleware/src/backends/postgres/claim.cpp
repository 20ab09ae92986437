// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/postgres/store.hpp"

#include <algorithm>

namespace postlude::detail::postgres {

namespace {

/// In polls: how often to look although the server would tell. It may have told a connection that
/// broke.
constexpr int look_anyway = 50;

}  // namespace

std::vector<claimed_job> store::claim(std::span<const std::size_t> credits,
                                      std::chrono::milliseconds longest_wait) {
    const std::lock_guard lock(s_->claiming);
    const auto start = clock::now();
    const auto deadline =
        start + std::min<std::chrono::milliseconds>(longest_wait, std::chrono::hours(1));
    for (;;) {
        const auto seen = wake_.changes();
        if (wake_.wait(seen, -1, start) == wake_up::reason::interrupted) {
            return {};
        }
        const bool may_wait = clock::now() < deadline;
        std::optional<clock::time_point> next;
        if (may_wait) {
            next.emplace();
        }
        auto jobs = try_claim(credits, next);
        if (!jobs.empty() || !may_wait || !wait_for_jobs(seen, next, deadline)) {
            return jobs;
        }
    }
}

/// Gives `next` the time at which the next job is due, if it is there to be given one.
std::vector<claimed_job> store::try_claim(std::span<const std::size_t> credits,
                                          std::optional<clock::time_point>& next) {
    claimer::allowance may{credits, true};
    {
        const std::lock_guard lock(s_->suspect_mutex);
        may.a_suspect = !s_->suspect;
    }
    std::vector<claimed_job> jobs;
    const auto number = ++s_->claim_count;
    try {
        jobs = s_->claims.take(s_->claimed, may, number);
        if (jobs.empty() && next) {
            const auto wait = s_->claims.until_next(s_->claimed, may);
            // One that is due is being taken by another process, or was locked for a moment.
            constexpr std::chrono::microseconds moment{2'000};
            next = wait ? std::optional(clock::now() + std::max(*wait, moment)) : std::nullopt;
        }
    } catch (const broken& e) {
        s_->owners.forget();
        if (e.sent()) {
            doubt(number);
        }
        throw;
    } catch (...) {
        s_->owners.forget();
        throw;
    }
    const auto suspect =
        std::ranges::find_if(jobs, [](const claimed_job& c) { return c.job.crashes > 0; });
    if (suspect != jobs.end()) {
        hold_suspect(suspect->held);
    }
    return jobs;
}

/// True when it is worth looking again, false at the deadline or when interrupted.
bool store::wait_for_jobs(std::uint64_t seen, std::optional<clock::time_point> next,
                          clock::time_point deadline) {
    const auto look = clock::now() + (s_->where.pooled ? 1 : look_anyway) * options_.poll;
    const auto until = std::min({deadline, next.value_or(deadline), look});
    // A notification that came with the last answer is not in the socket any more.
    if (!s_->where.pooled && s_->claimed.has_heard()) {
        return true;
    }
    for (;;) {
        const auto socket = s_->where.pooled ? -1 : s_->claimed.socket();
        switch (wake_.wait(seen, socket, until)) {
        case wake_up::reason::interrupted: return false;
        case wake_up::reason::changed: return true;
        case wake_up::reason::time: return clock::now() < deadline;
        case wake_up::reason::server:
            if (s_->claimed.has_heard()) {
                return true;
            }
        }
    }
}

void store::hold_suspect(const receipt& held) {
    const std::lock_guard lock(s_->suspect_mutex);
    s_->suspect = held;
}

bool store::let_go(const receipt& held) {
    const std::lock_guard lock(s_->suspect_mutex);
    if (s_->suspect != held) {
        return false;
    }
    s_->suspect.reset();
    return true;
}

}  // namespace postlude::detail::postgres
