// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_BENCH_SUPPORT_CROWD_HPP
#define POSTLUDE_BENCH_SUPPORT_CROWD_HPP

#include "load.hpp"

#include <netinet/in.h>
#include <poll.h>

#include <chrono>
#include <string_view>
#include <vector>

namespace bench {

/// Connections to loopback that say nothing, and others that send a request's header at a byte a
/// second, each at its own moment of it.
class crowd {
public:
    crowd(unsigned short port, std::size_t silent, std::size_t dripping) : silent_(silent) {
        for (std::size_t i = 0; i != silent + dripping; ++i) {
            fds_.push_back(connected(port));
        }
    }
    crowd(const crowd&) = delete;
    crowd& operator=(const crowd&) = delete;
    ~crowd() {
        for (const int fd : fds_) {
            ::close(fd);
        }
    }

    /// Until something arrives at `end`.
    void drip_until(int end) {
        const auto dripping = fds_.size() - silent_;
        const auto begin = bench_clock::now();
        for (std::size_t sent = 0;; ++sent) {
            if (dripping == 0) {
                wait(end, -1);
                return;
            }
            const auto due = begin + sent * std::chrono::microseconds(1'000'000 / dripping);
            const auto early =
                std::chrono::duration_cast<std::chrono::milliseconds>(due - bench_clock::now());
            const auto pause = std::max(static_cast<int>(early.count()), 0);
            if ((pause > 0 || sent % 64 == 0) && wait(end, pause)) {
                return;
            }
            const auto nth = sent / dripping;
            const char byte = nth < header.size() ? header[nth] : 'x';
            if (::send(fds_[silent_ + sent % dripping], &byte, 1, MSG_NOSIGNAL) != 1) {
                fail("a dripping connection was closed");
            }
        }
    }

private:
    static constexpr std::string_view header = "GET /hello HTTP/1.1\r\nHost: localhost\r\nX: ";

    static int connected(unsigned short port) {
        const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.sin_port = htons(port);
        // Ends with a reset, so that no port is kept from the next round.
        const linger reset{.l_onoff = 1, .l_linger = 0};
        ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
            fail("connect");
        }
        return fd;
    }

    static bool wait(int fd, int milliseconds) {
        pollfd asked{.fd = fd, .events = POLLIN, .revents = 0};
        return ::poll(&asked, 1, milliseconds) > 0;
    }

    std::vector<int> fds_;
    std::size_t silent_;
};

}  // namespace bench

#endif
