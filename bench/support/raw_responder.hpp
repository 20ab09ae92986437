// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_BENCH_SUPPORT_RAW_RESPONDER_HPP
#define POSTLUDE_BENCH_SUPPORT_RAW_RESPONDER_HPP

#include "load.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/eventfd.h>

#include <cstdint>
#include <thread>
#include <utility>

namespace bench {

/// The ceiling: one thread, epoll, and the same bytes for each blank line that arrives. It parses
/// nothing, times nothing out and knows no bodies, so only requests without one may be sent to it.
class raw_responder {
public:
    explicit raw_responder(std::string response)
        : response_(std::move(response)), epoll_(epoll_create1(0)), stop_(eventfd(0, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
        if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
            ::listen(listener_, SOMAXCONN) != 0 ||
            ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
            fail("listen");
        }
        port_ = ntohs(address.sin_port);
        watch(listener_);
        watch(stop_);
        thread_ = std::thread([this] { serve(); });
    }
    raw_responder(const raw_responder&) = delete;
    raw_responder& operator=(const raw_responder&) = delete;
    ~raw_responder() {
        const std::uint64_t one = 1;
        if (::write(stop_, &one, sizeof one) != sizeof one) {
            fail("write");
        }
        thread_.join();
        for (const auto& c : connections_) {
            if (c.open) {
                ::close(c.fd);
            }
        }
        ::close(listener_);
        ::close(stop_);
        ::close(epoll_);
    }
    unsigned short port() const noexcept { return port_; }

private:
    struct connection {
        int fd = -1;
        bool open = false;
        std::size_t matched = 0;  ///< bytes of a blank line that the last read ended with
    };

    void watch(int fd) {
        epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
        if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) {
            fail("epoll_ctl");
        }
    }

    void serve() {
        std::array<epoll_event, 64> events;
        for (;;) {
            const int n = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
            for (int i = 0; i < n; ++i) {
                const int fd = events[static_cast<std::size_t>(i)].data.fd;
                if (fd == stop_) {
                    return;
                }
                if (fd == listener_) {
                    accept();
                } else {
                    read(connections_[static_cast<std::size_t>(fd)]);
                }
            }
        }
    }

    void accept() {
        const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK);
        if (fd < 0) {
            return;
        }
        const int on = 1;
        ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        const auto index = static_cast<std::size_t>(fd);
        if (index >= connections_.size()) {
            connections_.resize(index + 1);
        }
        connections_[index] = {.fd = fd, .open = true};
        watch(fd);
    }

    void read(connection& c) {
        const auto n = ::recv(c.fd, in_.data(), in_.size(), 0);
        if (n < 0 && errno == EAGAIN) {
            return;
        }
        if (n <= 0) {
            ::close(c.fd);
            c.open = false;
            return;
        }
        for (auto ends = blank_lines(c, {in_.data(), static_cast<std::size_t>(n)}); ends > 0;
             --ends) {
            if (::send(c.fd, response_.data(), response_.size(), MSG_NOSIGNAL) !=
                static_cast<ssize_t>(response_.size())) {
                fail("the load does not read its responses");
            }
        }
    }

    static std::size_t blank_lines(connection& c, std::string_view bytes) noexcept {
        constexpr std::string_view blank = "\r\n\r\n";
        if (c.matched == 0 && bytes.ends_with(blank) &&
            bytes.find(blank) == bytes.size() - blank.size()) {
            return 1;  // one request in one piece, which is nearly all there is
        }
        std::size_t found = 0;
        for (const char byte : bytes) {
            c.matched = byte == blank[c.matched] ? c.matched + 1 : byte == '\r' ? 1 : 0;
            if (c.matched == blank.size()) {
                c.matched = 0;
                ++found;
            }
        }
        return found;
    }

    std::string response_;
    int epoll_;
    int stop_;
    int listener_ = -1;
    unsigned short port_ = 0;
    std::vector<connection> connections_;  ///< at the index of their descriptor
    std::array<char, 65536> in_;
    std::thread thread_;
};

}  // namespace bench

#endif
