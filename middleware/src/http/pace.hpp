// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_HTTP_PACE_HPP
#define POSTLUDE_SRC_HTTP_PACE_HPP

#include "postlude/http/server_options.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace postlude::http::detail {

using session_clock = std::chrono::steady_clock;

/// What a connection does.
enum class phase : std::uint8_t {
    handshaking,
    idle,
    reading_head,
    reading_body,
    handling,
    writing,
    taken_over,
    closing
};

/// What a phase of a connection has used of its time when something else comes in between.
struct time_spent {
    session_clock::duration time{};
    std::size_t bytes = 0;
};

/// What a connection does and since when, so that others can see whether it takes too long: a note
/// instead of a timer. Written on the connection's strand, read from any thread.
class pace {
public:
    phase now() const noexcept { return phase_.load(std::memory_order_relaxed); }
    session_clock::time_point since() const noexcept {
        return since_.load(std::memory_order_relaxed);
    }

    void enter(phase next) noexcept { resume(next, {}); }
    void enter(phase next, session_clock::time_point now) noexcept {
        since_.store(now, std::memory_order_relaxed);
        pass(next);
        progress_ = 0;
    }
    /// The same without a look at the clock, for what follows at once.
    void pass(phase next) noexcept { phase_.store(next, std::memory_order_relaxed); }
    /// Enters a phase that had been left, with what it had used of its time by then.
    void resume(phase next, const time_spent& before) noexcept;
    /// Leaves a phase for the time being.
    time_spent pause(phase next) noexcept;
    /// So many bytes were read or written: each 64 KiB start the phase's time anew.
    void progress(std::size_t n) noexcept;

    /// @param stopping whether the server stops.
    bool overdue(session_clock::time_point at, const server_options& options,
                 bool stopping) const noexcept;

private:
    std::atomic<session_clock::time_point> since_{session_clock::now()};
    std::size_t progress_ = 0;
    std::atomic<phase> phase_{phase::handshaking};
};

}  // namespace postlude::http::detail

#endif
