// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_BENCH_SUPPORT_OPEN_LOAD_HPP
#define POSTLUDE_BENCH_SUPPORT_OPEN_LOAD_HPP

#include "histogram.hpp"
#include "load.hpp"

#include <sys/prctl.h>

#include <cerrno>
#include <cmath>
#include <cstdint>
#include <ctime>
#include <deque>
#include <functional>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace bench {

/// Requests at times that do not depend on the answers, as many independent clients send them.
///
/// A request that finds every connection busy waits for one, and its time counts from when it was
/// to be sent: what a slow server keeps from being sent is not left out of its latencies
/// (coordinated omission). The times between requests are exponential, from the same seed each
/// time, so all servers get the same load. One request in flight on each connection.
///
/// Ends the program with a message when an answer is neither 200, 202 nor a 503 with Retry-After,
/// when a connection ends without one, or none comes within 30 s.
class open_load {
public:
    /// How to wait for the next thing to do.
    enum class waiting {
        spin,  ///< never sleeps, on a core of its own: to be woken would count as the server's time
        sleep  ///< leaves the processor to the server
    };
    struct outcome {
        histogram latency;             ///< of all answers, from when the request was to be sent
        histogram accepted_latency;    ///< of those that are no refusal
        std::size_t accepted = 0;      ///< 200 or 202
        std::size_t refused = 0;       ///< 503
        std::size_t accepted_in_time;  ///< before the time was over
        std::size_t unsent = 0;        ///< found no free connection before the time was over
        double seconds = 0;
    };

    open_load(const tcp::endpoint& server, std::size_t connections,
              const std::string& request_line = "GET /", waiting how = waiting::spin)
        : request_(request_line +
                   " HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\nAccept: */*\r\n" +
                   (request_line.starts_with("POST") ? "Content-Length: 0\r\n\r\n" : "\r\n")),
          server_(server),
          how_(how),
          lines_(connections) {
        ::prctl(PR_SET_TIMERSLACK, 1'000UL);
        for (std::size_t i = 0; i != connections; ++i) {
            sockets_.emplace_back(context_);
            connect(i);
            free_.push_back(i);
        }
    }
    open_load(const open_load&) = delete;
    open_load& operator=(const open_load&) = delete;
    ~open_load() { ::close(epoll_); }

    /// @param per_second 0: each connection sends again as soon as it is answered.
    /// @param at_end called when the time is over, with answers still under way.
    outcome run(double per_second, double seconds, const std::function<void()>& at_end = [] {}) {
        outcome out{};
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
                next = end;
            }
            send_waiting();
            receive(out, std::min(next, end));
        }
        out.accepted_in_time = out.accepted;
        out.seconds = std::chrono::duration<double>(bench_clock::now() - begin).count();
        out.unsent = std::exchange(waiting_, {}).size();
        at_end();
        const auto patience = bench_clock::now() + std::chrono::seconds(30);
        while (free_.size() != lines_.size()) {
            receive(out, patience);
            if (bench_clock::now() > patience) {
                fail("no answer within 30 s");
            }
        }
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
        sockets_[i] = tcp::socket(context_);
        open(sockets_[i], server_, epoll_, i);
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

    void receive(outcome& out, bench_clock::time_point until) {
        const auto rest = how_ == waiting::spin
                              ? std::chrono::nanoseconds(0)
                              : std::max(std::chrono::nanoseconds(until - bench_clock::now()),
                                         std::chrono::nanoseconds(0));
        const timespec wait{.tv_sec = rest.count() / 1'000'000'000,
                            .tv_nsec = rest.count() % 1'000'000'000};
        std::array<epoll_event, 64> events;
        const int n =
            ::epoll_pwait2(epoll_, events.data(), static_cast<int>(events.size()), &wait, nullptr);
        for (int e = 0; e < n; ++e) {
            read(events[static_cast<std::size_t>(e)].data.u64, out);
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
        if (l.in.size() == response_size(l.in)) {
            note(l, out);
            if (l.in.find("\r\nConnection: close") != std::string::npos) {
                connect(i);  // as Puma asks for where others wait
            }
            l.in.clear();
            free_.push_back(i);
        }
    }

    static void note(const line& l, outcome& out) {
        const auto took = static_cast<std::uint64_t>(
            std::chrono::nanoseconds(bench_clock::now() - l.intended).count());
        out.latency.record(took);
        if (l.in.starts_with("HTTP/1.1 200") || l.in.starts_with("HTTP/1.1 202")) {
            ++out.accepted;
            out.accepted_latency.record(took);
        } else if (l.in.starts_with("HTTP/1.1 503") &&
                   l.in.find("\r\nRetry-After: ") != std::string::npos) {
            ++out.refused;
        } else {
            std::fprintf(stderr, "FAILED: neither 200, 202 nor 503 with Retry-After: %.200s\n",
                         l.in.c_str());
            std::exit(1);
        }
    }

    std::string request_;
    tcp::endpoint server_;
    waiting how_;
    int epoll_ = epoll_create1(0);
    asio::io_context context_;
    std::vector<tcp::socket> sockets_;
    std::vector<line> lines_;
    std::deque<std::size_t> free_;
    std::deque<bench_clock::time_point> waiting_;
};

}  // namespace bench

#endif
