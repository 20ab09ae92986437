// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
// A good client's latency among 10,000 connections that say nothing and 1,000 that send a byte a
// second, against its latency alone; and how long the server takes to stop while 10,000 silent
// connections are open.
//
// The server's process (one thread that serves) is on one core; the good client, with one request
// at a time, and the crowd are processes on another. Each measurement has a server of its own;
// those without and with the crowd alternate. Run as root it takes priority over others.
#include "postlude/http/server.hpp"
#include "support/child.hpp"
#include "support/crowd.hpp"
#include "support/idle_clients.hpp"
#include "support/load.hpp"

#include <spdlog/spdlog.h>

#include <sys/resource.h>

#include <cstring>
#include <functional>
#include <thread>

namespace {

namespace http = postlude::http;
using bench::bench_clock;
using bench::figure_line;
using bench::median;

constexpr int server_core = 0;
constexpr int client_core = 1;

struct settings {
    std::size_t silent = 10'000;
    std::size_t dripping = 1'000;
    std::size_t requests = 20'000;
    int rounds = 9;
};

class running_server {
public:
    running_server() : server_({.port = 0, .threads = 1, .handle_signals = false}) {
        server_.get("/hello", [](const http::request&, postlude::deferred& after) {
            after.run([] {});
            return http::text(http::status::ok, "hello, world\n");
        });
        thread_ = std::thread([this] { server_.run(); });
    }
    ~running_server() { stop(); }

    /// Returns the milliseconds that it took.
    double stop() {
        const auto begin = bench_clock::now();
        server_.stop();
        if (thread_.joinable()) {
            thread_.join();
        }
        return std::chrono::duration<double, std::milli>(bench_clock::now() - begin).count();
    }
    unsigned short port() const noexcept { return server_.port(); }
    void wait_for_connections(std::size_t n) const {
        while (server_.counters().connections != n) {
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
    }

private:
    http::server server_;
    std::thread thread_;
};

/// Opens its connections when it gets the port, and keeps them until it is ended.
void be_crowd(figure_line& line, std::size_t silent, std::size_t dripping) {
    bench::pin(client_core);
    bench::crowd crowd(static_cast<unsigned short>(line.get()), silent, dripping);
    line.put(0);
    crowd.drip_until(line.descriptor());
}

/// Gives the p50 and p99 of its requests, in microseconds.
void be_good_client(figure_line& line, std::size_t requests) {
    bench::pin(client_core);
    bench::client client(static_cast<unsigned short>(line.get()));
    std::vector<double> took;
    for (std::size_t i = 0; i != requests; ++i) {
        const auto begin = bench_clock::now();
        client.get("/hello");
        took.push_back(
            std::chrono::duration<double, std::micro>(bench_clock::now() - begin).count());
    }
    std::ranges::sort(took);
    line.put(took[took.size() / 2]);
    line.put(took[took.size() * 99 / 100]);
    line.get();
}

struct figures {
    std::vector<double> p50;
    std::vector<double> p99;
};

void measure(std::size_t silent, std::size_t dripping, std::size_t requests, figures& out) {
    bench::child crowd([=](figure_line& line) { be_crowd(line, silent, dripping); });
    bench::child good([=](figure_line& line) { be_good_client(line, requests); });
    bench::pin(server_core);
    running_server server;
    crowd.line.put(server.port());
    crowd.line.get();
    server.wait_for_connections(silent + dripping);
    good.line.put(server.port());
    out.p50.push_back(good.line.get());
    out.p99.push_back(good.line.get());
    good.end();
    crowd.end();
}

double measure_stop(std::size_t silent) {
    bench::child crowd([=](figure_line& line) { be_crowd(line, silent, 0); });
    running_server server;
    crowd.line.put(server.port());
    crowd.line.get();
    server.wait_for_connections(silent);
    return server.stop();
}

void print(const char* name, const std::vector<double>& values, const char* target) {
    const auto [min, max] = std::ranges::minmax(values);
    std::printf("  %-32s %9.2f  %8.2f ..%8.2f  %s\n", name, median(values), min, max, target);
}

std::vector<double> ratios(const std::vector<double>& a, const std::vector<double>& b) {
    std::vector<double> all(a.size());
    std::ranges::transform(a, b, all.begin(), std::divides<>());
    return all;
}

void compare(const settings& s) {
    figures alone, among;
    std::vector<double> stops;
    for (int i = 0; i != s.rounds; ++i) {
        measure(0, 0, s.requests, alone);
        measure(s.silent, s.dripping, s.requests, among);
    }
    for (int i = 0; i != std::min(s.rounds, 3); ++i) {
        stops.push_back(measure_stop(s.silent));
    }
    std::printf(
        "a client with %zu requests, alone and among %zu silent and %zu dripping ones, "
        "%d rounds in turn\n",
        s.requests, s.silent, s.dripping, s.rounds);
    std::printf("  %-32s %9s  %8s ..%8s\n", "", "median", "min", "max");
    print("A  alone, p50 us", alone.p50, "");
    print("B  among them, p50 us", among.p50, "");
    print("A  alone, p99 us", alone.p99, "");
    print("B  among them, p99 us", among.p99, "");
    print("B / A, p50", ratios(among.p50, alone.p50), "target: 1");
    print("B / A, p99", ratios(among.p99, alone.p99), "");
    print("stop with the silent ones, ms", stops, "the clients close nothing: 1,000 are waited");
}

void allow_open_files(rlim_t n) {
    rlimit files{};
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = std::max(files.rlim_cur, n);
    files.rlim_max = std::max(files.rlim_max, n);
    if (setrlimit(RLIMIT_NOFILE, &files) != 0) {
        std::fprintf(stderr, "this needs %lu open files: raise the hard limit (ulimit -Hn)\n",
                     static_cast<unsigned long>(n));
        std::exit(1);
    }
}

}  // namespace

int main(int argc, char** argv) {
    settings s;
    for (int i = 1; i < argc; ++i) {
        const auto is = [&](const char* name) {
            return std::strcmp(argv[i], name) == 0 && i + 1 < argc;
        };
        if (std::strcmp(argv[i], "--smoke") == 0) {
            s = {.silent = 200, .dripping = 20, .requests = 200, .rounds = 1};
        } else if (is("--rounds")) {
            s.rounds = std::max(1, std::atoi(argv[++i]));
        } else {
            std::puts("bench_many_connections [--smoke] [--rounds N]");
            return 2;
        }
    }
    spdlog::set_level(spdlog::level::warn);
    setpriority(PRIO_PROCESS, 0, -19);
    allow_open_files(s.silent + s.dripping + 200);
    compare(s);
}
