// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
// What postlude::http::server costs: requests a second, without a task and with an empty one a
// request, against a raw epoll responder that parses nothing and sends the server's own bytes; and
// the memory of an idle connection.
//
// Requests: the server's process (one thread that serves, and the pool) is on one core, a process
// that makes the load on another. 32 connections, one request in flight on each. The load never
// sleeps and reads all that has come before it sends (support/load.hpp says why), so that the
// server is what limits both variants: "busy", the share of its core that the server's process
// took, is the same for both then. Completed tasks stand beside the requests: starving the work
// would be fast, too. Run as root it takes priority over others.
//
// Memory: 10,000 connections from another process, all idle; what the server's private memory grew
// by. What the kernel keeps for a socket is not in it. Each measurement is a process of its own, so
// that none lives on what another has left in the heap.
#include "postlude/http/server.hpp"
#include "support/child.hpp"
#include "support/idle_clients.hpp"
#include "support/load.hpp"
#include "support/options.hpp"
#include "support/raw_responder.hpp"
#include "support/results.hpp"

#include <spdlog/spdlog.h>

#include <sys/resource.h>

#include <fstream>
#include <functional>
#include <memory>
#include <thread>

namespace {

namespace http = postlude::http;
using bench::bench_clock;
using bench::figure_line;
using bench::median;

constexpr int server_core = 0;
constexpr int load_core = 1;
constexpr double idle_target = 4096;

enum class variant { raw, no_task, task };

struct settings {
    double seconds = 1;
    int rounds = 9;
    std::size_t connections = 32;
    std::size_t idle = 10'000;
    std::string only{};
};

/// The server on a thread of its own, until the destructor.
class running_server {
public:
    explicit running_server(bool defers) : server_(options()) {
        server_.get("/hello", [defers](const http::request&, postlude::deferred& after) {
            if (defers) {
                after.run([] {});
            }
            return http::text(http::status::ok, "hello, world\n");
        });
        server_.post("/upload", [](const http::request& req, postlude::deferred&) {
            return http::text(http::status::ok, std::to_string(req.body().size()) + "\n");
        });
        thread_ = std::thread([this] { server_.run(); });
    }
    ~running_server() {
        server_.stop();
        thread_.join();
        if (counters().completed != counters().registered) {
            bench::fail("not every task has run");
        }
    }
    unsigned short port() const noexcept { return server_.port(); }
    postlude::counters counters() { return server_.get_dispatcher().counters(); }

private:
    static http::server_options options() {
        http::server_options options{.port = 0, .threads = 1, .handle_signals = false};
        return options;
    }
    http::server server_;
    std::thread thread_;
};

bench::tcp::endpoint loopback(unsigned short port) {
    return {boost::asio::ip::address_v4::loopback(), port};
}

double processor_time() {
    timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

/// What the server answers, byte by byte.
std::string response_of_server() {
    running_server server(false);
    return bench::client(server.port()).get("/hello");
}

struct figures {
    std::vector<double> requests_per_second;
    std::vector<double> microseconds;  ///< of the server's processor time, a request
    std::vector<double> busy;          ///< share of the time that it took of its core
    std::vector<double> tasks;         ///< completed a request, when the load ended
};

/// Measures one load on what listens at the port.
void measure(unsigned short port, const std::function<double()>& completed, bench::child& load,
             figures& out) {
    load.line.put(port);
    load.line.get();  // it is warm
    const auto completed_before = completed();
    const auto processor_before = processor_time();
    const auto begin = bench_clock::now();
    const auto answered = load.line.get();
    const std::chrono::duration<double> elapsed = bench_clock::now() - begin;
    const auto processor = processor_time() - processor_before;
    out.requests_per_second.push_back(answered / elapsed.count());
    out.microseconds.push_back(1e6 * processor / answered);
    out.busy.push_back(processor / elapsed.count());
    out.tasks.push_back((completed() - completed_before) / answered);
    load.end();
}

void measure(variant what, const std::string& response, const settings& s, figures& out) {
    bench::child load([&](figure_line& line) {
        bench::pin(load_core);
        bench::load load(loopback(static_cast<unsigned short>(line.get())), s.connections);
        load.start();
        load.run_for(s.seconds / 4);
        line.put(0);
        line.put(static_cast<double>(load.run_for(s.seconds)));
        line.get();  // its connections stay open until the counters have been read
    });
    bench::pin(server_core);
    if (what == variant::raw) {
        bench::raw_responder responder(response);
        measure(responder.port(), [] { return 0.0; }, load, out);
        return;
    }
    running_server server(what == variant::task);
    const auto completed = [&] { return static_cast<double>(server.counters().completed); };
    measure(server.port(), completed, load, out);
}

void print(const char* name, const figures& f) {
    const auto [min, max] = std::ranges::minmax(f.requests_per_second);
    std::printf("  %-32s %9.0f  %7.0f ..%7.0f  %7.2f  %7.2f  %9.3f\n", name,
                median(f.requests_per_second), min, max, median(f.microseconds), median(f.busy),
                median(f.tasks));
}

/// How many times more of `a` than of `b`, round by round.
void print_ratio(const char* name, const std::vector<double>& a, const std::vector<double>& b,
                 const char* target) {
    std::vector<double> ratios(a.size());
    std::ranges::transform(a, b, ratios.begin(), std::divides<>());
    const auto [min, max] = std::ranges::minmax(ratios);
    std::printf("  %-32s %9.2f  %7.2f ..%7.2f  %s\n", name, median(ratios), min, max, target);
}

void compare_requests(const settings& s, bench::results& out) {
    const auto response = response_of_server();
    figures raw, no_task, task;
    if (!s.only.empty()) {
        const auto what = s.only == "raw"    ? variant::raw
                          : s.only == "task" ? variant::task
                                             : variant::no_task;
        for (int i = 0; i != s.rounds; ++i) {
            measure(what, response, s, raw);
        }
        print(s.only.c_str(), raw);
        return;
    }
    for (int i = 0; i != s.rounds; ++i) {
        measure(variant::raw, response, s, raw);
        measure(variant::task, response, s, task);
        measure(variant::no_task, response, s, no_task);
    }
    std::printf("requests: %zu connections, response of %zu bytes, %d rounds in turn\n",
                s.connections, response.size(), s.rounds);
    std::printf("  %-32s %9s  %7s ..%7s  %7s  %7s  %9s\n", "", "median/s", "min", "max", "us cpu",
                "busy", "tasks/req");
    print("A  raw epoll responder", raw);
    print("B  server, an empty task", task);
    print("C  server, no task", no_task);
    print_ratio("B / A, requests a second", task.requests_per_second, raw.requests_per_second,
                "target >= 0.9");
    print_ratio("C / A, requests a second", no_task.requests_per_second, raw.requests_per_second,
                "");
    print_ratio("B / C, requests a second", task.requests_per_second, no_task.requests_per_second,
                "");
    print_ratio("A / B, processor time", raw.microseconds, task.microseconds, "");
    print_ratio("A / C, processor time", raw.microseconds, no_task.microseconds, "");
    const auto add = [&](const char* name, const figures& f) {
        bench::figure one{.part = "latency",
                          .chart = "requests a second at saturation, postlude::http::server",
                          .name = name,
                          .unit = "requests/s",
                          .less_is_better = false,
                          .rounds = f.requests_per_second};
        if (&f != &raw) {
            one.against = "floor: raw epoll responder";
        }
        if (&f == &task) {
            one.target = ">= 0.9";
            one.work_done = median(f.tasks);
        }
        out.add(one);
    };
    add("floor: raw epoll responder", raw);
    add("server, no task", no_task);
    add("server, an empty task", task);
    std::puts("");
    std::fflush(stdout);
}

/// Bytes of a line of /proc/self/smaps_rollup.
double memory(std::string_view name) {
    std::ifstream file("/proc/self/smaps_rollup");
    std::string line;
    while (std::getline(file, line)) {
        if (line.starts_with(name) && line.substr(name.size()).starts_with(":")) {
            return 1024 * std::stod(line.substr(name.size() + 1));
        }
    }
    bench::fail("/proc/self/smaps_rollup");
}

/// In a process of its own: prints what `count` connections cost that were used like this.
void measure_idle(const char* name, bench::idle_clients::use use, std::size_t count) {
    bench::child clients([&](figure_line& line) {
        bench::idle_clients idle(static_cast<unsigned short>(line.get()), use);
        idle.open(64);  // the heap of the thread that serves is there before the first look
        line.put(0);
        line.get();
        idle.open(count);
        line.put(0);
        line.get();  // they stay open
    });
    running_server server(true);
    clients.line.put(server.port());
    clients.line.get();
    const auto dirty = memory("Private_Dirty");
    const auto resident = memory("Rss");
    clients.line.put(0);
    clients.line.get();
    const auto each = static_cast<double>(count);
    std::printf("  %-32s %9.0f  %9.0f\n", name, (memory("Private_Dirty") - dirty) / each,
                (memory("Rss") - resident) / each);
    std::fflush(stdout);
    clients.end();
}

void measure_memory(const settings& s) {
    rlimit files{};
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    const auto count = std::min<std::size_t>(s.idle, files.rlim_cur - 200);
    std::printf("idle connections: %zu%s; bytes of the server's memory for each\n", count,
                count < s.idle ? " (no more file descriptors are allowed)" : "");
    std::printf("  %-32s %9s  %9s  target <= %.0f\n", "", "private", "resident", idle_target);
    using use = bench::idle_clients::use;
    constexpr std::pair<const char*, use> variants[] = {
        {"never sent anything", use::none},
        {"one request answered", use::hello},
        {"64 KiB uploaded", use::upload},
    };
    for (const auto& [name, how] : variants) {
        bench::child process([&](figure_line& line) {
            measure_idle(name, how, count);
            line.put(0);
        });
        process.line.get();
    }
}

}  // namespace

int main(int argc, char** argv) {
    settings s;
    CLI::App app("What postlude::http::server costs.");
    app.add_option("--seconds", s.seconds, "of each measurement")->capture_default_str();
    app.add_option("--rounds", s.rounds)->check(CLI::PositiveNumber)->capture_default_str();
    app.add_option("--idle", s.idle, "connections")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    app.add_option("--only", s.only, "for a profiler")
        ->check(CLI::IsMember({"raw", "task", "none"}));
    const auto common = bench::parse(app, argc, argv);
    if (common.smoke) {
        s.seconds = 0.1;
        s.rounds = 1;
        s.idle = 200;
    }
    bench::results out(common.json);
    spdlog::set_level(spdlog::level::warn);
    setpriority(PRIO_PROCESS, 0, -19);
    compare_requests(s, out);
    if (s.only.empty()) {
        measure_memory(s);
    }
}
