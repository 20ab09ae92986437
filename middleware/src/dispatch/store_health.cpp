// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "dispatch/store_health.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>

namespace postlude::detail {

using std::chrono::milliseconds;

namespace {

milliseconds pause_after(unsigned failures) noexcept {
    return std::min(milliseconds(50) * (1U << std::min(failures, 5U)), milliseconds(1'000));
}

}  // namespace

void store_health::failed(store_call which, std::string_view why) noexcept {
    const std::lock_guard lock(mutex_);
    auto& r = records_[static_cast<std::size_t>(which)];
    r.last = clock::now();
    ++r.failures;
    if (failing_.fetch_or(bit(which)) == 0) {
        since_ = r.last;
        log_->error(
            "the store of jobs does not work: {}; until it does, requests that need it get 503, "
            "and jobs wait",
            why);
    }
}

void store_health::is_back(store_call which) noexcept {
    const std::lock_guard lock(mutex_);
    records_[static_cast<std::size_t>(which)].failures = 0;
    if (failing_.fetch_and(~bit(which)) == bit(which)) {
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
