// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_DISPATCH_JOB_COUNTS_HPP
#define POSTLUDE_SRC_DISPATCH_JOB_COUNTS_HPP

#include "postlude/core/counters.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace postlude::detail {

enum class job_count : std::uint8_t {
    registered,
    claimed,
    refused,
    discarded,
    completed,
    dead,
    lost,
    handed_over,
    revoked,
    spilled,
    retried,
    interrupted,
    rescued,
    quarantined,
    left,
};

/// The counts of one queue. From any thread.
class job_counts {
public:
    void add(job_count which, std::uint64_t n = 1) noexcept {
        counts_[static_cast<std::size_t>(which)].fetch_add(n, std::memory_order_relaxed);
    }
    /// A job that this process has taken on has ended like this.
    void end(job_count how) noexcept {
        add(how);
        counts_[static_cast<std::size_t>(job_count::left)].fetch_sub(1, std::memory_order_relaxed);
    }
    std::uint64_t get(job_count which) const noexcept {
        return counts_[static_cast<std::size_t>(which)].load(std::memory_order_relaxed);
    }
    job_counters all() const noexcept {
        return {.registered = get(job_count::registered),
                .claimed = get(job_count::claimed),
                .refused = get(job_count::refused),
                .discarded = get(job_count::discarded),
                .completed = get(job_count::completed),
                .dead = get(job_count::dead),
                .lost = get(job_count::lost),
                .handed_over = get(job_count::handed_over),
                .revoked = get(job_count::revoked),
                .left = get(job_count::left),
                .spilled = get(job_count::spilled),
                .retried = get(job_count::retried),
                .interrupted = get(job_count::interrupted),
                .rescued = get(job_count::rescued),
                .quarantined = get(job_count::quarantined)};
    }

private:
    std::array<std::atomic<std::uint64_t>, static_cast<std::size_t>(job_count::left) + 1> counts_{};
};

}  // namespace postlude::detail

#endif
