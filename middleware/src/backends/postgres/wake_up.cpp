// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/postgres/wake_up.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace postlude::detail::postgres {

wake_up::wake_up() : event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (event_ < 0) {
        throw std::system_error(errno, std::generic_category(), "eventfd");
    }
}

wake_up::~wake_up() { ::close(event_); }

void wake_up::ring() noexcept {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(event_, &one, sizeof(one));
}

void wake_up::changed() noexcept {
    ++changes_;
    ring();
}

void wake_up::interrupt() noexcept {
    interrupted_ = true;
    ring();
}

wake_up::reason wake_up::wait(std::uint64_t seen, int socket,
                              std::chrono::steady_clock::time_point until) {
    for (;;) {
        std::uint64_t rung = 0;
        [[maybe_unused]] const auto n = ::read(event_, &rung, sizeof(rung));
        if (interrupted_.exchange(false)) {
            return reason::interrupted;
        }
        if (changes_ != seen) {
            return reason::changed;
        }
        const auto left =
            std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now())
                .count();
        if (left <= 0) {
            return reason::time;
        }
        pollfd p[] = {{event_, POLLIN, 0}, {socket, POLLIN, 0}};
        const auto most = static_cast<int>(std::min<std::int64_t>(left, 3'600'000));
        if (::poll(p, 2, most) > 0 && p[1].revents != 0) {
            return reason::server;
        }
    }
}

}  // namespace postlude::detail::postgres
