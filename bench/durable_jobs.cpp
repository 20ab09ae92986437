// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
//
// What does a durable job cost through the whole of Postlude: the dispatcher, its writer, the
// store? An SQLite file, or what --store names, or --server, of which one is started.
//
// The directory says which disk; a new one in it is used and removed. F is the median of an append
// of 4 KiB and fdatasync there, taken in each round. 300 bytes of arguments a job.
//
//   enqueue     N registrations are waiting for their commit all the time, each on the same event
//               loop; nobody runs the jobs. Beside SQLite's, in turn, what one insert with the same
//               settings costs in bare SQLite.
//   end to end  jobs of another kind, which are run in this process by a function that does
//               nothing. Ends when the last one is stored as done.
#include "postlude/dispatch/async_jobs.hpp"
#include "support/disk.hpp"
#include "support/options.hpp"
#include "support/own_server.hpp"
#include "support/results.hpp"
#include "support/stores.hpp"
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
#include <optional>
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
    std::string store{};   ///< a URL; empty: a new SQLite file each time
    std::string server{};  ///< of tests/servers, to be started
    std::string name = "SQLite";
    std::string enqueue_target = ">= 70000";  ///< with 64 waiting
    std::string run_target = ">= 40000";
};

struct payload {
    std::string text = std::string(285, 'x');
};
BOOST_DESCRIBE_STRUCT(payload, (), (text))
struct kept_job : payload {
    static constexpr postlude::job_traits job{.kind = "kept",
                                              .stored = postlude::durability::durable};
};
BOOST_DESCRIBE_STRUCT(kept_job, (payload), ())
struct run_job : payload {
    static constexpr postlude::job_traits job{.kind = "run",
                                              .stored = postlude::durability::durable};
};
BOOST_DESCRIBE_STRUCT(run_job, (payload), ())

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

std::unique_ptr<postlude::backend> open_store(const settings& s, const std::string& directory) {
    if (!s.store.empty()) {
        return bench::store_of(s.store);
    }
    const auto file = directory + "/jobs.db";
    for (const auto* suffix : {"", "-wal", "-shm", "-owners"}) {
        std::filesystem::remove(file + suffix);
    }
    return postlude::sqlite_backend({.file = file});
}

[[noreturn]] void give_up(const char* why, std::size_t n, std::size_t of) {
    std::fprintf(stderr, "%zu of %zu %s\n", n, of, why);
    std::exit(1);
}

/// Keeps `waiting` registrations under way for that time.
/// @tparam Job `kept_job`, or `run_job`, which is run here.
template <class Job>
void measure(const settings& s, const std::string& directory, std::size_t waiting, figures& out) {
    constexpr bool runs = std::is_same_v<Job, run_job>;
    std::atomic<std::size_t> commits{0};
    postlude::dispatcher_options options;
    options.jobs.runs_jobs = runs;
    options.jobs.store = std::make_unique<bench::watched_backend>(
        open_store(s, directory), [&commits](std::size_t) { ++commits; });
    options.kinds.handle<Job>([](const Job&) {});
    postlude::dispatcher dispatcher(std::move(options));
    asio::io_context io(1);
    std::vector<double> times;
    times.reserve(1 << 20);
    std::size_t failed = 0;
    const auto begin = steady::now();
    const auto over = [&] { return microseconds_since(begin) > 1e6 * s.seconds; };
    std::function<void()> next = [&] {
        const auto start = steady::now();
        async_enqueue(dispatcher, Job{}, {}, io.get_executor(),
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
    if (failed != 0) {
        give_up("were not stored", failed, times.size());
    }
    if (runs) {
        // Once a store of a server has nothing left, too, since this process was its only one.
        while (dispatcher.job_counters().completed < times.size()) {
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        elapsed = microseconds_since(begin);
    }
    if (const auto n = dispatcher.job_counters().completed; runs && n != times.size()) {
        give_up("were run", n, times.size());
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

void add(bench::results& out, const settings& s, const std::string& what, const figures& f,
         const figures& bare, const char* target) {
    const std::string inserts = "one insert in bare SQLite";
    const auto ours = "Postlude, " + s.name;
    out.add({.part = "durable",
             .chart = "durable jobs a second: " + what,
             .name = inserts,
             .unit = "jobs/s",
             .less_is_better = false,
             .rounds = bare.per_second});
    out.add({.part = "durable",
             .chart = "durable jobs a second: " + what,
             .name = ours,
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
             .name = ours,
             .unit = "us",
             .rounds = f.p99,
             .against = inserts});
    out.add({.part = "durable",
             .chart = "durable jobs a commit: " + what,
             .name = ours,
             .unit = "jobs/sync",
             .less_is_better = false,
             .rounds = f.per_commit});
}

void run(settings s, bench::results& out) {
    const bench::disk_directory place(s.directory);
    const auto& directory = place.path();
    std::optional<bench::own_server> server;
    if (!s.server.empty()) {
        server.emplace(s.server, directory + "/server");
        s.store = server->url();
    }
    const auto& sizes = s.waiting;
    std::vector<double> syncs;
    figures bare;
    std::vector<figures> enqueued(sizes.size());
    std::vector<figures> run(sizes.size());
    // The disk is another one from second to second.
    const auto sync = [&] {
        for (const auto t : bench::sync_times(directory, s.seconds < 1 ? 20 : 300)) {
            syncs.push_back(t);
        }
    };
    for (int i = 0; i != s.rounds; ++i) {
        sync();
        const auto times = bare_inserts(directory, s.seconds / 2);
        bare.per_second.push_back(1e6 / median(times));
        bare.p50.push_back(median(times));
        bare.p99.push_back(at_fraction(times, 0.99));
        bare.per_commit.push_back(1);
        for (std::size_t k = 0; k != sizes.size(); ++k) {
            measure<kept_job>(s, directory, sizes[k], enqueued[k]);
            sync();
            measure<run_job>(s, directory, sizes[k], run[k]);
            sync();
        }
    }
    const auto f = median(syncs);
    const auto p99 = at_fraction(syncs, 0.99);
    std::printf("%s; F = %.0f us, p99 of such a sync %.0f us; %d rounds in turn; medians\n",
                s.name.c_str(), f, p99, s.rounds);
    std::printf("  %-28s %9s  %8s ..%8s  %8s  %8s  %6s  %6s\n", "", "jobs/s", "min", "max",
                "p50 us", "p99 us", "p99/F", "a sync");
    print("bare insert", bare, f);
    out.note("durable", s.name +
                            ": F, the median of an append of 4 KiB with fdatasync on the disk that "
                            "was used, in the same minutes: " +
                            std::to_string(std::lround(f)) + " us; p99 " +
                            std::to_string(std::lround(p99)) + " us.");
    for (std::size_t k = 0; k != sizes.size(); ++k) {
        const auto n = std::to_string(sizes[k]) + " waiting";
        print("enqueue, " + n, enqueued[k], f);
        add(out, s, "enqueue, " + n, enqueued[k], bare,
            sizes[k] == 64 ? s.enqueue_target.c_str() : "");
    }
    for (std::size_t k = 0; k != sizes.size(); ++k) {
        const auto n = std::to_string(sizes[k]) + " waiting";
        print("end to end, " + n, run[k], f);
        add(out, s, "end to end, " + n, run[k], bare, sizes[k] == 64 ? s.run_target.c_str() : "");
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
    app.add_option("--store", s.store, "a store's URL; otherwise an SQLite file");
    app.add_option("--server", s.server, "postgres, redis or rabbitmq: a server of its own");
    app.add_option("--name", s.name, "of the store, for the report")->capture_default_str();
    app.add_option("--enqueue-target", s.enqueue_target)->capture_default_str();
    app.add_option("--run-target", s.run_target)->capture_default_str();
    const auto common = bench::parse(app, argc, argv);
    if (common.smoke) {
        s.seconds = 0.05;
        s.rounds = 1;
    }
    spdlog::set_level(spdlog::level::warn);
    bench::results out(common.json);
    run(s, out);
}
