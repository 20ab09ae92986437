// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
//
// What does work that a request brings cost the requests?
//
// One Beast server on tcp_stream, with callbacks and one thread that serves; what changes is where
// the work is done: nowhere, in the handler, in a std::thread for each, on an asio::thread_pool, as
// a task of Postlude, as a durable job in SQLite. Libraries in their default configuration.
//
// The server's process has all cores but the last, which the load has for itself (and never
// sleeps on, so nothing of what is measured is its own wake-up). Of two cores that leaves the
// server one, for serving and for the work: the worst case. Each measurement starts a new server;
// the ways come in turn, round by round, and ratios are taken within a round.
//
//   saturation    32 connections, each sends again as soon as it is answered; empty work
//   a fixed rate  requests at random times that do not depend on the answers
//   (support/open_load.hpp);
//                 latencies count from when a request was to be sent
//   one client    one connection: how long its response takes, and the next one, while 50 ms of
//   work
//                 that the first has brought are done
//
// Beside each figure stands how much of the work was done within the same time: starving the work
// would be fast, too. The floor: a round trip to a raw epoll responder, which is measured as well,
// and one wake-up of a sleeping thread (6 to 12 us at whoever wakes), where work goes to another.
#include "postlude/backends/sqlite.hpp"
#include "support/beast_server.hpp"
#include "support/child.hpp"
#include "support/disk.hpp"
#include "support/idle_clients.hpp"
#include "support/open_load.hpp"
#include "support/options.hpp"
#include "support/raw_responder.hpp"
#include "support/results.hpp"

#include <spdlog/spdlog.h>

#include <sys/resource.h>

#include <functional>
#include <map>
#include <optional>

namespace {

using bench::figure_line;
using bench::name_of;
using bench::way;
using namespace std::chrono_literals;

/// What a measurement asks for: of the servers here by its work, of others by its path.
struct load_of {
    bench::work work;
    std::string path;
};

/// One of those that are compared.
struct contender {
    std::string name;
    std::string against;  ///< the same server without work; empty for such a one
    way how = way::none;
    unsigned short port = 0;  ///< of another server, that runs already

    bool has_work() const { return !against.empty(); }
};

std::vector<contender> contenders(const std::vector<std::string>& peers) {
    std::vector<contender> all;
    for (const auto w : {way::none, way::none_respond, way::in_handler, way::thread, way::asio_pool,
                         way::postlude, way::durable}) {
        contender c{.name = name_of(w), .against = {}, .how = w};
        if (w == way::postlude || w == way::durable) {
            c.against = name_of(way::none_respond);  // written in the same way
        } else if (w != way::none && w != way::none_respond) {
            c.against = name_of(way::none);
        }
        all.push_back(c);
    }
    for (const auto& peer : peers) {
        const auto at = peer.find('=');
        const auto name = peer.substr(0, at);
        const auto port = static_cast<unsigned short>(std::stoi(peer.substr(at + 1)));
        all.push_back({.name = name + ", no work", .against = {}, .port = port});
        all.push_back({.name = name, .against = name + ", no work", .port = port});
    }
    return all;
}

constexpr const char* saturation_chart = "requests a second at saturation, empty work";

struct settings {
    double seconds = 0.6;
    int rounds = 9;
    int pairs = 15;
    std::size_t connections = 32;
    double rate = 4'000;
    bool grid = false;
    bool smoke = false;
    std::vector<contender> who;
    std::string directory = std::filesystem::temp_directory_path();
};

/// Of the machine: this process is on one of them only.
int cores() { return static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN)); }

/// Everything below runs on all cores but the last.
void leave_the_last_core() {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (int i = 0; i < std::max(1, cores() - 1); ++i) {
        CPU_SET(i, &set);
    }
    sched_setaffinity(0, sizeof set, &set);
}

/// A server in a process of its own, or one that runs already.
class served {
public:
    served(const contender& who, const load_of& what, const std::string& directory)
        : port_(who.port), path_(who.has_work() || who.port == 0 ? what.path : "/none") {
        if (port_ == 0) {
            process_.emplace([&](figure_line& line) {
                leave_the_last_core();
                serve(who.how, what.work, directory, line);
            });
            port_ = static_cast<unsigned short>(process_->line.get());
        }
    }
    ~served() {
        if (process_) {
            process_->line.put(0);
            process_->line.get();
        }
    }
    unsigned short port() const { return port_; }
    const std::string& path() const { return path_; }
    bench::tcp::endpoint endpoint() const {
        return {boost::asio::ip::address_v4::loopback(), port_};
    }
    /// Of the work, since it began.
    double done() {
        if (process_) {
            process_->line.put(1);
            return process_->line.get();
        }
        const auto text = bench::client(port_).get("/done");
        return std::stod(text.substr(text.find("\r\n\r\n") + 4));
    }

private:
    static void serve(way how, bench::work what, const std::string& directory, figure_line& line) {
        std::optional<bench::disk_directory> place;
        postlude::dispatcher_options options;
        if (how == way::durable) {
            place.emplace(directory);
            options.jobs.store = postlude::sqlite_backend({.file = place->path() + "/jobs"});
        }
        bench::beast_server server(how, what, std::move(options));
        line.put(server.port());
        while (line.get() != 0) {
            line.put(static_cast<double>(server.done()));
        }
        place.reset();  // first, since the process ends in the middle of what it has to do
        line.put(0);
    }

    std::optional<bench::child> process_;
    unsigned short port_;
    std::string path_;
};

struct measured {
    std::vector<double> per_second, p50, p90, p99, p999;
    bench::histogram all;
    double accepted = 0, done = 0, refused = 0, unsent = 0;

    void add(const bench::open_load::outcome& o, double work_done) {
        per_second.push_back(static_cast<double>(o.accepted_in_time) / o.seconds);
        p50.push_back(o.accepted_latency.at(0.5));
        p90.push_back(o.accepted_latency.at(0.9));
        p99.push_back(o.accepted_latency.at(0.99));
        p999.push_back(o.accepted_latency.at(0.999));
        all.add(o.accepted_latency);
        accepted += static_cast<double>(o.accepted_in_time);
        refused += static_cast<double>(o.refused);
        unsent += static_cast<double>(o.unsent);
        done += work_done;
    }
    double share_done() const { return accepted > 0 ? done / accepted : 0; }
};

void measure(const contender& who, const load_of& what, double rate, const settings& s,
             measured& out) {
    served server(who, what, s.directory);
    bench::open_load load(server.endpoint(), s.connections, "GET " + server.path());
    load.run(rate, s.seconds / 4);
    const auto before = server.done();
    const auto outcome = load.run(rate, s.seconds);
    out.add(outcome, server.done() - before);
}

double median_ratio(const std::vector<double>& a, const std::vector<double>& b) {
    std::vector<double> ratios;
    for (std::size_t i = 0; i != a.size(); ++i) {
        ratios.push_back(a[i] / b[i]);
    }
    return bench::median(ratios);
}

using found = std::map<std::string, measured>;

bench::figure figure_of(const std::string& chart, const std::string& unit, const contender& who,
                        const measured& m, const std::vector<double>& values) {
    bench::figure f{.part = "latency",
                    .chart = chart,
                    .name = who.name,
                    .unit = unit,
                    .rounds = values,
                    .against = who.against};
    if (who.has_work()) {
        f.work_done = m.share_done();
    }
    return f;
}

void saturation(const settings& s, bench::results& out) {
    found all;
    for (int i = 0; i != s.rounds; ++i) {
        for (const auto& c : s.who) {
            measure(c, {{}, "/empty"}, 0, s, all[c.name]);
        }
    }
    std::printf("saturation: %zu connections, empty work, %d rounds in turn\n", s.connections,
                s.rounds);
    std::printf("  %-26s %10s %8s ..%8s  %10s  %9s\n", "", "requests/s", "min", "max", "to no work",
                "work done");
    for (const auto& c : s.who) {
        const auto& m = all[c.name];
        const auto [min, max] = std::ranges::minmax(m.per_second);
        const auto& base = c.has_work() ? all[c.against] : m;
        std::printf("  %-26s %10.0f %8.0f ..%8.0f  %10.2f  %9.2f\n", c.name.c_str(),
                    bench::median(m.per_second), min, max,
                    median_ratio(m.per_second, base.per_second), m.share_done());
        auto f = figure_of(saturation_chart, "requests/s", c, m, m.per_second);
        f.less_is_better = false;
        f.target = c.how == way::postlude ? ">= 0.97" : "";
        out.add(f);
    }
    std::puts("");
}

void fixed_rate(const std::string& what, const load_of& work, double rate, int rounds, bool targets,
                const settings& s, bench::results& out) {
    found all;
    for (int i = 0; i != rounds; ++i) {
        for (const auto& c : s.who) {
            measure(c, work, rate, s, all[c.name]);
        }
    }
    const auto chart = std::to_string(std::lround(rate)) + " requests/s, " + what;
    std::printf("%s: %d rounds in turn; us\n", chart.c_str(), rounds);
    std::printf("  %-26s %8s %8s %8s %8s  %8s %8s  %9s %8s %8s\n", "", "p50", "p90", "p99", "p99.9",
                "p50 to", "p99 to", "work done", "refused", "unsent");
    for (const auto& c : s.who) {
        const auto& m = all[c.name];
        const auto& base = c.has_work() ? all[c.against] : m;
        std::printf("  %-26s %8.0f %8.0f %8.0f %8.0f  %8.2f %8.2f  %9.2f %8.0f %8.0f\n",
                    c.name.c_str(), bench::median(m.p50), bench::median(m.p90),
                    bench::median(m.p99), bench::median(m.p999), median_ratio(m.p50, base.p50),
                    median_ratio(m.p99, base.p99), m.share_done(), m.refused, m.unsent);
        const auto add = [&](const char* which, const std::vector<double>& values,
                             const char* target) {
            auto f = figure_of(std::string(which).append(" at ").append(chart), "us", c, m, values);
            f.target = targets && c.how == way::postlude ? target : "";
            out.add(f);
        };
        add("p50", m.p50, "<= 1.15");
        add("p99", m.p99, "<= 1.3");
        out.add_curve("latency", chart, c.name, m.all.curve());
    }
    std::puts("");
}

/// One connection, while work of 50 ms that its first request has brought is done.
void one_client(const std::string& what, const load_of& work, const settings& s,
                bench::results& out) {
    std::printf("one client, 50 ms of work: %s; us\n", what.c_str());
    std::printf("  %-26s %12s %12s\n", "", "own response", "the next");
    const int times = s.smoke ? 2 : 15;
    for (const auto& c : s.who) {
        if (!c.has_work()) {
            continue;
        }
        std::vector<double> own, next;
        served server(c, work, s.directory);
        bench::client client(server.port());
        const auto ask = [&] {
            const auto begin = bench::bench_clock::now();
            client.get(server.path());
            return bench::microseconds_since(begin);
        };
        const auto start = server.done();
        for (int i = 0; i != times; ++i) {
            own.push_back(ask());
            std::this_thread::sleep_for(5ms);  // the work has begun
            next.push_back(ask());
            while (server.done() < start + 2 * (i + 1)) {
                std::this_thread::sleep_for(1ms);
            }
        }
        std::printf("  %-26s %12.0f %12.0f\n", c.name.c_str(), bench::median(own),
                    bench::median(next));
        const auto add = [&](const char* which, const std::vector<double>& times_of,
                             const char* target) {
            out.add({.part = "latency",
                     .chart = std::string(which).append(" 50 ms of ").append(what),
                     .name = c.name,
                     .unit = "us",
                     .rounds = times_of,
                     .target = c.how == way::postlude ? target : ""});
        };
        add("own response with", own, "");
        add("next request on the connection during", next, "<= 1000");
    }
    std::puts("");
}

double raw_saturation(const settings& s) {
    bench::child process([](figure_line& line) {
        bench::pin(0);
        bench::raw_responder responder(
            "HTTP/1.1 200 OK\r\nServer: bench\r\nContent-Length: 13\r\n"
            "\r\nhello, world\n");
        line.put(responder.port());
        line.get();
    });
    const auto port = static_cast<unsigned short>(process.line.get());
    bench::open_load load({boost::asio::ip::address_v4::loopback(), port}, s.connections);
    load.run(0, s.seconds / 4);
    const auto o = load.run(0, s.seconds);
    return static_cast<double>(o.accepted_in_time) / o.seconds;
}

void run(const settings& s, bench::results& out) {
    const auto turns = bench::turns_a_microsecond();
    const auto cpu = [&](double microseconds) {
        return load_of{{.turns = static_cast<std::uint64_t>(microseconds * turns)},
                       "/cpu/" + std::to_string(std::lround(microseconds))};
    };
    const auto waiting = [](std::chrono::milliseconds time) {
        return load_of{{.asleep = time}, "/wait/" + std::to_string(time.count())};
    };
    const load_of empty{{}, "/empty"};
    std::vector<double> raw;
    for (int i = 0; i != std::min(3, s.rounds); ++i) {
        raw.push_back(raw_saturation(s));
    }
    std::printf("floor: a raw epoll responder answers %.0f requests/s\n\n", bench::median(raw));
    out.add({.part = "latency",
             .chart = saturation_chart,
             .name = "floor: raw epoll responder",
             .unit = "requests/s",
             .less_is_better = false,
             .rounds = raw});
    saturation(s, out);
    fixed_rate("50 us of CPU each", cpu(50), s.rate, s.pairs, true, s, out);
    one_client("CPU", cpu(50'000), s, out);
    one_client("waiting", waiting(50ms), s, out);
    if (!s.grid) {
        return;
    }
    measured base;
    for (int i = 0; i != 3; ++i) {
        measure(s.who.front(), empty, 0, s, base);
    }
    const auto most = bench::median(base.per_second);
    for (const double share : {0.3, 0.5, 0.7}) {
        const auto rate = share * most;
        const auto of = std::to_string(std::lround(100 * share)) + " % of saturation, ";
        const auto fill = 1e6 * std::max(1, cores() - 1) / rate;
        fixed_rate(of + "empty work", empty, rate, s.rounds, false, s, out);
        fixed_rate(of + "50 us of CPU each", cpu(50), rate, s.rounds, false, s, out);
        fixed_rate(of + "5 ms of waiting each", waiting(5ms), rate, s.rounds, false, s, out);
        fixed_rate(of + "CPU that fills every core", cpu(fill), rate, s.rounds, false, s, out);
    }
}

}  // namespace

int main(int argc, char** argv) {
    settings s;
    std::vector<std::string> peers;
    CLI::App app("What work that a request brings costs the requests.");
    app.add_option("--seconds", s.seconds, "of each measurement")->capture_default_str();
    app.add_option("--rounds", s.rounds, "of each comparison")->capture_default_str();
    app.add_option("--pairs", s.pairs, "of the comparison that has a target")
        ->capture_default_str();
    app.add_option("--rate", s.rate, "requests a second")->capture_default_str();
    app.add_option("--directory", s.directory, "which disk")->capture_default_str();
    app.add_option("--peer", peers, "NAME=PORT of another server on loopback; see run.sh");
    app.add_flag("--grid", s.grid, "also 30, 50 and 70 % of saturation, with four kinds of work");
    const auto common = bench::parse(app, argc, argv);
    s.smoke = common.smoke;
    if (s.smoke) {
        s.seconds = 0.05;
        s.rounds = 1;
        s.pairs = 1;
    }
    s.who = contenders(peers);
    spdlog::set_level(spdlog::level::err);
    setpriority(PRIO_PROCESS, 0, -10);
    bench::pin(std::max(0, cores() - 1));
    bench::results out(common.json);
    run(s, out);
}
