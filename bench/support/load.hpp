// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_BENCH_SUPPORT_LOAD_HPP
#define POSTLUDE_BENCH_SUPPORT_LOAD_HPP

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <pthread.h>
#include <sched.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

namespace asio = boost::asio;
using bench_clock = std::chrono::steady_clock;
using tcp = asio::ip::tcp;

/// Keeps the calling thread on one core.
inline void pin(int core) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

inline double median(std::vector<double> v) {
    std::ranges::sort(v);
    return v[v.size() / 2];
}

[[noreturn]] inline void fail(const char* what) {
    std::perror(what);
    std::exit(1);
}

/// The size of the response that this begins with, or 0 while its header is not whole. It has to
/// have a Content-Length, however that is spelled.
inline std::size_t response_size(std::string_view text) {
    const auto header = text.find("\r\n\r\n");
    if (header == text.npos) {
        return 0;
    }
    constexpr std::string_view name = "\r\ncontent-length:";
    for (std::size_t at = 0; at + name.size() < header; ++at) {
        if (::strncasecmp(text.data() + at, name.data(), name.size()) == 0) {
            return header + 4 + std::stoul(std::string(text.substr(at + name.size(), 20)));
        }
    }
    fail("a response without Content-Length");
}

/// Connects, and watches for what comes under that number.
inline void open(tcp::socket& socket, const tcp::endpoint& server, int epoll, std::size_t number) {
    socket.connect(server);
    socket.set_option(tcp::no_delay(true));
    socket.non_blocking(true);
    epoll_event event{.events = EPOLLIN, .data = {.u64 = number}};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, socket.native_handle(), &event) != 0) {
        fail("epoll_ctl");
    }
}

/// One request in flight on each connection. All responses are of the same size.
class load {
public:
    load(const tcp::endpoint& server, std::size_t connections) : epoll_(epoll_create1(0)) {
        for (std::size_t i = 0; i != connections; ++i) {
            open(sockets_.emplace_back(context_), server, epoll_, i);
        }
        left_.resize(connections);
        find_response_size();
    }
    ~load() { ::close(epoll_); }

    void start() {
        for (std::size_t i = 0; i != sockets_.size(); ++i) {
            ask(i);
        }
    }

    /// Returns how many requests were answered.
    ///
    /// It has to be faster than what it measures. So it reads all responses that have come before
    /// it sends the next requests: a server that has nothing to do and sleeps is woken for all of
    /// them at once. And it never sleeps itself: else the slower a server is, the more of its
    /// responses would find the load asleep, and to wake it takes a processor that writes to a
    /// sleeping one about 3 µs, a fifth of what a request took.
    std::size_t run_for(double seconds) {
        const auto end = bench_clock::now() + std::chrono::duration<double>(seconds);
        std::size_t answered = 0;
        std::array<epoll_event, 64> events;
        while (bench_clock::now() < end) {
            const int n = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), 0);
            std::size_t whole = 0;
            for (int e = 0; e < n; ++e) {
                const auto i = events[static_cast<std::size_t>(e)].data.u64;
                if (read(i)) {
                    events[whole++].data.u64 = i;
                }
            }
            for (std::size_t e = 0; e != whole; ++e) {
                ask(events[e].data.u64);
            }
            answered += whole;
        }
        return answered;
    }

private:
    static constexpr std::string_view request =
        "GET /hello HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n";

    void ask(std::size_t i) {
        left_[i] = response_size_;
        if (::send(sockets_[i].native_handle(), request.data(), request.size(), MSG_NOSIGNAL) !=
            static_cast<ssize_t>(request.size())) {
            fail("send");
        }
    }

    /// True when the response is whole. The bytes are dropped without being copied.
    bool read(std::size_t i) {
        const auto n =
            ::recv(sockets_[i].native_handle(), nullptr, response_size_, MSG_TRUNC | MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN) {
            return false;
        }
        if (n <= 0 || static_cast<std::size_t>(n) > left_[i]) {
            fail("a response has not the size of the first");
        }
        left_[i] -= static_cast<std::size_t>(n);
        return left_[i] == 0;
    }

    void find_response_size() {
        ask(0);
        std::string text;
        std::array<char, 65536> piece;
        for (;;) {
            epoll_event event;
            epoll_wait(epoll_, &event, 1, 5'000);
            const auto n = ::recv(sockets_[0].native_handle(), piece.data(), piece.size(), 0);
            if (n <= 0) {
                fail("first response");
            }
            text.append(piece.data(), static_cast<std::size_t>(n));
            response_size_ = response_size(text);
            if (text.size() == response_size_) {
                return;
            }
        }
    }

    asio::io_context context_;
    std::vector<tcp::socket> sockets_;
    std::vector<std::size_t> left_;
    std::size_t response_size_ = 0;
    int epoll_;
};

}  // namespace bench

#endif
