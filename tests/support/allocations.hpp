// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_TESTS_SUPPORT_ALLOCATIONS_HPP
#define POSTLUDE_TESTS_SUPPORT_ALLOCATIONS_HPP

#include <cstdint>

namespace test {

/// How often this thread has called operator new since it began.
std::uint64_t allocations() noexcept;

}  // namespace test

#endif
