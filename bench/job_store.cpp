// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
//
// What does it cost to store a job, to claim it and to finish it, in a store by itself?
//
// In SQLite, or in PostgreSQL on a server of its own (--server) or one that is there (--store). The
// directory says which disk; a new one in it is used and removed. All is stated beside F, the
// median of an append of 4 KiB and fdatasync there. The floor of a put is what a single insert
// costs in bare SQLite with the same settings. 300 bytes of arguments a job. In a database that is
// there, schemas whose names begin with bench_ are used and left; begin with none.
#include "postlude/backends/sqlite.hpp"
#ifdef WITH_POSTGRES
#include "postlude/backends/postgres.hpp"
#endif

#include "support/child.hpp"
#include "support/disk.hpp"
#include "support/options.hpp"
#include "support/own_server.hpp"
#include "support/results.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace {

using bench::at_fraction;
using bench::median;
using bench::median_sync;
using bench::microseconds_since;
using steady = bench::bench_clock;
using postlude::job_id;
using postlude::put;
using postlude::settlement;

struct sizes {
    std::size_t syncs = 500;
    std::size_t singles = 2'000;
    std::size_t jobs = 200'000;
    std::size_t behind = 1'000'000;
    int rounds = 5;
};

/// Of all threads, the checkpointer's too: what is left when the disk and the neighbours on a
/// shared machine are taken out.
double cpu_microseconds() {
    timespec t{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) * 1e6 + static_cast<double>(t.tv_nsec) / 1e3;
}

/// Where the stores are: of which kind, and beside which others.
struct place {
    std::string directory;
    std::string url;  ///< empty: files in the directory
    std::string title = "the SQLite store";
    std::string target_of_64 = ">= 70000";
    std::string target_of_claims = ">= 90000";

    /// One with a name of its own, not yet opened.
    std::unique_ptr<postlude::backend> make(const std::string& name) const {
        if (url.empty()) {
            return postlude::sqlite_backend({.file = directory + "/" + name});
        }
#ifdef WITH_POSTGRES
        if (url.starts_with("postgres")) {
            return postlude::postgres_backend(
                {.url = url, .schema = "bench_" + name, .timeout = std::chrono::seconds(60)});
        }
#endif
        return postlude::backend_from_url(url, {postlude::sqlite_scheme()});
    }
};

/// One store, opened as the dispatcher would.
class open_store {
public:
    open_store(const place& where, const std::string& name) : backend_(where.make(name)) {
        postlude::open_options asked;
        asked.kinds = {{"bench", 0}};
        next_ = job_id{backend_->open(asked).owner} << 40;
    }
    postlude::backend* operator->() const { return backend_.get(); }

    std::vector<put> some(std::size_t n, const char* kind = "bench") {
        std::vector<put> puts(n);
        for (auto& p : puts) {
            p.job.id = ++next_;
            p.job.kind = kind;
            p.job.queue = "default";
            p.job.arguments = arguments_;
            p.job.request_id = "0123456789abcdef0123456789abcdef";
        }
        return puts;
    }
    void fill(std::size_t n, const char* kind = "bench") {
        for (std::size_t done = 0; done < n; done += 4096) {
            backend_->commit(some(std::min<std::size_t>(4096, n - done), kind), {});
        }
    }

private:
    std::unique_ptr<postlude::backend> backend_;
    job_id next_ = 0;
    std::string arguments_ = R"({"text":")" + std::string(288, 'x') + R"("})";
};

void print_latency(const char* name, const std::vector<double>& times, double f) {
    const auto p50 = at_fraction(times, 0.5);
    const auto p99 = at_fraction(times, 0.99);
    std::printf("  %-42s p50 %6.0f us (%.2f F)  p99 %6.0f us (%.1f F)\n", name, p50, p50 / f, p99,
                p99 / f);
}

/// One transaction an insert, with automatic checkpoints: what a program writes that has no
/// library for it.
std::vector<double> bare_inserts(const std::string& file, std::size_t n) {
    sqlite3* db = nullptr;
    sqlite3_open(file.c_str(), &db);
    sqlite3_exec(db,
                 "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                 "CREATE TABLE jobs(id INTEGER PRIMARY KEY, arguments TEXT)",
                 nullptr, nullptr, nullptr);
    sqlite3_stmt* insert = nullptr;
    sqlite3_prepare_v2(db, "INSERT INTO jobs(arguments) VALUES(?)", -1, &insert, nullptr);
    const std::string arguments(300, 'x');
    std::vector<double> times;
    for (std::size_t i = 0; i < n; ++i) {
        const auto begin = steady::now();
        sqlite3_bind_text(insert, 1, arguments.data(), 300, SQLITE_STATIC);
        if (sqlite3_step(insert) != SQLITE_DONE) {
            bench::fail("bare insert");
        }
        sqlite3_reset(insert);
        times.push_back(microseconds_since(begin));
    }
    sqlite3_finalize(insert);
    sqlite3_close(db);
    return times;
}

std::vector<double> puts_of(open_store& store, std::size_t group, std::size_t n) {
    std::vector<double> times;
    for (std::size_t done = 0; done < n; done += group) {
        const auto puts = store.some(group);
        const auto begin = steady::now();
        store->commit(puts, {});
        times.push_back(microseconds_since(begin));
    }
    return times;
}

void one_at_a_time(const place& where, const sizes& s, double f, bench::results& out) {
    std::puts("one at a time");
    open_store store(where, "one");
    std::vector<double> bare, put, bare_p99, put_p99;
    for (int round = 0; round < s.rounds; ++round) {
        const auto n = s.singles / static_cast<std::size_t>(s.rounds);
        const auto some = bare_inserts(where.directory + "/bare" + std::to_string(round), n);
        const auto ours = puts_of(store, 1, n);
        bare_p99.push_back(at_fraction(some, 0.99));
        put_p99.push_back(at_fraction(ours, 0.99));
        bare.insert(bare.end(), some.begin(), some.end());
        put.insert(put.end(), ours.begin(), ours.end());
    }
    print_latency("bare SQLite, one insert a transaction", bare, f);
    print_latency("put, one a commit", put, f);
    const std::string inserts = "one insert in bare SQLite";
    const std::string chart = "the store by itself, p99 of one put";
    out.add({.part = "durable", .chart = chart, .name = inserts, .unit = "us", .rounds = bare_p99});
    out.add({.part = "durable",
             .chart = chart,
             .name = "one put in " + where.title,
             .unit = "us",
             .rounds = put_p99,
             .against = inserts,
             .target = "<= 1.5"});
}

void groups(const place& where, const sizes& s, double f, bench::results& out) {
    std::puts("puts in groups");
    for (const std::size_t group : {8, 64, 512}) {
        std::vector<double> rates;
        std::vector<double> all;
        std::vector<double> cpu;
        for (int round = 0; round < s.rounds; ++round) {
            open_store store(where, "groups" + std::to_string(group));
            const auto n = std::min(s.jobs / 4, group * 1000);
            const auto cpu_begin = cpu_microseconds();
            const auto begin = steady::now();
            const auto times = puts_of(store, group, n);
            rates.push_back(static_cast<double>(n) / microseconds_since(begin) * 1e6);
            cpu.push_back((cpu_microseconds() - cpu_begin) / static_cast<double>(n));
            all.insert(all.end(), times.begin(), times.end());
        }
        std::printf(
            "  groups of %3zu  %8.0f jobs/s (%.0f to %.0f)  p50 %6.0f us  p99 %6.0f us (%.1f F)  "
            "CPU %.1f us a job\n",
            group, median(rates), *std::ranges::min_element(rates),
            *std::ranges::max_element(rates), at_fraction(all, 0.5), at_fraction(all, 0.99),
            at_fraction(all, 0.99) / f, median(cpu));
        out.add({.part = "durable",
                 .chart = where.title + " by itself, puts in groups",
                 .name = "of " + std::to_string(group),
                 .unit = "jobs/s",
                 .less_is_better = false,
                 .rounds = rates,
                 .target = group == 64                         ? where.target_of_64
                           : group == 512 && where.url.empty() ? ">= 200000"
                                                               : ""});
    }
}

/// Claims 256, finishes the 256 before them, until n are done; jobs a second.
double claim_and_finish(open_store& store, std::size_t n) {
    const std::vector<std::size_t> credits{256};
    std::vector<settlement> settlements;
    std::size_t done = 0;
    const auto begin = steady::now();
    while (done < n) {
        const auto claimed = store->claim(credits, std::chrono::milliseconds(0));
        settlements.assign(claimed.size(), {});
        for (std::size_t i = 0; i < claimed.size(); ++i) {
            settlements[i].of = claimed[i].held;
        }
        store->commit({}, settlements);
        done += claimed.size();
    }
    return static_cast<double>(done) / microseconds_since(begin) * 1e6;
}

void claims(const place& where, const sizes& s, bench::results& out) {
    std::puts("claim 256, finish 256");
    double alone = 0;
    for (const std::size_t behind : {std::size_t{0}, s.behind}) {
        open_store store(where, behind ? "behind" : "claims");
        store.fill(behind);
        std::vector<double> rates;
        std::vector<double> cpu;
        for (int round = 0; round < s.rounds; ++round) {
            const auto n = std::max<std::size_t>(s.jobs / 4, 256) / 256 * 256;
            store.fill(n);
            const auto cpu_begin = cpu_microseconds();
            rates.push_back(claim_and_finish(store, n));
            cpu.push_back((cpu_microseconds() - cpu_begin) / static_cast<double>(n));
        }
        const auto rate = median(rates);
        alone = behind ? alone : rate;
        std::printf(
            "  %7zu behind  %8.0f jobs/s (%.0f to %.0f)  %.2f times slower  CPU %.1f us a job\n",
            behind, rate, *std::ranges::min_element(rates), *std::ranges::max_element(rates),
            alone / rate, median(cpu));
        out.add({.part = "durable",
                 .chart = where.title + " by itself, claim and finish",
                 .name = std::to_string(behind) + " behind",
                 .unit = "jobs/s",
                 .less_is_better = false,
                 .rounds = rates,
                 .target = behind ? where.target_of_claims : ""});
    }
}

/// Four processes at once, in front of many.
void claims_of_four(const place& where, const sizes& s, bench::results& out) {
    const auto n = std::max<std::size_t>(s.jobs / 4, 256) / 256 * 256;
    {
        bench::child filler([&](bench::figure_line& line) {
            {
                open_store store(where, "four");
                store.fill(s.behind + 4 * n * static_cast<std::size_t>(s.rounds));
            }
            line.put(0);
        });
        filler.line.get();
    }
    std::vector<std::unique_ptr<bench::child>> workers;
    for (int i = 0; i < 4; ++i) {
        workers.push_back(std::make_unique<bench::child>([&](bench::figure_line& line) {
            open_store store(where, "four");
            for (int round = 0; round < s.rounds; ++round) {
                line.put(0);
                line.get();
                claim_and_finish(store, n);
            }
            line.put(0);
        }));
    }
    std::vector<double> rates;
    for (int round = 0; round < s.rounds; ++round) {
        for (auto& w : workers) {
            w->line.get();
        }
        const auto begin = steady::now();
        for (auto& w : workers) {
            w->line.put(0);
        }
        for (auto& w : workers) {
            pollfd p{w->line.descriptor(), POLLIN, 0};
            ::poll(&p, 1, -1);
        }
        rates.push_back(4 * static_cast<double>(n) / microseconds_since(begin) * 1e6);
    }
    std::printf("  four processes, %zu behind  %8.0f jobs/s (%.0f to %.0f)\n", s.behind,
                median(rates), *std::ranges::min_element(rates), *std::ranges::max_element(rates));
    out.add({.part = "durable",
             .chart = where.title + " by itself, claim and finish",
             .name = "four processes",
             .unit = "jobs/s",
             .less_is_better = false,
             .rounds = rates,
             .target = where.url.empty() ? "" : ">= 80000"});
}

/// A process that fills the store, takes some and dies.
void leave_a_dead_owner(const place& where, std::size_t n, std::size_t taken) {
    bench::child dead([&](bench::figure_line& line) {
        open_store store(where, "dead");
        store.fill(n);
        const std::vector<std::size_t> credits{taken};
        line.put(static_cast<double>(store->claim(credits, std::chrono::milliseconds(0)).size()));
        ::pause();
    });
    dead.line.get();
}

void after_a_death(const place& where, const sizes& s, bench::results& out) {
    leave_a_dead_owner(where, s.behind, std::min<std::size_t>(1000, s.behind));
    auto begin = steady::now();
    open_store store(where, "dead");
    const auto open = microseconds_since(begin);
    begin = steady::now();
    const std::vector<std::size_t> credits{1};
    store->claim(credits, std::chrono::milliseconds(0));
    const auto claim = microseconds_since(begin);
    begin = steady::now();
    const auto rescued = store->rescue(10'000).size();
    const auto rescue = microseconds_since(begin);
    std::printf(
        "after kill -9 with %zu jobs\n  open %.1f ms, first claim %.2f "
        "ms, "
        "rescue of %zu leases %.1f ms\n",
        s.behind, open / 1e3, claim / 1e3, rescued, rescue / 1e3);
    out.add({.part = "durable",
             .chart = "after kill -9 with " + std::to_string(s.behind) + " jobs, until the first",
             .name = where.title,
             .unit = "ms",
             .rounds = {(open + claim) / 1e3},
             .target = where.url.empty() ? "<= 500" : "<= 100"});
}

}  // namespace

int main(int argc, char** argv) {
    sizes s;
    std::string parent = std::filesystem::temp_directory_path();
    place where;
    CLI::App app("What a store does by itself.");
    app.add_option("--directory", parent, "which disk")->capture_default_str();
    std::string server;
    app.add_option("--server", server, "postgres: a server of its own");
    app.add_option("--store", where.url, "the URL of another store than SQLite's");
    app.add_option("--behind", s.behind, "jobs that wait behind others")->capture_default_str();
    const auto common = bench::parse(app, argc, argv);
    if (common.smoke) {
        s = {20, 50, 2'048, 5'000, 1};
    }
    bench::results out(common.json);
    const bench::disk_directory directory(parent);
    where.directory = directory.path();
    std::optional<bench::own_server> own;
    if (!server.empty()) {
        own.emplace(server, where.directory + "/server");
        where.url = own->url();
    }
    if (!where.url.empty()) {
        where.title = "the PostgreSQL store";
        where.target_of_64 = ">= 60000";
        where.target_of_claims = ">= 50000";
    }
    const auto f = median_sync(where.directory, s.syncs);
    std::printf("F, an append of 4 KiB and fdatasync: %.0f us\n", f);
    // Forks, so before any thread.
    after_a_death(where, s, out);
    claims_of_four(where, s, out);
    one_at_a_time(where, s, f, out);
    groups(where, s, f, out);
    claims(where, s, out);
    std::printf("F at the end: %.0f us\n", median_sync(where.directory, s.syncs));
}
