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

void store_health::failed(std::string_view why) noexcept {
    const std::lock_guard lock(mutex_);
    last_ = clock::now();
    ++failures_;
    if (!down_.exchange(true)) {
        since_ = last_;
        log_->error(
            "the store of jobs does not work: {}; until it does, requests that need it get 503, "
            "and jobs wait",
            why);
    }
}

void store_health::is_back() noexcept {
    const std::lock_guard lock(mutex_);
    if (down_.exchange(false)) {
        failures_ = 0;
        log_->info("the store of jobs works again, after {} ms",
                   std::chrono::duration_cast<milliseconds>(clock::now() - since_).count());
    }
}

bool store_health::too_early() const noexcept {
    if (!down()) {
        return false;
    }
    const std::lock_guard lock(mutex_);
    return clock::now() < last_ + pause_after(failures_);
}

milliseconds store_health::pause() const noexcept {
    const std::lock_guard lock(mutex_);
    return pause_after(failures_);
}

}  // namespace postlude::detail
