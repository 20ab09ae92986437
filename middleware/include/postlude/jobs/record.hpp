// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_JOBS_RECORD_HPP
#define POSTLUDE_JOBS_RECORD_HPP

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace postlude {

/// Names one job, for as long as its store exists. 1 to 2^63 - 1: an owner's number (23 bits), and
/// a count of that owner's jobs (40 bits).
using job_id = std::uint64_t;

/// Where a stored job stands. The numbers are stored and never reused.
enum class job_state : std::uint8_t {
    ready = 1,        ///< waits for a worker, or for its time
    claimed = 2,      ///< held by a process, under a lease
    done = 3,         ///< ran and returned
    dead = 4,         ///< gave up: used its attempts, or can't be read
    quarantined = 5,  ///< its process died under it too often
    cancelled = 6,    ///< taken back by a person
};

/// "ready", "claimed", ...
std::string_view to_string(job_state) noexcept;

/// A time by the store's clock.
using store_time = std::chrono::sys_time<std::chrono::microseconds>;

/// A job as it is stored and carried.
struct job_record {
    job_id id = 0;
    std::string kind;
    std::string queue;
    std::string arguments = "{}";  ///< a JSON object
    std::string request_id;        ///< of the request that caused it; empty when none did
    std::vector<std::string> tags;
    std::uint8_t priority = 1;  ///< 0 is taken first, 3 last
    unsigned failures = 0;      ///< runs that failed
    unsigned crashes = 0;       ///< owners that died while they held it
};

}  // namespace postlude

#endif
