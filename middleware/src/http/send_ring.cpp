// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "http/send_ring.hpp"

#if defined(__linux__) && __has_include(<linux/io_uring.h>)
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <new>
#endif

namespace postlude::http::detail {

#if defined(__linux__) && __has_include(<linux/io_uring.h>)

/// A part of memory that is shared with the system.
class mapping {
public:
    mapping() = default;
    mapping(const mapping&) = delete;
    mapping& operator=(const mapping&) = delete;
    ~mapping() {
        if (at_ != MAP_FAILED) {
            ::munmap(at_, size_);
        }
    }
    bool map(int fd, std::size_t size, off_t what) noexcept {
        size_ = size;
        at_ = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, what);
        return at_ != MAP_FAILED;
    }
    template <class T>
    T* at(std::size_t offset) const noexcept {
        return reinterpret_cast<T*>(static_cast<char*>(at_) + offset);
    }

private:
    void* at_ = MAP_FAILED;
    std::size_t size_ = 0;
};

/// The two rings that io_uring(7) describes, both empty between two calls of `send`. What is sent
/// without waiting has ended when the system has taken it.
struct send_ring::ring {
    ring() = default;
    ring(const ring&) = delete;
    ring& operator=(const ring&) = delete;
    ~ring() {
        if (fd >= 0) {
            ::close(fd);
        }
    }

    bool open(unsigned most) noexcept {
        io_uring_params params{};
        fd = static_cast<int>(::syscall(SYS_io_uring_setup, most, &params));
        if (fd < 0 || (params.features & IORING_FEAT_SINGLE_MMAP) == 0) {
            return false;
        }
        const auto& in = params.sq_off;
        const auto& out = params.cq_off;
        const auto length = std::max(in.array + params.sq_entries * sizeof(std::uint32_t),
                                     out.cqes + params.cq_entries * sizeof(io_uring_cqe));
        if (!rings.map(fd, length, static_cast<off_t>(IORING_OFF_SQ_RING)) ||
            !entries.map(fd, params.sq_entries * sizeof(io_uring_sqe),
                         static_cast<off_t>(IORING_OFF_SQES))) {
            return false;
        }
        submitted_end = rings.at<std::uint32_t>(in.tail);
        done_begin = rings.at<std::uint32_t>(out.head);
        done_end = rings.at<std::uint32_t>(out.tail);
        done = rings.at<io_uring_cqe>(out.cqes);
        mask = *rings.at<std::uint32_t>(in.ring_mask);
        done_mask = *rings.at<std::uint32_t>(out.ring_mask);
        for (std::uint32_t i = 0; i != params.sq_entries; ++i) {
            rings.at<std::uint32_t>(in.array)[i] = i;
        }
        size = params.sq_entries;
        return true;
    }

    void put(std::uint32_t at, std::uint64_t number, const item& what) noexcept {
        auto& entry = entries.at<io_uring_sqe>(0)[at & mask];
        std::memset(&entry, 0, sizeof entry);
        entry.opcode = IORING_OP_SEND;
        entry.fd = what.socket;
        entry.addr = reinterpret_cast<std::uintptr_t>(what.bytes.data());
        entry.len = static_cast<std::uint32_t>(what.bytes.size());
        entry.msg_flags = MSG_NOSIGNAL | MSG_DONTWAIT;
        entry.user_data = number;
    }

    /// Submits all and waits for their ends. False if the system does not go on with it.
    bool send(std::span<item> items) noexcept {
        auto tail = *submitted_end;
        for (std::size_t i = 0; i != items.size(); ++i) {
            put(tail++, i, items[i]);
        }
        std::atomic_ref(*submitted_end).store(tail, std::memory_order_release);
        auto unsubmitted = static_cast<unsigned>(items.size());
        auto unfinished = unsubmitted;
        while (unfinished != 0) {
            const long n = ::syscall(SYS_io_uring_enter, fd, unsubmitted, unfinished,
                                     IORING_ENTER_GETEVENTS, nullptr, 0);
            const bool failed = n < 0 && errno != EINTR;
            unsubmitted -= static_cast<unsigned>(std::max(n, 0L));
            unfinished -= take(items);
            if (failed) {
                return unfinished == 0;
            }
        }
        return true;
    }

    unsigned take(std::span<item> items) noexcept {
        const auto end = std::atomic_ref(*done_end).load(std::memory_order_acquire);
        auto begin = *done_begin;
        const auto n = end - begin;
        for (; begin != end; ++begin) {
            const auto& one = done[begin & done_mask];
            items[one.user_data].result = one.res;
        }
        std::atomic_ref(*done_begin).store(begin, std::memory_order_release);
        return n;
    }

    int fd = -1;
    mapping rings;
    mapping entries;
    std::uint32_t* submitted_end = nullptr;
    std::uint32_t* done_begin = nullptr;
    std::uint32_t* done_end = nullptr;
    io_uring_cqe* done = nullptr;
    std::uint32_t mask = 0;
    std::uint32_t done_mask = 0;
    std::size_t size = 0;
};

send_ring::send_ring(unsigned most) noexcept : ring_(new(std::nothrow) ring) {
    if (ring_ && !ring_->open(most)) {
        ring_.reset();
    }
}

void send_ring::send(std::span<item> items) noexcept {
    for (auto& one : items) {
        one.result = -EAGAIN;
    }
    while (ring_ && !items.empty()) {
        const auto now = items.first(std::min(items.size(), ring_->size));
        if (!ring_->send(now)) {
            ring_.reset();  // with what it has not begun
        }
        items = items.subspan(now.size());
    }
}

#else

struct send_ring::ring {};

send_ring::send_ring(unsigned) noexcept {}

void send_ring::send(std::span<item>) noexcept {}

#endif

send_ring::~send_ring() = default;

}  // namespace postlude::http::detail
