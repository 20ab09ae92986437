// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
//
// What does a pool cost the thread that submits, how soon does a task start, how many run in a
// second, and what does a pool cost that has nothing to do? Postlude beside asio::thread_pool,
// oneTBB, std::async and a pool of a mutex and a condition variable.
//
// The seconds are those of doing nothing in each round. Each pool is measured in a process of its
// own, so that no thread or memory of another is there, and all of them in turn in each round; a
// ratio is of two neighbours in one round.
//
//   busy        One worker, which a task holds while others with 40 bytes of captures are
//               submitted: the queue alone, no wake-up. With 4,096 tasks waiting in the end, and
//               with 512 and 32,768: the more wait, the more of their memory is out of the caches.
//               Postlude's 16 at a time are the deferred work of one request, its id and outcome
//               included; one at a time is work of no request, or of one each.
//   idle        One worker, which sleeps: what submitting costs with the wake-up in it, and how
//               long it takes until the task's first instruction.
//   throughput  As many workers as the machine has processors, and one thread that submits 16 at a
//               time. The clock stops when all tasks have run.
//   allocations Calls to malloc and its siblings while the busy pool is submitted to, after the
//               same was done twice. oneTBB has a heap of its own, which this does not see.
//   idle time   Processor time of the whole process, workers asleep after some work.
//
// std::async has no workers to hold or to let sleep: a submit makes a thread, in every chart, and
// 256 are kept at one time.
//
// The floor on the machine that the targets were set on: an uncontended fetch-and-add and the
// writing of 40 bytes 5 ns; malloc and free 11 to 16 ns; a cache line to another core and back 76
// to 126 ns; a system call 0.18 us. To wake a thread that sleeps on another core takes the caller
// 6 to 12 us, and 14 to 35 us pass until it runs; nothing that sleeps in the kernel starts sooner.
// To make a thread and join it takes 21 to 27 us. So a busy pool tells the queues apart, and an
// idle one mostly shows the kernel.
#include "support/allocations.hpp"
#include "support/child.hpp"
#include "support/disk.hpp"
#include "support/options.hpp"
#include "support/pools.hpp"
#include "support/results.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <latch>
#include <limits>
#include <string>
#include <thread>
#include <vector>

namespace {

std::atomic<std::uint64_t> allocations_so_far{0};

}  // namespace

void bench::on_allocation() noexcept { allocations_so_far.fetch_add(1, std::memory_order_relaxed); }

namespace {

using bench::list_size;
using steady = bench::bench_clock;
using std::chrono::duration;

struct settings {
    bool smoke = false;
    double seconds = 1;
    int rounds = 9;
    std::string json{};
};

/// What each pool is measured for in a round; the order of `charts`.
enum measure : std::size_t {
    list_into_4096,
    list_into_512,
    list_into_32768,
    single_busy,
    request_busy,
    single_idle,
    start_p50,
    start_p99,
    throughput,
    allocations,
    idle_time,
    measures
};

struct chart {
    const char* name;
    const char* unit;
    const char* ratio_target = "";  ///< of Postlude against Asio
    bool less_is_better = true;
};

constexpr std::array<chart, measures> charts{{
    {"submit, busy pool, 16 at a time", "ns a task", "<= 0.5"},
    {"submit, busy pool, 16 at a time, 512 waiting", "ns a task"},
    {"submit, busy pool, 16 at a time, 32,768 waiting", "ns a task"},
    {"submit, busy pool, one at a time", "ns a task"},
    {"submit, busy pool, a request with one task", "ns a task"},
    {"submit, idle pool, one at a time", "ns a task"},
    {"start latency, idle pool, p50", "us"},
    {"start latency, idle pool, p99", "us"},
    {"throughput of empty tasks, released by one thread", "tasks/s", "", false},
    {"allocations a task", "allocations"},
    {"idle processor time", "%"},
}};

using values = std::array<double, measures>;

constexpr double not_measured = std::numeric_limits<double>::quiet_NaN();

/// Counts what has run. Each thread has a line of its own, so that workers do not share one.
class tally {
public:
    void add(std::uint64_t n) noexcept {
        static std::atomic<std::size_t> next{0};
        thread_local const std::size_t mine = next.fetch_add(1) % lines;
        counts_[mine].n.fetch_add(n, std::memory_order_release);
    }
    /// Sleeps meanwhile: the processor is for the workers.
    void wait_for(std::uint64_t n) const {
        while (sum() != n) {
            std::this_thread::sleep_for(std::chrono::microseconds(20));
        }
    }

private:
    static constexpr std::size_t lines = 64;
    struct alignas(64) count {
        std::atomic<std::uint64_t> n{0};
    };
    std::uint64_t sum() const noexcept {
        std::uint64_t n = 0;
        for (const auto& c : counts_) {
            n += c.n.load(std::memory_order_acquire);
        }
        return n;
    }
    std::array<count, lines> counts_;
};

struct work {
    std::uint64_t a, b, c, d;
    tally* done;
    void operator()() const { done->add(a ^ b ^ c ^ d); }
};
static_assert(sizeof(work) == 40);

struct empty_work {
    tally* done;
    void operator()() const { done->add(1); }
};

struct cost {
    double nanoseconds;
    double allocations;
};

/// Holds the only worker from its constructor until `let_go`.
template <class Pool>
class hold {
public:
    explicit hold(Pool& pool) {
        if constexpr (Pool::has_workers) {
            pool.submit([this] {
                held_.count_down();
                go_.wait();
                gone_.count_down();
            });
            held_.wait();
        }
    }
    void let_go() {
        if constexpr (Pool::has_workers) {
            go_.count_down();
            gone_.wait();
        }
    }

private:
    std::latch held_{1};
    std::latch go_{1};
    std::latch gone_{1};
};

/// What it costs to submit n tasks, `each` with every call of `submit`, into a pool that is busy.
template <class Pool, class Submit>
cost busy_cost_once(Pool& pool, std::size_t n, std::size_t each, Submit submit) {
    tally done;
    hold<Pool> worker(pool);
    const auto allocated = allocations_so_far.load();
    const auto begin = steady::now();
    for (std::size_t i = 0; i != n; i += each) {
        submit(work{i, i, 0, 1, &done});
    }
    const auto end = steady::now();
    const auto more = allocations_so_far.load() - allocated;
    worker.let_go();
    done.wait_for(n);
    pool.settle();
    const auto count = static_cast<double>(n);
    return {duration<double, std::nano>(end - begin).count() / count,
            static_cast<double>(more) / count};
}

template <class Pool, class Submit>
cost busy_cost(const settings& s, Pool& pool, std::size_t n, std::size_t each, Submit submit) {
    const int warm = s.smoke ? 1 : 2;
    const int times = warm + (s.smoke ? 2 : Pool::has_workers && n < 10'000 ? 41 : 11);
    std::vector<double> nanoseconds;
    std::vector<double> allocated;
    for (int i = 0; i != times; ++i) {
        const auto c = busy_cost_once(pool, n, each, submit);
        // The first make the memory that the later ones use again.
        if (i >= warm) {
            nanoseconds.push_back(c.nanoseconds);
            allocated.push_back(c.allocations);
        }
    }
    return {bench::median(nanoseconds), bench::median(allocated)};
}

template <class Pool>
void measure_busy(const settings& s, Pool& pool, values& v) {
    const auto lists = [&](const work& w) { pool.submit_list(w); };
    const auto singles = [&](const work& w) { pool.submit(w); };
    const std::size_t n = Pool::has_workers ? 4'096 : 256;
    const auto of_lists = busy_cost(s, pool, n, list_size, lists);
    v[list_into_4096] = of_lists.nanoseconds;
    v[allocations] = of_lists.allocations;
    v[single_busy] = busy_cost(s, pool, n, 1, singles).nanoseconds;
    if constexpr (Pool::has_workers) {
        v[list_into_512] = busy_cost(s, pool, 512, list_size, lists).nanoseconds;
        v[list_into_32768] = busy_cost(s, pool, 32'768, list_size, lists).nanoseconds;
    }
    if constexpr (requires { pool.submit_request(work{}, 1); }) {
        v[request_busy] =
            busy_cost(s, pool, n, 1, [&](const work& w) { pool.submit_request(w, 1); }).nanoseconds;
    }
}

/// Whether no thread of this process but the calling one runs or wants to.
bool others_sleep() {
    const auto me = std::to_string(::gettid());
    for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task")) {
        if (thread.path().filename() == me) {
            continue;
        }
        std::ifstream file(thread.path() / "stat");
        std::string line;
        std::getline(file, line);
        const auto name_end = line.rfind(')');  // the state is behind the name
        if (name_end != std::string::npos && line[name_end + 2] != 'S') {
            return false;
        }
    }
    return true;
}

/// A pool that never sleeps is given up after 2 s: its idle processor time will tell.
void wait_until_asleep() {
    const auto late = steady::now() + std::chrono::seconds(2);
    for (int looks = 0; looks < 2 && steady::now() < late;) {
        looks = others_sleep() ? looks + 1 : 0;
        std::this_thread::yield();
    }
}

template <class Pool>
void measure_idle(const settings& s, Pool& pool, values& v) {
    std::vector<double> submits;
    std::vector<double> starts;
    for (int i = 0; i != (s.smoke ? 10 : 300); ++i) {
        std::atomic<steady::rep> started{0};
        pool.settle();
        wait_until_asleep();
        const auto begin = steady::now();
        pool.submit([&started] {
            started.store(steady::now().time_since_epoch().count(), std::memory_order_release);
        });
        const auto end = steady::now();
        while (started.load(std::memory_order_acquire) == 0) {
            std::this_thread::yield();
        }
        const auto start = steady::time_point(steady::duration(started.load()));
        submits.push_back(duration<double, std::nano>(end - begin).count());
        starts.push_back(duration<double, std::micro>(start - begin).count());
    }
    pool.settle();
    v[single_idle] = bench::median(submits);
    v[start_p50] = bench::at_fraction(starts, 0.5);
    v[start_p99] = bench::at_fraction(starts, 0.99);
}

template <class Pool>
double tasks_per_second(Pool& pool, std::size_t n) {
    tally done;
    const auto begin = steady::now();
    for (std::size_t i = 0; i != n; i += list_size) {
        pool.submit_list(empty_work{&done});
    }
    done.wait_for(n);
    const duration<double> elapsed = steady::now() - begin;
    pool.settle();
    return static_cast<double>(n) / elapsed.count();
}

template <class Pool>
void measure_throughput(const settings& s, Pool& pool, values& v) {
    const std::size_t n = !Pool::has_workers ? 512 : s.smoke ? 1 << 14 : 1 << 17;
    tasks_per_second(pool, n);  // makes the memory
    std::vector<double> rates;
    for (int i = 0; i != 3; ++i) {
        rates.push_back(tasks_per_second(pool, n));
    }
    v[throughput] = bench::median(rates);
}

double processor_seconds() {
    timespec t{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

double idle_percent(double seconds) {
    wait_until_asleep();
    const auto used = processor_seconds();
    const auto begin = steady::now();
    std::this_thread::sleep_for(duration<double>(seconds));
    const duration<double> elapsed = steady::now() - begin;
    return 100 * (processor_seconds() - used) / elapsed.count();
}

template <class Pool>
values measure_all(const settings& s) {
    values v;
    v.fill(not_measured);
    {
        Pool pool(1);
        measure_busy(s, pool, v);
        measure_idle(s, pool, v);
    }
    Pool pool(std::max(1U, std::thread::hardware_concurrency()));
    measure_throughput(s, pool, v);
    if constexpr (Pool::has_workers) {
        v[idle_time] = idle_percent(s.seconds);
    }
    if constexpr (std::is_same_v<Pool, bench::tbb_pool>) {
        v[allocations] = not_measured;
    }
    return v;
}

/// One pool, in a process of its own.
template <class Pool>
values in_a_child(const settings& s) {
    bench::child child([&](bench::figure_line& line) {
        for (const double value : measure_all<Pool>(s)) {
            line.put(value);
        }
    });
    values v;
    for (double& value : v) {
        value = child.line.get();
    }
    return v;
}

struct variant {
    const char* name;
    values (*measure)(const settings&);
    std::array<std::vector<double>, measures> rounds{};
};

template <class Pool>
variant variant_of() {
    return {Pool::name, in_a_child<Pool>};
}

using variants = std::array<variant, 5>;

constexpr std::size_t ours = 0;
constexpr std::size_t asio = 1;

std::vector<double> ratios(const std::vector<double>& a, const std::vector<double>& b) {
    std::vector<double> r;
    for (std::size_t i = 0; i != std::min(a.size(), b.size()); ++i) {
        r.push_back(a[i] / b[i]);
    }
    return r;
}

/// Against Asio's only where both have a figure, and none is 0.
bool comparable(const variants& all, std::size_t of, std::size_t m) {
    const auto& peer = all[asio].rounds[m];
    return of != asio && !peer.empty() && !all[of].rounds[m].empty() &&
           std::ranges::min(peer) > 0 && m != allocations && m != idle_time;
}

void print(const variants& all, std::size_t m) {
    const auto& c = charts[m];
    std::printf("%s, %s%s%s\n", c.name, c.unit, *c.ratio_target ? "; target: ratio " : "",
                c.ratio_target);
    for (std::size_t i = 0; i != all.size(); ++i) {
        const auto& rounds = all[i].rounds[m];
        if (rounds.empty()) {
            continue;
        }
        const int digits = c.less_is_better ? 2 : 0;
        const auto [low, high] = std::ranges::minmax(rounds);
        std::printf("  %-30s %12.*f  (%.*f to %.*f)", all[i].name, digits, bench::median(rounds),
                    digits, low, digits, high);
        if (comparable(all, i, m)) {
            std::printf("  %.2f of asio's", bench::median(ratios(rounds, all[asio].rounds[m])));
        }
        std::puts("");
    }
}

void write(const variants& all, std::size_t m, bench::results& out) {
    const auto& c = charts[m];
    for (std::size_t i = 0; i != all.size(); ++i) {
        if (all[i].rounds[m].empty()) {
            continue;
        }
        bench::figure f{.part = "pool",
                        .chart = c.name,
                        .name = all[i].name,
                        .unit = c.unit,
                        .less_is_better = c.less_is_better,
                        .rounds = all[i].rounds[m]};
        if (comparable(all, i, m)) {
            f.against = all[asio].name;
        }
        if (i == ours) {
            f.target = m == allocations ? "<= 0" : c.ratio_target;
        }
        if (m == throughput) {
            f.work_done = 1;
        }
        out.add(f);
    }
}

void report(const variants& all, const settings& s) {
    bench::results out(s.json);
    std::printf("%d rounds in turn: median (smallest to largest)\n", s.rounds);
    for (std::size_t m = 0; m != measures; ++m) {
        print(all, m);
        write(all, m, out);
    }
    const auto& lists = all[ours].rounds[list_into_4096];
    std::printf("target: %s, 16 at a time into a busy pool, at most 20 ns a task: %.1f\n",
                all[ours].name, bench::median(lists));
    out.add({.part = "pool",
             .chart = "submit, busy pool, 16 at a time, by itself",
             .name = all[ours].name,
             .unit = charts[list_into_4096].unit,
             .rounds = lists,
             .target = "<= 20"});
    out.note("pool",
             "The floor: a fetch-and-add and 40 bytes written take 5 ns, malloc and free 11 to 16 "
             "ns, a cache line to another core and back 76 to 126 ns. To wake a thread that sleeps "
             "on another core takes the caller 6 to 12 us, and 14 to 35 us pass until it runs.");
    out.note("pool",
             "Busy: a task holds the only worker while 4,096 others are submitted. std::async has "
             "no workers; each of its tasks makes a thread. oneTBB allocates from a heap of its "
             "own, which is not counted.");
}

settings read_settings(int argc, char** argv) {
    settings s;
    CLI::App app{"What a pool costs: Postlude's beside others."};
    app.add_option("--seconds", s.seconds, "of doing nothing, in each round and for each pool")
        ->check(CLI::PositiveNumber);
    app.add_option("--rounds", s.rounds)->check(CLI::PositiveNumber);
    const auto common = bench::parse(app, argc, argv);
    s.json = common.json;
    s.smoke = common.smoke;
    if (s.smoke) {
        s.seconds = 0.02;
        s.rounds = 1;
    }
    return s;
}

}  // namespace

int main(int argc, char** argv) {
    const auto s = read_settings(argc, argv);
    variants all{variant_of<bench::postlude_pool>(), variant_of<bench::asio_pool>(),
                 variant_of<bench::tbb_pool>(), variant_of<bench::async_pool>(),
                 variant_of<bench::mutex_pool>()};
    for (int round = 0; round != s.rounds; ++round) {
        for (auto& v : all) {
            const auto measured = v.measure(s);
            for (std::size_t m = 0; m != measures; ++m) {
                if (!std::isnan(measured[m])) {
                    v.rounds[m].push_back(measured[m]);
                }
            }
        }
    }
    report(all, s);
}
