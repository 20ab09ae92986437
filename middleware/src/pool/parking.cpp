// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "pool/parking.hpp"

#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace postlude::detail {

namespace {

#ifdef __linux__
// std::atomic::wait spins and yields before it sleeps, which costs more than it saves here.
void wait_while(std::atomic<std::uint32_t>& word, std::uint32_t value) noexcept {
    syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&word), FUTEX_WAIT_PRIVATE, value, nullptr,
            nullptr, 0);
}

void wake(std::atomic<std::uint32_t>& word) noexcept {
    syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&word), FUTEX_WAKE_PRIVATE, 1, nullptr,
            nullptr, 0);
}
#else
void wait_while(std::atomic<std::uint32_t>& word, std::uint32_t value) noexcept {
    word.wait(value);
}

void wake(std::atomic<std::uint32_t>& word) noexcept { word.notify_one(); }
#endif

}  // namespace

void parking::sleep(std::size_t worker) noexcept {
    auto& own = words_[worker].value;
    while (own.load() == parked) {
        wait_while(own, parked);
    }
    own.store(awake);
}

bool parking::claim_and_wake(word& w) noexcept {
    auto expected = parked;
    if (w.value.load() != parked || !w.value.compare_exchange_strong(expected, claimed)) {
        return false;
    }
    sleepers_.fetch_sub(1);
    wake(w.value);
    return true;
}

void parking::wake_one() noexcept {
    if (sleepers_.load() == 0) {
        return;
    }
    for (auto& w : words_) {
        if (claim_and_wake(w)) {
            return;
        }
    }
}

void parking::wake_all() noexcept {
    for (auto& w : words_) {
        claim_and_wake(w);
    }
}

}  // namespace postlude::detail
