// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "dispatch/store_health.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <new>
#include <utility>

namespace postlude::detail {

using std::chrono::milliseconds;

namespace {

milliseconds pause_after(unsigned failures) noexcept {
    return std::min(milliseconds(50) * (1U << std::min(failures, 5U)), milliseconds(1'000));
}

bool is_upkeep(store_call which) noexcept {
    return which == store_call::withdraw || which == store_call::rescue ||
           which == store_call::prune;
}

const char* name_of(store_call upkeep) noexcept {
    return upkeep == store_call::withdraw ? "withdrawal"
           : upkeep == store_call::rescue ? "rescue"
                                          : "pruning";
}

/// When the store is gone, the essential calls have failed too by then.
constexpr unsigned upkeep_tries = 5;
constexpr std::chrono::minutes between_lines{1};

}  // namespace

void store_health::failed(store_call which, std::string_view why) noexcept {
    const std::lock_guard lock(mutex_);
    auto& r = records_[static_cast<std::size_t>(which)];
    r.last = clock::now();
    ++r.failures;
    const auto before = failing_.fetch_or(bit(which));
    if (is_upkeep(which)) {
        if (!r.told && r.failures >= upkeep_tries && (before & essential_calls()) == 0) {
            r.told = true;
            log_->error("the {} of jobs in the store does not succeed: {}; it is tried again",
                        name_of(which), why);
        }
    } else if ((before & essential_calls()) == 0) {
        since_ = r.last;
        log_->error(
            "the store of jobs does not work: {}; until it does, requests that need it get 503, "
            "and jobs wait",
            why);
    }
}

void store_health::left_out(std::string_view why) noexcept {
    if (why.empty()) {
        return;
    }
    const std::lock_guard lock(mutex_);
    const auto now = clock::now();
    if (why == last_left_out_ && now - left_out_at_ < between_lines) {
        return;
    }
    left_out_at_ = now;
    log_->error(
        "the store of jobs could not take all of a commit: {}; requests with such a job get 503, "
        "and jobs that are owed are tried again",
        why);
    try {
        last_left_out_ = why;
    } catch (const std::bad_alloc&) {
        last_left_out_.clear();  // there is one line too many then
    }
}

void store_health::is_back(store_call which) noexcept {
    const std::lock_guard lock(mutex_);
    auto& r = records_[static_cast<std::size_t>(which)];
    r.failures = 0;
    const auto before = failing_.fetch_and(~bit(which));
    if (is_upkeep(which)) {
        if (std::exchange(r.told, false)) {
            log_->info("the {} of jobs in the store succeeds again", name_of(which));
        }
    } else if ((before & essential_calls()) == bit(which)) {
        log_->info("the store of jobs works again, after {} ms",
                   std::chrono::duration_cast<milliseconds>(clock::now() - since_).count());
    }
}

bool store_health::too_early() const noexcept {
    if (!failing(store_call::commit)) {
        return false;
    }
    const std::lock_guard lock(mutex_);
    const auto& r = of(store_call::commit);
    return clock::now() < r.last + pause_after(r.failures);
}

milliseconds store_health::pause(store_call which) const noexcept {
    const std::lock_guard lock(mutex_);
    return pause_after(of(which).failures);
}

}  // namespace postlude::detail
