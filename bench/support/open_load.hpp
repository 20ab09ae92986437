// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_BENCH_SUPPORT_OPEN_LOAD_HPP
#define POSTLUDE_BENCH_SUPPORT_OPEN_LOAD_HPP

#include "histogram.hpp"
#include "load.hpp"

#include <cerrno>
#include <cstdint>
#include <deque>
#include <random>
#include <string>
#include <vector>

namespace bench {

/// Requests at times that do not depend on the answers, as many independent clients send them.
///
/// A request that finds every connection busy waits for one, and its time counts from when it was
/// to be sent: what a slow server keeps from being sent is not left out of its latencies
/// (coordinated omission). The times between requests are exponential, from the same seed each
/// time, so all servers get the same load. One request in flight on each connection.
class open_load {
public:
    struct outcome {
        histogram latency;     ///< of 200s
        std::size_t good = 0;  ///< answered with 200
        std::size_t refused = 0;
        std::size_t unsent = 0;  ///< no connection became free for them within the time
        double seconds = 0;
    };

    open_load(const tcp::endpoint& server, std::size_t connections, const std::string& target = "/")
        : request_("GET " + target +
                   " HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"),
          epoll_(epoll_create1(0)),
          lines_(connections) {
        for (std::size_t i = 0; i != connections; ++i) {
            auto& socket = sockets_.emplace_back(context_);
            socket.connect(server);
            socket.set_option(tcp::no_delay(true));
            socket.non_blocking(true);
            epoll_event event{.events = EPOLLIN, .data = {.u64 = i}};
            epoll_ctl(epoll_, EPOLL_CTL_ADD, socket.native_handle(), &event);
            free_.push_back(i);
        }
    }
    open_load(const open_load&) = delete;
    open_load& operator=(const open_load&) = delete;
    ~open_load() { ::close(epoll_); }

    /// @param per_second 0: each connection sends again as soon as it is answered.
    outcome run(double per_second, double seconds) {
        outcome out;
        std::mt19937_64 random(1);
        std::exponential_distribution<double> gap(per_second > 0 ? per_second : 1);
        const auto begin = bench_clock::now();
        const auto end = begin + duration(seconds);
        auto next = begin;
        for (auto now = begin; now < end; now = bench_clock::now()) {
            if (per_second > 0) {
                for (; next <= now; next += duration(gap(random))) {
                    waiting_.push_back(next);
                }
            } else {
                waiting_.resize(free_.size(), now);
            }
            send_waiting();
            receive(out);
        }
        out.unsent = std::exchange(waiting_, {}).size();
        out.seconds = std::chrono::duration<double>(bench_clock::now() - begin).count();
        finish(out);
        return out;
    }

private:
    struct line {
        bench_clock::time_point intended;
        std::string in;
    };

    static bench_clock::duration duration(double seconds) {
        return std::chrono::duration_cast<bench_clock::duration>(
            std::chrono::duration<double>(seconds));
    }

    void connect(std::size_t i) {
        auto& socket = sockets_[i];
        socket = tcp::socket(context_);
        socket.connect(server_);
        socket.set_option(tcp::no_delay(true));
        socket.non_blocking(true);
        epoll_event event{.events = EPOLLIN, .data = {.u64 = i}};
        epoll_ctl(epoll_, EPOLL_CTL_ADD, socket.native_handle(), &event);
    }

    void send_waiting() {
        while (!waiting_.empty() && !free_.empty()) {
            const auto i = free_.front();
            free_.pop_front();
            lines_[i].intended = waiting_.front();
            waiting_.pop_front();
            if (::send(sockets_[i].native_handle(), request_.data(), request_.size(),
                       MSG_NOSIGNAL) != static_cast<ssize_t>(request_.size())) {
                fail("send");
            }
        }
    }

    /// Never sleeps: to be woken would count as the server's time.
    void receive(outcome& out) {
        std::array<epoll_event, 64> events;
        const int n = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), 0);
        for (int e = 0; e < n; ++e) {
            const auto i = events[static_cast<std::size_t>(e)].data.u64;
            read(i, out);
        }
    }

    void read(std::size_t i, outcome& out) {
        auto& l = lines_[i];
        std::array<char, 16'384> piece;
        const auto n = ::recv(sockets_[i].native_handle(), piece.data(), piece.size(), 0);
        if (n < 0 && errno == EAGAIN) {
            return;
        }
        if (n <= 0) {
            fail("the server has closed a connection");
        }
        l.in.append(piece.data(), static_cast<std::size_t>(n));
        if (l.in.size() != response_size(l.in)) {
            return;
        }
        const auto took = bench_clock::now() - l.intended;
        if (l.in.starts_with("HTTP/1.1 200")) {
            ++out.good;
            out.latency.record(static_cast<std::uint64_t>(
                std::chrono::duration_cast<std::chrono::nanoseconds>(took).count()));
        } else if (l.in.starts_with("HTTP/1.1 503")) {
            ++out.refused;
        } else {
            std::fprintf(stderr, "an answer that is neither 200 nor 503: %.60s\n", l.in.c_str());
            std::exit(1);
        }
        if (l.in.find("\r\nConnection: close") != std::string::npos) {
            connect(i);  // as Puma asks for where others wait
        }
        l.in.clear();
        free_.push_back(i);
    }

    /// What is under way still is answered, and counts in no rate.
    void finish(outcome& out) {
        outcome late;
        const auto until = bench_clock::now() + std::chrono::seconds(10);
        while (free_.size() != lines_.size()) {
            receive(late);
            if (bench_clock::now() > until) {
                fail("no answer within 10 s");
            }
        }
        out.latency.add(late.latency);
    }

    std::string request_;
    tcp::endpoint server_;
    int epoll_;
    asio::io_context context_;
    std::vector<tcp::socket> sockets_;
    std::vector<line> lines_;
    std::deque<std::size_t> free_;
    std::deque<bench_clock::time_point> waiting_;
};

}  // namespace bench

#endif
