// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_CORE_COUNTERS_HPP
#define POSTLUDE_CORE_COUNTERS_HPP

#include <cstdint>

namespace postlude {

/// What became of the tasks of one queue, or of all, since the pool began. The run of a job is a
/// task here.
///
/// When no list is open,
/// `registered == refused + discarded + completed + failed + lost + handed_over + left`.
/// While lists are open the two sides differ by the tasks in them: a list's tasks are added to
/// `registered` when it is released, and are `left` from the moment they hold their place.
struct counters {
    std::uint64_t registered = 0;   ///< asked for, refusals included
    std::uint64_t refused = 0;      ///< full or stopped: never accepted
    std::uint64_t discarded = 0;    ///< accepted, then excluded by the request's outcome
    std::uint64_t completed = 0;    ///< ran and returned
    std::uint64_t failed = 0;       ///< ran and threw, or stopped at its run-time limit
    std::uint64_t lost = 0;         ///< accepted, not finished when the drain's deadline passed
    std::uint64_t handed_over = 0;  ///< runs of jobs that a drain gave up; see `job_counters`
    std::uint64_t left = 0;         ///< accepted and not finished: waiting, running or suspended
    std::uint64_t posted = 0;       ///< functions run through the executor; in no sum above
    std::uint64_t overrunning = 0;  ///< running past their limit at this moment (a gauge)
    std::uint64_t overran = 0;      ///< tasks that ever ran past their limit

    /// Adds each member of `other`.
    counters& operator+=(const counters& other) noexcept;
};

/// What became of the jobs of one queue, or of all, since the dispatcher began.
///
/// When no list is open, `registered + claimed == refused + discarded + completed + dead + lost +
/// handed_over + revoked + left`.
struct job_counters {
    std::uint64_t registered = 0;   ///< asked for here, refusals included
    std::uint64_t claimed = 0;      ///< fetched from the store
    std::uint64_t refused = 0;      ///< never accepted: full, stopped, or the store did not answer
    std::uint64_t discarded = 0;    ///< accepted, then excluded by the outcome it depends on
    std::uint64_t completed = 0;    ///< ran and returned
    std::uint64_t dead = 0;         ///< gave up
    std::uint64_t lost = 0;         ///< of memory alone, not finished at the drain's deadline
    std::uint64_t handed_over = 0;  ///< ready in the store, for any process
    std::uint64_t revoked = 0;      ///< taken by others meanwhile, or by a person
    std::uint64_t left = 0;         ///< in this process, and not ended

    // In no sum above:
    std::uint64_t spilled = 0;      ///< handed over because memory had no room
    std::uint64_t retried = 0;      ///< runs that failed, and will be tried again
    std::uint64_t interrupted = 0;  ///< runs that a drain stopped, and that went back
    std::uint64_t rescued = 0;      ///< taken from dead owners
    std::uint64_t quarantined = 0;  ///< of these, crashed too often
    std::uint64_t unstored = 0;  ///< waiting in memory for a store that does not answer (a gauge)

    job_counters& operator+=(const job_counters& other) noexcept;
};

}  // namespace postlude

#endif
