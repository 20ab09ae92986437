// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_BENCH_SUPPORT_PACED_LOAD_HPP
#define POSTLUDE_BENCH_SUPPORT_PACED_LOAD_HPP

#include "load.hpp"

#include <sys/prctl.h>

#include <cmath>
#include <cstdint>
#include <ctime>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

/// What became of the requests of one run of `paced_load`. Latencies in milliseconds, from the
/// moment at which the request was to be sent.
struct open_answers {
    std::uint64_t asked = 0;
    std::uint64_t accepted = 0;  ///< 2xx
    std::uint64_t refused = 0;   ///< 503 with Retry-After
    std::uint64_t wrong = 0;     ///< any other answer, a connection that ended, or none in time
    std::string first_wrong{};   ///< what the first of them was
    std::vector<double> latencies{};           ///< of all answers
    std::vector<double> accepted_latencies{};  ///< of those with 2xx
};

/// Asks at a fixed rate, whatever the server does: an open loop. A request that finds no free
/// connection waits here for one, and its latency counts all the same. No pipelining.
///
/// Between two moments at which something is to be sent it sleeps, so that it leaves the processor
/// to the server and its workers.
class paced_load {
public:
    paced_load(unsigned short port, std::size_t connections) : port_(port) {
        ::prctl(PR_SET_TIMERSLACK, 1'000UL);
        connections_.resize(connections);
        for (std::size_t i = 0; i != connections; ++i) {
            connect(i);
        }
    }
    paced_load(const paced_load&) = delete;
    paced_load& operator=(const paced_load&) = delete;
    ~paced_load() {
        for (const auto& c : connections_) {
            ::close(c.fd);
        }
        ::close(epoll_);
    }

    /// @param rate requests a second.
    /// @param at_end called when no more is to be sent, with answers still under way.
    template <class Function>
    open_answers run(double rate, double seconds, Function at_end) {
        answers_ = {};
        due_ = static_cast<std::uint64_t>(rate * seconds);
        answers_.latencies.reserve(due_);
        begin_ = bench_clock::now();
        interval_ = std::chrono::duration<double>(1 / rate);
        const auto end = begin_ + std::chrono::duration<double>(seconds);
        while (bench_clock::now() < end) {
            send_due();
            receive(std::min(answers_.asked < due_ ? intended(answers_.asked) : end, end));
        }
        at_end();
        const auto late = bench_clock::now() + std::chrono::seconds(30);
        while (done() < due_ && bench_clock::now() < late) {
            send_due();
            receive(late);
        }
        if (const auto unanswered = due_ - done(); unanswered != 0) {
            wrong(unanswered, "no answer within 30 s");
        }
        return std::move(answers_);
    }

private:
    using time = std::chrono::time_point<bench_clock, std::chrono::duration<double, std::nano>>;

    struct connection {
        int fd = -1;
        bool waits = false;
        time intended{};  ///< of the request that it waits for
        std::string text{};
    };

    static constexpr std::string_view request =
        "POST /work HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";

    void connect(std::size_t i) {
        tcp::socket socket(context_);
        socket.connect({asio::ip::address_v4::loopback(), port_});
        socket.set_option(tcp::no_delay(true));
        socket.non_blocking(true);
        connections_[i] = {.fd = socket.release()};
        epoll_event event{.events = EPOLLIN, .data = {.u64 = i}};
        if (epoll_ctl(epoll_, EPOLL_CTL_ADD, connections_[i].fd, &event) != 0) {
            fail("epoll_ctl");
        }
        free_.push_back(i);
    }

    time intended(std::uint64_t n) const { return begin_ + interval_ * static_cast<double>(n); }
    std::uint64_t done() const noexcept {
        return answers_.accepted + answers_.refused + answers_.wrong;
    }

    void send_due() {
        while (answers_.asked < due_ && !free_.empty() &&
               intended(answers_.asked) <= bench_clock::now()) {
            auto& c = connections_[free_.back()];
            c.intended = intended(answers_.asked);
            c.waits = true;
            ++answers_.asked;
            // What a dead connection does not take is noticed when it is read.
            if (::send(c.fd, request.data(), request.size(), MSG_NOSIGNAL) < 0 && errno == EAGAIN) {
                fail("a connection that waits for nothing is full");
            }
            free_.pop_back();
        }
    }

    /// Until something has come, or that moment.
    void receive(time until) {
        const auto rest = std::max(0.0, (until - bench_clock::now()).count());
        const timespec wait{.tv_sec = static_cast<std::time_t>(rest / 1e9),
                            .tv_nsec = static_cast<long>(std::fmod(rest, 1e9))};
        std::array<epoll_event, 64> events;
        const int n =
            ::epoll_pwait2(epoll_, events.data(), static_cast<int>(events.size()), &wait, nullptr);
        for (int e = 0; e < n; ++e) {
            read(events[static_cast<std::size_t>(e)].data.u64);
        }
    }

    void read(std::size_t i) {
        auto& c = connections_[i];
        std::array<char, 4096> piece;
        const auto n = ::recv(c.fd, piece.data(), piece.size(), 0);
        if (n < 0 && errno == EAGAIN) {
            return;
        }
        if (n > 0) {
            c.text.append(piece.data(), static_cast<std::size_t>(n));
            if (!whole(c.text)) {
                return;
            }
        }
        note(c, n > 0);
        if (n <= 0 || c.text.find("Connection: close") != std::string::npos) {
            ::close(c.fd);
            connect(i);
            return;
        }
        c.text.clear();
        free_.push_back(i);
    }

    static bool whole(const std::string& text) {
        const auto header = text.find("\r\n\r\n");
        const auto length = text.find("Content-Length: ");
        return header != std::string::npos &&
               (length > header ||
                text.size() >= header + 4 + std::strtoul(text.c_str() + length + 16, nullptr, 10));
    }

    void note(connection& c, bool whole) {
        if (!c.waits) {
            return;  // a silent connection that the server has closed
        }
        c.waits = false;
        const double latency = (bench_clock::now() - c.intended).count() / 1e6;
        answers_.latencies.push_back(latency);
        const std::string_view text(c.text);
        if (!whole) {
            wrong(1, "the connection ended after '" + c.text + "'");
        } else if (text.starts_with("HTTP/1.1 2")) {
            ++answers_.accepted;
            answers_.accepted_latencies.push_back(latency);
        } else if (text.starts_with("HTTP/1.1 503 ") &&
                   text.find("Retry-After: ") != std::string::npos) {
            ++answers_.refused;
        } else {
            wrong(1, c.text);
        }
    }

    void wrong(std::uint64_t n, const std::string& what) {
        if (answers_.wrong == 0) {
            answers_.first_wrong = what;
        }
        answers_.wrong += n;
    }

    asio::io_context context_;
    unsigned short port_;
    int epoll_ = epoll_create1(0);
    std::vector<connection> connections_;
    std::vector<std::size_t> free_;
    open_answers answers_;
    std::uint64_t due_ = 0;
    bench_clock::time_point begin_;
    std::chrono::duration<double, std::nano> interval_{};
};

}  // namespace bench

#endif
