// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_CORE_COUNTERS_HPP
#define POSTLUDE_CORE_COUNTERS_HPP

#include <cstdint>

namespace postlude {

/// What became of the tasks of one queue, or of all, since the pool began.
///
/// When no list is open, `registered == refused + discarded + completed + failed + lost + left`.
/// While lists are open the two sides differ by the tasks in them: a list's tasks are added to
/// `registered` when it is released, and are `left` from the moment they hold their place.
struct counters {
    std::uint64_t registered = 0;   ///< asked for, refusals included
    std::uint64_t refused = 0;      ///< full or stopped: never accepted
    std::uint64_t discarded = 0;    ///< accepted, then excluded by the request's outcome
    std::uint64_t completed = 0;    ///< ran and returned
    std::uint64_t failed = 0;       ///< ran and threw, or stopped at its run-time limit
    std::uint64_t lost = 0;         ///< accepted, not finished when the drain's deadline passed
    std::uint64_t left = 0;         ///< accepted and not finished: waiting, running or suspended
    std::uint64_t posted = 0;       ///< functions run through the executor; in no sum above
    std::uint64_t overrunning = 0;  ///< running past their limit at this moment (a gauge)
    std::uint64_t overran = 0;      ///< tasks that ever ran past their limit

    /// Adds each member of `other`.
    counters& operator+=(const counters& other) noexcept;
};

}  // namespace postlude

#endif
