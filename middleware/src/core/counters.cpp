// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/core/counters.hpp"

namespace postlude {

counters& counters::operator+=(const counters& other) noexcept {
    registered += other.registered;
    refused += other.refused;
    discarded += other.discarded;
    completed += other.completed;
    failed += other.failed;
    lost += other.lost;
    left += other.left;
    posted += other.posted;
    overrunning += other.overrunning;
    overran += other.overran;
    return *this;
}

}  // namespace postlude
