// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/core/counters.hpp"

#include <initializer_list>

namespace postlude {

counters& counters::operator+=(const counters& other) noexcept {
    registered += other.registered;
    refused += other.refused;
    discarded += other.discarded;
    completed += other.completed;
    failed += other.failed;
    lost += other.lost;
    handed_over += other.handed_over;
    left += other.left;
    posted += other.posted;
    overrunning += other.overrunning;
    overran += other.overran;
    return *this;
}

job_counters& job_counters::operator+=(const job_counters& other) noexcept {
    for (const auto member :
         {&job_counters::registered, &job_counters::claimed, &job_counters::refused,
          &job_counters::discarded, &job_counters::completed, &job_counters::dead,
          &job_counters::lost, &job_counters::handed_over, &job_counters::revoked,
          &job_counters::left, &job_counters::spilled, &job_counters::retried,
          &job_counters::interrupted, &job_counters::rescued, &job_counters::quarantined,
          &job_counters::unstored}) {
        this->*member += other.*member;
    }
    return *this;
}

}  // namespace postlude
