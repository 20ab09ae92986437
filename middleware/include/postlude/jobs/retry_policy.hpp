// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_JOBS_RETRY_POLICY_HPP
#define POSTLUDE_JOBS_RETRY_POLICY_HPP

#include <chrono>

namespace postlude {

/// How long a job waits before it is tried again.
///
/// After its n-th failure: base + unit * n^exponent, at most `longest`, times a random factor
/// between 1 - jitter and 1 + jitter, so that jobs which failed together do not come back together.
/// The default waits 16 s, 31 s, 96 s, 271 s, ... and 1.5 days after the 19th failure.
struct retry_policy {
    std::chrono::milliseconds base{15'000};  ///< 0 to a year
    unsigned exponent = 4;                   ///< 0 to 8; 0 waits base + unit each time
    std::chrono::seconds unit{1};  ///< what n^exponent counts, from 0; 0 waits `base` each time
    std::chrono::milliseconds longest = std::chrono::hours(24 * 7);  ///< from 0
    double jitter = 0.1;                                             ///< 0 to 1

    /// @param failures so far, from 1.
    /// @param random evenly distributed in [0, 1).
    std::chrono::milliseconds delay(unsigned failures, double random) const noexcept;
};

}  // namespace postlude

#endif
