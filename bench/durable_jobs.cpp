// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
//
// What does a durable job cost through the whole of Postlude: the dispatcher, its writer, SQLite?
//
// The directory says which disk; a new one in it is used and removed. F is the median of an append
// of 4 KiB and fdatasync there, taken in each round. 300 bytes of arguments a job.
//
//   enqueue     N registrations are waiting for their commit all the time, each on the same event
//               loop; nobody runs the jobs. Beside it, in turn, what one insert with the same
//               settings costs in bare SQLite.
//   end to end  the same, and the jobs are run in this process by a function that does nothing.
//   Ends
//               when the last one is stored as done.
#include "postlude/backends/sqlite.hpp"
#include "postlude/dispatch/async_jobs.hpp"
#include "support/disk.hpp"
#include "support/options.hpp"
#include "support/results.hpp"
#include "support/watched_backend.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/describe/class.hpp>

#include <spdlog/spdlog.h>
#include <sqlite3.h>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace {

namespace asio = boost::asio;
using bench::at_fraction;
using bench::median;
using bench::microseconds_since;
using steady = bench::bench_clock;

struct settings {
    double seconds = 2;
    int rounds = 5;
    std::vector<std::size_t> waiting{1, 8, 64, 512};
    std::string directory = std::filesystem::temp_directory_path();
};

struct payload {
    std::string text = std::string(285, 'x');
    static constexpr postlude::job_traits job{.kind = "bench",
                                              .stored = postlude::durability::durable};
};
BOOST_DESCRIBE_STRUCT(payload, (), (text))

/// One insert a transaction, in bare SQLite.
std::vector<double> bare_inserts(const std::string& directory, double seconds) {
    sqlite3* db = nullptr;
    sqlite3_open((directory + "/bare.db").c_str(), &db);
    sqlite3_exec(db,
                 "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                 "CREATE TABLE IF NOT EXISTS jobs(id INTEGER PRIMARY KEY, state, kind, arguments)",
                 nullptr, nullptr, nullptr);
    sqlite3_stmt* insert = nullptr;
    sqlite3_prepare_v2(db, "INSERT INTO jobs(state, kind, arguments) VALUES(1, 'bench', ?)", -1,
                       &insert, nullptr);
    const std::string text(300, 'x');
    std::vector<double> times;
    const auto begin = steady::now();
    while (microseconds_since(begin) < 1e6 * seconds) {
        const auto start = steady::now();
        sqlite3_bind_text(insert, 1, text.data(), static_cast<int>(text.size()), SQLITE_STATIC);
        sqlite3_step(insert);
        sqlite3_reset(insert);
        times.push_back(microseconds_since(start));
    }
    sqlite3_finalize(insert);
    sqlite3_close(db);
    return times;
}

struct figures {
    std::vector<double> per_second, p50, p99, per_commit;
};

/// Keeps `waiting` registrations under way for that time.
void measure(const std::string& directory, std::size_t waiting, bool runs, double seconds,
             figures& out) {
    const auto file = directory + "/jobs.db";
    for (const auto* suffix : {"", "-wal", "-shm", "-owners"}) {
        std::filesystem::remove(file + suffix);
    }
    std::atomic<std::size_t> commits{0};
    postlude::dispatcher_options options;
    options.jobs.runs_jobs = runs;
    options.jobs.store = std::make_unique<bench::watched_backend>(
        postlude::sqlite_backend({.file = file}), [&commits](std::size_t) { ++commits; });
    options.kinds.handle<payload>([](const payload&) {});
    postlude::dispatcher dispatcher(std::move(options));
    asio::io_context io(1);
    std::vector<double> times;
    times.reserve(1 << 20);
    std::size_t failed = 0;
    const auto begin = steady::now();
    const auto over = [&] { return microseconds_since(begin) > 1e6 * seconds; };
    std::function<void()> next = [&] {
        const auto start = steady::now();
        async_enqueue(dispatcher, payload{}, {}, io.get_executor(),
                      [&, start](boost::system::error_code ec, postlude::job_id) {
                          times.push_back(microseconds_since(start));
                          failed += ec ? 1 : 0;
                          if (!over()) {
                              next();
                          }
                      });
    };
    for (std::size_t i = 0; i != waiting; ++i) {
        next();
    }
    io.run();
    auto elapsed = microseconds_since(begin);
    if (runs) {
        const auto waits = [&] {
            for (const auto& s : dispatcher.stats()) {
                if (s.ready + s.claimed != 0) {
                    return true;
                }
            }
            return dispatcher.job_counters().left != 0;
        };
        while (waits()) {
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        elapsed = microseconds_since(begin);
        failed += times.size() - failed == dispatcher.job_counters().completed ? 0 : 1;
    }
    if (failed != 0) {
        std::fprintf(stderr, "%zu of %zu were not stored or not run\n", failed, times.size());
        std::exit(1);
    }
    out.per_second.push_back(1e6 * static_cast<double>(times.size()) / elapsed);
    out.per_commit.push_back(static_cast<double>(times.size()) / static_cast<double>(commits));
    out.p50.push_back(at_fraction(times, 0.5));
    out.p99.push_back(at_fraction(times, 0.99));
}

void print(const std::string& name, const figures& f, double sync) {
    const auto [min, max] = std::ranges::minmax(f.per_second);
    std::printf("  %-28s %9.0f  %8.0f ..%8.0f  %8.0f  %8.0f  %6.1f  %6.1f\n", name.c_str(),
                median(f.per_second), min, max, median(f.p50), median(f.p99), median(f.p99) / sync,
                median(f.per_commit));
}

void add(bench::results& out, const std::string& what, const figures& f, const figures& bare,
         const char* target) {
    const std::string inserts = "one insert in bare SQLite";
    out.add({.part = "durable",
             .chart = "durable jobs a second: " + what,
             .name = inserts,
             .unit = "jobs/s",
             .less_is_better = false,
             .rounds = bare.per_second});
    out.add({.part = "durable",
             .chart = "durable jobs a second: " + what,
             .name = "Postlude",
             .unit = "jobs/s",
             .less_is_better = false,
             .rounds = f.per_second,
             .target = target});
    out.add({.part = "durable",
             .chart = "p99 until a durable job is stored: " + what,
             .name = inserts,
             .unit = "us",
             .rounds = bare.p99});
    out.add({.part = "durable",
             .chart = "p99 until a durable job is stored: " + what,
             .name = "Postlude",
             .unit = "us",
             .rounds = f.p99,
             .against = inserts});
    out.add({.part = "durable",
             .chart = "durable jobs a commit: " + what,
             .name = "Postlude",
             .unit = "jobs/sync",
             .less_is_better = false,
             .rounds = f.per_commit});
}

void run(const settings& s, bench::results& out) {
    const bench::disk_directory place(s.directory);
    const auto& directory = place.path();
    const auto& sizes = s.waiting;
    std::vector<double> syncs;
    figures bare;
    std::vector<figures> enqueued(sizes.size());
    std::vector<figures> run(sizes.size());
    for (int i = 0; i != s.rounds; ++i) {
        syncs.push_back(bench::median_sync(directory, s.seconds < 1 ? 20 : 300));
        const auto times = bare_inserts(directory, s.seconds / 2);
        bare.per_second.push_back(1e6 / median(times));
        bare.p50.push_back(median(times));
        bare.p99.push_back(at_fraction(times, 0.99));
        bare.per_commit.push_back(1);
        for (std::size_t k = 0; k != sizes.size(); ++k) {
            measure(directory, sizes[k], false, s.seconds, enqueued[k]);
            measure(directory, sizes[k], true, s.seconds, run[k]);
        }
    }
    const auto sync = median(syncs);
    std::printf("F = %.0f us; %d rounds in turn; medians\n", sync, s.rounds);
    std::printf("  %-28s %9s  %8s ..%8s  %8s  %8s  %6s  %6s\n", "", "jobs/s", "min", "max",
                "p50 us", "p99 us", "p99/F", "a sync");
    print("bare insert", bare, sync);
    out.note("durable",
             "F, the median of an append of 4 KiB with fdatasync on the disk that was "
             "used: " +
                 std::to_string(std::lround(sync)) + " us.");
    for (std::size_t k = 0; k != sizes.size(); ++k) {
        const auto n = std::to_string(sizes[k]) + " waiting";
        print("enqueue, " + n, enqueued[k], sync);
        add(out, "enqueue, " + n, enqueued[k], bare, sizes[k] == 64 ? ">= 70000" : "");
    }
    for (std::size_t k = 0; k != sizes.size(); ++k) {
        const auto n = std::to_string(sizes[k]) + " waiting";
        print("end to end, " + n, run[k], sync);
        add(out, "end to end, " + n, run[k], bare, sizes[k] == 64 ? ">= 40000" : "");
    }
}

}  // namespace

int main(int argc, char** argv) {
    settings s;
    CLI::App app("What a durable job costs through the whole of Postlude.");
    app.add_option("--seconds", s.seconds, "of each measurement")->capture_default_str();
    app.add_option("--rounds", s.rounds)->check(CLI::PositiveNumber)->capture_default_str();
    app.add_option("--waiting", s.waiting, "how many are under way; one or more")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    app.add_option("--directory", s.directory, "which disk")->capture_default_str();
    const auto common = bench::parse(app, argc, argv);
    if (common.smoke) {
        s.seconds = 0.05;
        s.rounds = 1;
    }
    spdlog::set_level(spdlog::level::warn);
    bench::results out(common.json);
    run(s, out);
}
