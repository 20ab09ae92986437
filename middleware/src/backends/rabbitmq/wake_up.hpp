// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_BACKENDS_RABBITMQ_WAKE_UP_HPP
#define POSTLUDE_SRC_BACKENDS_RABBITMQ_WAKE_UP_HPP

#include <atomic>
#include <chrono>

namespace postlude::detail::rabbitmq {

/// Ends a wait for a socket, from any thread.
class wake_up {
public:
    wake_up();
    wake_up(const wake_up&) = delete;
    wake_up& operator=(const wake_up&) = delete;
    ~wake_up();

    void wake() noexcept;
    void interrupt() noexcept {
        interrupted_ = true;
        wake();
    }
    bool take_interruption() noexcept { return interrupted_.exchange(false); }
    /// Until something has come on the socket (-1: on none), or a wake-up since the last wait.
    void wait(int socket, std::chrono::steady_clock::time_point until) noexcept;

private:
    int event_;
    std::atomic<bool> interrupted_{false};
};

}  // namespace postlude::detail::rabbitmq

#endif
