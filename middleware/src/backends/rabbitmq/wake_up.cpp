// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/rabbitmq/wake_up.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <system_error>

namespace postlude::detail::rabbitmq {

wake_up::wake_up() : event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (event_ < 0) {
        throw std::system_error(errno, std::generic_category(), "eventfd");
    }
}

wake_up::~wake_up() { ::close(event_); }

void wake_up::wake() noexcept {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto n = ::write(event_, &one, sizeof one);
}

void wake_up::wait(int socket, std::chrono::steady_clock::time_point until) noexcept {
    using namespace std::chrono;
    const auto left = ceil<milliseconds>(until - steady_clock::now());
    const auto limit = std::clamp<milliseconds::rep>(left.count(), 0, 60'000);
    std::array<pollfd, 2> on{pollfd{event_, POLLIN, 0}, pollfd{socket, POLLIN, 0}};
    ::poll(on.data(), on.size(), static_cast<int>(limit));
    std::uint64_t count = 0;
    [[maybe_unused]] const auto n = ::read(event_, &count, sizeof count);
}

}  // namespace postlude::detail::rabbitmq
