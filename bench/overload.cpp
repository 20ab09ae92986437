// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
//
// What becomes of a server that is asked for more deferred work than it can do: at 1, 2, 5 and 10
// times its capacity, how much is done, what is refused or stored, how long the answers take and
// whether memory grows?
//
// The seconds are those of each step; the directory says which disk has the store, and a new one in
// it is used and removed.
//
//   tasks   Each request defers a task that waits for 1 ms, as for a mail server. The pool has two
//           workers, and a capacity of 1,000 tasks instead of 65,536, so that it is full at once;
//           `admit` refuses what has no room.
//   jobs    Each request enqueues a job that may spill and waits for 1 ms, on a server with the
//           same pool and a store in SQLite: nothing has to be refused, and what memory has no
//           room for is stored before the answer. Asked at the same rates.
//
// The capacity is measured in each round: what the two workers do in a second while they always
// have a task to do, under a load of the same kind (of a machine that does nothing else, a sleep of
// 1 ms takes longer). The steps are all steps of a round, one after the other, on servers that go
// on between them.
//
// The load is an open loop (support/open_load.hpp) on up to 64 connections, which sleeps while it
// has nothing to do.
//
// Goodput is work that was done within the step, a second; it all belongs to requests that were
// answered with 2xx. What was accepted within a step and waits at its end is done before the next
// begins and counts for none (of jobs, which can be many, without the waiting). The run fails if
// an answer is neither 2xx nor 503 with Retry-After, if accepted work has not been done, or done
// twice, or if the counters' sum does not hold.
//
// The floor: no server does more than its capacity, so 1.0 of it is all there is; at
// twice the capacity at least half of the requests are refused or wait. An answer takes two system
// calls of the server, some 10 us, and where it sleeps 14 to 35 us more until it runs; what is
// stored waits for a sync of the disk (F). A processor that the answers take is one that the
// workers do not have: with two processors, 10 times the capacity is some 20,000 requests a second
// and takes about half of one, and the load as much again.
#include "postlude/backends/sqlite.hpp"
#include "postlude/http/middleware.hpp"
#include "postlude/http/server.hpp"
#include "support/child.hpp"
#include "support/disk.hpp"
#include "support/open_load.hpp"
#include "support/options.hpp"
#include "support/results.hpp"

#include <boost/describe/class.hpp>

#include <spdlog/spdlog.h>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

namespace {

namespace http = postlude::http;
using steady = bench::bench_clock;

constexpr unsigned workers = 2;
constexpr std::size_t capacity_of_queue = 1'000;
constexpr std::chrono::milliseconds work_time{1};
constexpr std::array<int, 4> multiples{1, 2, 5, 10};
constexpr std::size_t connections = 64;

struct settings {
    bool smoke = false;
    double seconds = 2;
    int rounds = 3;
    std::string json{};
    std::string directory = std::filesystem::temp_directory_path();
};

enum class work { tasks, jobs };

constexpr const char* name_of(work what) {
    return what == work::tasks ? "tasks" : "jobs that spill";
}

struct side_work {
    std::uint64_t number = 0;
    static constexpr postlude::job_traits job{.kind = "side_work"};
};
BOOST_DESCRIBE_STRUCT(side_work, (), (number))

/// What a server says of itself.
struct snapshot {
    double memory = 0;  ///< private, MB
    double ran = 0;     ///< tasks or jobs
    double refused = 0;
    double spilled = 0;
    double owed = 0;      ///< accepted and not done, in memory or stored
    double balanced = 0;  ///< 1 if the counters' sum holds
};

enum command : int { look, settle, stop };

double private_memory() {
    std::ifstream file("/proc/self/smaps_rollup");
    double kilobytes = 0;
    for (std::string word; file >> word;) {
        double value = 0;
        if (word.starts_with("Private_") && file >> value) {
            kilobytes += value;
        }
    }
    return kilobytes / 1024;
}

/// The server that is overloaded, with commands from the process that loads it.
class victim {
public:
    victim(work what, const std::string& directory)
        : what_(what), server_(options(directory)), dispatcher_(&server_.get_dispatcher()) {
        if (what == work::tasks) {
            server_.use(http::admit());
            server_.post("/work", [this](const http::request&, postlude::deferred& after) {
                after.run([this] { do_work(); });
                return http::text(http::status::accepted, "Later.\n");
            });
        } else {
            server_.post("/work", [this](const http::request&, postlude::deferred& after) {
                after.enqueue(side_work{++number_});
                return http::text(http::status::accepted, "Later.\n");
            });
        }
    }

    void serve(bench::figure_line& line) {
        postlude::drain_report report;
        std::thread thread([&] { report = server_.run(); });
        line.put(server_.port());
        for (;;) {
            switch (static_cast<command>(line.get())) {
            case look: put(line, now()); break;
            case settle: put(line, settled()); break;
            case stop:
                server_.stop();
                thread.join();
                line.put(static_cast<double>(report.lost.size()));
                return;
            }
        }
    }

private:
    http::server_options options(const std::string& directory) {
        http::server_options o;
        o.port = 0;
        o.handle_signals = false;
        o.dispatcher.pool.threads = workers;
        o.dispatcher.pool.default_queue.capacity = capacity_of_queue;
        if (what_ == work::jobs) {
            o.dispatcher.jobs.store = postlude::sqlite_backend({.file = directory + "/jobs.db"});
            o.dispatcher.kinds.handle<side_work>([this](const side_work&) { do_work(); });
        }
        return o;
    }

    void do_work() {
        if (!in_a_hurry_) {
            std::this_thread::sleep_for(work_time);
        }
        ran_.fetch_add(1, std::memory_order_relaxed);
    }

    snapshot now() {
        snapshot s{.memory = private_memory(), .ran = static_cast<double>(ran_.load())};
        const auto c = dispatcher_->counters();
        bool balanced = c.registered == c.refused + c.discarded + c.completed + c.failed + c.lost +
                                            c.handed_over + c.left;
        auto owed = c.left;
        auto refused = c.refused;
        if (what_ == work::jobs) {
            const auto j = dispatcher_->job_counters();
            balanced = balanced &&
                       j.registered + j.claimed == j.refused + j.discarded + j.completed + j.dead +
                                                       j.lost + j.handed_over + j.revoked + j.left;
            owed += j.left;
            refused = j.refused;
            s.spilled = static_cast<double>(j.spilled);
        }
        s.owed = static_cast<double>(owed);
        s.refused = static_cast<double>(refused);
        s.balanced = balanced ? 1 : 0;
        return s;
    }

    std::uint64_t stored() {
        std::uint64_t n = 0;
        if (what_ == work::jobs) {
            for (const auto& s : dispatcher_->stats()) {
                n += s.ready + s.claimed;
            }
        }
        return n;
    }

    /// When all is done that was accepted, or nothing has been done of it for 30 s.
    snapshot settled() {
        in_a_hurry_ = what_ == work::jobs;
        auto s = now();
        auto late = steady::now() + std::chrono::seconds(30);
        for (;;) {
            const auto waits = static_cast<double>(stored());
            const auto before = std::exchange(s, now());
            s.owed += waits;
            if ((s.owed == 0 && s.balanced != 0) || steady::now() > late) {
                break;
            }
            if (s.ran != before.ran) {
                late = steady::now() + std::chrono::seconds(30);
            }
            std::this_thread::sleep_for(std::chrono::milliseconds(2));
        }
        in_a_hurry_ = false;
        return s;
    }

    static void put(bench::figure_line& line, const snapshot& s) {
        for (const double value : {s.memory, s.ran, s.refused, s.spilled, s.owed, s.balanced}) {
            line.put(value);
        }
    }

    work what_;
    std::atomic<std::uint64_t> ran_{0};
    std::atomic<bool> in_a_hurry_{false};
    std::uint64_t number_ = 0;  ///< of one serving thread
    http::server server_;
    postlude::dispatcher* dispatcher_;
};

/// The same server, seen from the process that loads it.
class remote_victim {
public:
    remote_victim(work what, const std::string& directory)
        : child_([&](bench::figure_line& line) {
              spdlog::set_level(spdlog::level::err);  // it warns of the refusals
              victim(what, directory).serve(line);
          }),
          port_(static_cast<unsigned short>(child_.line.get())) {}

    unsigned short port() const noexcept { return port_; }
    snapshot ask(command c) {
        child_.line.put(c);
        snapshot s;
        for (double* value : {&s.memory, &s.ran, &s.refused, &s.spilled, &s.owed, &s.balanced}) {
            *value = child_.line.get();
        }
        return s;
    }
    /// Tasks and jobs that were lost.
    double end() {
        child_.line.put(stop);
        return child_.line.get();
    }

private:
    bench::child child_;
    unsigned short port_;
};

/// One value a round for each.
struct step_figures {
    std::vector<double> goodput, share_done, refused, spilled, p50, p99, accepted_p99, before,
        after;
};

[[noreturn]] void wrong(work what, int multiple, const std::string& why) {
    std::fflush(stdout);
    std::fprintf(stderr, "FAILED: %s at %d times the capacity: %s\n", name_of(what), multiple,
                 why.c_str());
    std::exit(1);
}

std::string text(double n) { return std::to_string(static_cast<std::int64_t>(n)); }

/// What was answered with 202 was done, once. The load has seen to it that the rest are 503s.
void check(work what, int multiple, const bench::open_load::outcome& answers,
           const snapshot& before, const snapshot& after) {
    if (after.owed != 0 || after.balanced == 0) {
        wrong(what, multiple,
              text(after.owed) +
                  " tasks or jobs have not been done in 30 s, or the counters' sum "
                  "does not hold");
    }
    const auto accepted = static_cast<double>(answers.accepted);
    const auto refused = static_cast<double>(answers.refused);
    const auto ran = after.ran - before.ran;
    // The store may have taken a job though its request had no answer in time and got a 503.
    const auto most = accepted + (what == work::jobs ? refused : 0);
    if (ran < accepted || ran > most) {
        wrong(what, multiple, text(accepted) + " accepted, " + text(ran) + " done");
    }
    if (after.refused - before.refused != refused) {
        wrong(what, multiple,
              text(refused) + " answers are 503, " + text(after.refused - before.refused) +
                  " were counted as refused");
    }
}

void run_step(work what, int multiple, double capacity, double seconds, remote_victim& server,
              step_figures& out) {
    bench::open_load load({boost::asio::ip::address_v4::loopback(), server.port()}, connections,
                          "POST /work", bench::open_load::waiting::sleep);
    const auto before = server.ask(look);
    const auto begin = steady::now();
    snapshot end;
    double elapsed = 0;
    const auto answers = load.run(multiple * capacity, seconds, [&] {
        end = server.ask(look);
        elapsed = std::chrono::duration<double>(steady::now() - begin).count();
    });
    const auto after = server.ask(settle);
    check(what, multiple, answers, before, after);
    const auto asked = static_cast<double>(answers.accepted + answers.refused);
    out.goodput.push_back((end.ran - before.ran) / elapsed);
    out.share_done.push_back((end.ran - before.ran) /
                             std::max(1.0, static_cast<double>(answers.accepted_in_time)));
    out.refused.push_back(100 * static_cast<double>(answers.refused) / asked);
    out.spilled.push_back(100 * (after.spilled - before.spilled) / asked);
    out.p50.push_back(answers.latency.at(0.5) / 1e3);
    out.p99.push_back(answers.latency.at(0.99) / 1e3);
    out.accepted_p99.push_back(answers.accepted_latency.at(0.99) / 1e3);
    out.before.push_back(before.memory);
    out.after.push_back(after.memory);
}

using figures = std::array<step_figures, multiples.size()>;

void print(work what, const figures& steps) {
    std::printf("%s; medians\n", name_of(what));
    std::printf("  %5s %9s %19s %9s %9s %9s %9s %9s %11s %17s\n", "load", "done/s", "(min .. max)",
                "of 1x", "refused", "spilled", "p50 ms", "p99 ms", "p99 of 2xx",
                "MB before, after");
    for (std::size_t i = 0; i != multiples.size(); ++i) {
        const auto& s = steps[i];
        std::vector<double> shares;
        for (std::size_t round = 0; round != s.goodput.size(); ++round) {
            shares.push_back(s.goodput[round] / steps[0].goodput[round]);
        }
        const auto [low, high] = std::ranges::minmax(s.goodput);
        std::printf(
            "  %4dx %9.0f (%7.0f ..%7.0f) %9.2f %8.1f%% %8.1f%% %9.2f %9.2f %11.2f "
            "%8.1f %8.1f\n",
            multiples[i], bench::median(s.goodput), low, high, bench::median(shares),
            bench::median(s.refused), bench::median(s.spilled), bench::median(s.p50),
            bench::median(s.p99), bench::median(s.accepted_p99), bench::median(s.before),
            bench::median(s.after));
    }
    std::fflush(stdout);
}

void write(work what, const figures& steps, bench::results& out) {
    const auto of = std::string(", ") + name_of(what);
    const auto bar = [](std::size_t i) { return std::to_string(multiples[i]) + " x capacity"; };
    const auto add = [&](const char* chart, const char* unit, bool less,
                         std::vector<double> step_figures::* values, const char* target = "") {
        for (std::size_t i = 0; i != multiples.size(); ++i) {
            bench::figure f{.part = "overload",
                            .chart = chart + of,
                            .name = bar(i),
                            .unit = unit,
                            .less_is_better = less,
                            .rounds = steps[i].*values};
            if (*target != '\0' && i != 0) {
                f.against = bar(0);
                f.target = multiples[i] == 10 ? target : "";
            }
            if (values == &step_figures::goodput) {
                f.work_done = bench::median(steps[i].share_done);
            }
            out.add(f);
        }
    };
    add("goodput", "requests/s", false, &step_figures::goodput, ">= 0.9");
    add("refused with 503", "%", true, &step_figures::refused);
    if (what == work::jobs) {
        add("spilled to the store", "%", true, &step_figures::spilled);
    }
    add("p50 of all answers", "ms", true, &step_figures::p50);
    add("p99 of all answers", "ms", true, &step_figures::p99);
    add("p99 of answers with 2xx", "ms", true, &step_figures::accepted_p99);
    // SQLite's caches may grow to 20 MB, and do so with what is stored.
    add("private memory at the end", "MB", true, &step_figures::after,
        what == work::tasks ? "<= 1.1" : "");
}

/// Of the deferred work: what is done in a second while there is always more.
double find_capacity(remote_victim& server, double seconds) {
    step_figures f;
    constexpr double at_most = workers / std::chrono::duration<double>(work_time).count();
    run_step(work::tasks, 2, at_most, seconds, server, f);
    return f.goodput.front();
}

void end(work what, remote_victim& server) {
    if (const double lost = server.end(); lost != 0) {
        wrong(what, multiples.back(), text(lost) + " tasks or jobs were lost at the end");
    }
}

void measure(const settings& s, const std::string& directory, bench::results& out) {
    remote_victim tasks(work::tasks, directory);
    remote_victim jobs(work::jobs, directory);
    figures of_tasks;
    figures of_jobs;
    std::vector<double> capacities;
    const double shortly = s.smoke ? 0.05 : 0.5;
    // What is made once, whatever the load: records, stacks, the store's caches.
    const double first = find_capacity(tasks, shortly);
    step_figures ignored;
    run_step(work::jobs, 2, first, shortly, jobs, ignored);
    for (int round = 0; round != s.rounds; ++round) {
        const double capacity = capacities.emplace_back(find_capacity(tasks, shortly));
        for (std::size_t i = 0; i != multiples.size(); ++i) {
            run_step(work::tasks, multiples[i], capacity, s.seconds, tasks, of_tasks[i]);
        }
        for (std::size_t i = 0; i != multiples.size(); ++i) {
            run_step(work::jobs, multiples[i], capacity, s.seconds, jobs, of_jobs[i]);
        }
    }
    end(work::tasks, tasks);
    end(work::jobs, jobs);
    std::printf("capacity: %.0f/s\n", bench::median(capacities));
    print(work::tasks, of_tasks);
    print(work::jobs, of_jobs);
    write(work::tasks, of_tasks, out);
    write(work::jobs, of_jobs, out);
}

settings read_settings(int argc, char** argv) {
    settings s;
    CLI::App app{"A server that is asked for more deferred work than it can do."};
    app.add_option("--seconds", s.seconds, "of each step")->check(CLI::PositiveNumber);
    app.add_option("--rounds", s.rounds)->check(CLI::PositiveNumber);
    app.add_option("--directory", s.directory, "the disk for the store");
    const auto common = bench::parse(app, argc, argv);
    s.json = common.json;
    s.smoke = common.smoke;
    if (s.smoke) {
        s.seconds = 0.05;
        s.rounds = 1;
    }
    return s;
}

}  // namespace

int main(int argc, char** argv) {
    const auto s = read_settings(argc, argv);
    bench::results out(s.json);
    const bench::disk_directory place(s.directory);
    const auto sync = bench::median_sync(place.path(), s.smoke ? 20 : 300);
    std::printf(
        "%d rounds of %.1f s a step; F = %.0f us; target: at 10 times the capacity as much "
        "done as at 1 time, at least 0.9\n",
        s.rounds, s.seconds, sync);
    measure(s, place.path(), out);
    out.note("overload",
             "Each request defers work of 1 ms of waiting, on a pool of two workers with room for "
             "1,000. Goodput "
             "is work done within the step. The floor: no more is done than the capacity, so at N "
             "times of it all but 1/N of the requests are refused, or stored for later.");
    out.note("overload",
             "An open loop on up to 64 connections; latency counts from the moment at which a "
             "request was to be sent. Jobs: a sync of the disk takes " +
                 text(sync) + " us.");
}
