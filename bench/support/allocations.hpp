// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_BENCH_SUPPORT_ALLOCATIONS_HPP
#define POSTLUDE_BENCH_SUPPORT_ALLOCATIONS_HPP

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>

namespace bench {

/// Calls of this process for memory from the C library, `new` included. It replaces malloc and its
/// siblings, so one source of a program may include this header. Counting `new` would not do:
/// Asio takes its memory from aligned_alloc.
inline std::atomic<std::uint64_t> allocations{0};

}  // namespace bench

extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);

void* malloc(std::size_t size) noexcept {
    bench::allocations.fetch_add(1, std::memory_order_relaxed);
    return __libc_malloc(size);
}
void* calloc(std::size_t count, std::size_t size) noexcept {
    bench::allocations.fetch_add(1, std::memory_order_relaxed);
    return __libc_calloc(count, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
    bench::allocations.fetch_add(1, std::memory_order_relaxed);
    return __libc_memalign(alignment, size);
}
int posix_memalign(void** result, std::size_t alignment, std::size_t size) noexcept {
    bench::allocations.fetch_add(1, std::memory_order_relaxed);
    void* const memory = __libc_memalign(alignment, size);
    if (!memory) {
        return ENOMEM;
    }
    *result = memory;
    return 0;
}
}

#endif
