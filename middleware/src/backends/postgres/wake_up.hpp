// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_BACKENDS_POSTGRES_WAKE_UP_HPP
#define POSTLUDE_SRC_BACKENDS_POSTGRES_WAKE_UP_HPP

#include <atomic>
#include <chrono>
#include <cstdint>

namespace postlude::detail::postgres {

/// Where a claim waits: for this process, for the server, or for its time.
class wake_up {
public:
    enum class reason : std::uint8_t { changed, interrupted, server, time };

    wake_up();
    wake_up(const wake_up&) = delete;
    wake_up& operator=(const wake_up&) = delete;
    ~wake_up();

    /// Something is ready, or may be.
    void changed() noexcept;
    void interrupt() noexcept;
    std::uint64_t changes() const noexcept { return changes_; }
    /// Until a change after the first `seen`, or until there is something to read on a socket (-1:
    /// none). An interruption is used up by it.
    reason wait(std::uint64_t seen, int socket, std::chrono::steady_clock::time_point until);

private:
    void ring() noexcept;

    int event_;  ///< eventfd
    std::atomic<std::uint64_t> changes_{0};
    std::atomic<bool> interrupted_{false};
};

}  // namespace postlude::detail::postgres

#endif
