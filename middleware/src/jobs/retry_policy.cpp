// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/jobs/retry_policy.hpp"

#include <algorithm>
#include <cmath>

namespace postlude {

std::chrono::milliseconds retry_policy::delay(unsigned failures, double random) const noexcept {
    using milliseconds = std::chrono::duration<double, std::milli>;
    // A double holds any product of these; a week in milliseconds is exact in it.
    const milliseconds growth = milliseconds(unit) * std::pow(failures, exponent);
    const milliseconds even = std::min(milliseconds(base) + growth, milliseconds(longest));
    const auto varied = std::max(even * (1 + jitter * (2 * random - 1)), milliseconds(0));
    if (varied >= milliseconds(std::chrono::milliseconds::max())) {
        return std::chrono::milliseconds::max();
    }
    return std::chrono::round<std::chrono::milliseconds>(varied);
}

}  // namespace postlude
