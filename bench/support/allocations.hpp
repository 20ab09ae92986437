// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_BENCH_SUPPORT_ALLOCATIONS_HPP
#define POSTLUDE_BENCH_SUPPORT_ALLOCATIONS_HPP

#include <cerrno>
#include <cstddef>

namespace bench {

/// Called for each call of this process for memory from the C library, on the thread that calls,
/// from before `main` on; must not allocate. The one source of a program that includes this header
/// defines it: the header replaces malloc and its siblings. To count `new` would not do: SQLite
/// does not use it, and Asio takes its memory from aligned_alloc.
void on_allocation() noexcept;

}  // namespace bench

// NOLINTBEGIN: replacing them is the point
extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t n, std::size_t size);
void* __libc_realloc(void* p, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);

void* malloc(std::size_t size) noexcept {
    bench::on_allocation();
    return __libc_malloc(size);
}
void* calloc(std::size_t n, std::size_t size) noexcept {
    bench::on_allocation();
    return __libc_calloc(n, size);
}
void* realloc(void* p, std::size_t size) noexcept {
    bench::on_allocation();
    return __libc_realloc(p, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
    bench::on_allocation();
    return __libc_memalign(alignment, size);
}
int posix_memalign(void** result, std::size_t alignment, std::size_t size) noexcept {
    bench::on_allocation();
    void* const memory = __libc_memalign(alignment, size);
    if (!memory) {
        return ENOMEM;
    }
    *result = memory;
    return 0;
}
}
// NOLINTEND

#endif
