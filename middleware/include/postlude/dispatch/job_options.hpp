// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_DISPATCH_JOB_OPTIONS_HPP
#define POSTLUDE_DISPATCH_JOB_OPTIONS_HPP

#include "postlude/pool/task.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace postlude {

/// What may be said of one job when it is registered; what is the same for all of its kind stands
/// in its `job_traits`.
struct job_options {
    /// Which outcome of the request lets it go. `sent` is refused with errc::bad_option: a job can
    /// be stored before anything is sent.
    postlude::when when = postlude::when::handled;
    /// Not before this has passed, by the store's clock; 0 to a year.
    std::chrono::milliseconds delay{0};
    /// What it concerns, to be found by it: "customer:17". Up to 16 of 1 to 128 bytes.
    std::vector<std::string> tags{};
    /// Instead of the kind's; 0 is taken first, 3 last.
    std::optional<std::uint8_t> priority{};
};

}  // namespace postlude

#endif
