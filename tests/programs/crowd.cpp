// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
// Clients that nobody wants, on 127.0.0.1. Usage: crowd PORT SILENT DRIPPING
//
// Opens SILENT connections that say nothing and DRIPPING ones that send a request's header at a
// byte a second. Prints "open N" when all are, and when the server has ended all of them: "silent
// N", those that it closed without a word, "refused N", those that were dripping and got a 408,
// "cut N", those that got nothing, and "other N", what came of none of these.
#include "support/open_files.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace {

using clock_type = std::chrono::steady_clock;

struct client {
    int fd = -1;
    bool drips = false;
    std::size_t sent = 0;
    std::string received{};
};

class crowd {
public:
    crowd(unsigned short port, std::size_t silent, std::size_t dripping)
        : clients_(silent + dripping), silent_(silent), left_(clients_.size()) {
        for (std::size_t i = 0; i < clients_.size(); ++i) {
            clients_[i].fd = connected(port);
            clients_[i].drips = i >= silent;
            epoll_event event{.events = EPOLLIN, .data = {.u64 = i}};
            ::epoll_ctl(epoll_, EPOLL_CTL_ADD, clients_[i].fd, &event);
        }
        for (std::size_t i = 0; i < turns; ++i) {
            drip();  // each has begun its request
        }
        std::cout << "open " << clients_.size() << std::endl;
    }

    void run() {
        auto next = clock_type::now();
        std::array<epoll_event, 256> events;
        while (left_ != 0) {
            if (clock_type::now() >= next) {
                drip();
                next += period / turns;
            }
            const auto n = ::epoll_wait(epoll_, events.data(), events.size(), 10);
            for (int i = 0; i < n; ++i) {
                receive(clients_[events[static_cast<std::size_t>(i)].data.u64]);
            }
        }
        std::cout << "silent " << closed_ << "\nrefused " << refused_ << "\ncut " << cut_
                  << "\nother " << other_ << std::endl;
    }

private:
    static constexpr std::chrono::milliseconds period{1'000};
    static constexpr std::size_t turns = 10;

    static int connected(unsigned short port) {
        const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
            throw std::system_error(errno, std::generic_category(), "connect");
        }
        return fd;
    }

    void drip() {
        static constexpr std::string_view header = "GET / HTTP/1.1\r\nHost: test\r\nX: ";
        for (auto i = silent_ + turn_++ % turns; i < clients_.size(); i += turns) {
            auto& c = clients_[i];
            if (c.fd >= 0) {
                const char byte = c.sent < header.size() ? header[c.sent] : 'x';
                c.sent += ::send(c.fd, &byte, 1, MSG_NOSIGNAL) == 1 ? 1 : 0;
            }
        }
    }

    void receive(client& c) {
        std::array<char, 4'096> bytes;
        const auto n = ::recv(c.fd, bytes.data(), bytes.size(), MSG_DONTWAIT);
        if (n > 0) {
            c.received.append(bytes.data(), static_cast<std::size_t>(n));
        } else if (n == 0 || errno != EAGAIN) {
            ::close(std::exchange(c.fd, -1));
            --left_;
            ++count_of(c);
        }
    }

    std::size_t& count_of(const client& c) {
        if (c.received.empty()) {
            return c.drips ? cut_ : closed_;
        }
        return c.drips && c.received.starts_with("HTTP/1.1 408 ") ? refused_ : other_;
    }

    const int epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
    std::vector<client> clients_;
    std::size_t silent_;
    std::size_t left_;
    std::size_t turn_ = 0;
    std::size_t closed_ = 0, refused_ = 0, cut_ = 0, other_ = 0;
};

}  // namespace

int main(int argc, char** argv) try {
    if (argc != 4) {
        return 2;
    }
    const auto silent = static_cast<std::size_t>(std::atol(argv[2]));
    const auto dripping = static_cast<std::size_t>(std::atol(argv[3]));
    test::allow_open_files(silent + dripping + 100);
    crowd(static_cast<unsigned short>(std::atoi(argv[1])), silent, dripping).run();
} catch (const std::exception& e) {
    std::cerr << "crowd: " << e.what() << std::endl;
    return 1;
}
