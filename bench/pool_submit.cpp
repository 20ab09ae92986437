// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
//
// What does it cost the thread that serves to register a small task and to release it?
//
// A producer registers tasks of 40 bytes of captures in lists of 16, as a request would, and
// releases each list to a pool with one worker. The worker is kept busy by another task, so that
// no wake-up is paid: this is the cost of the queue alone. The peer does the same with
// boost::asio::post to boost::asio::thread_pool. The floor is one uncontended fetch-and-add and
// the writing of the captures: about 5 ns. The more tasks wait, the more of their memory is out
// of the caches when it is written again, for both.
#include "postlude/dispatch/deferred.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <latch>
#include <new>
#include <thread>
#include <utility>
#include <vector>

namespace {

std::atomic<std::uint64_t> allocations{0};

}  // namespace

// Asio takes its memory from aligned_alloc, so counting operator new would not do.
extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
void* malloc(std::size_t size) {
    allocations.fetch_add(1, std::memory_order_relaxed);
    return __libc_malloc(size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) {
    allocations.fetch_add(1, std::memory_order_relaxed);
    return __libc_memalign(alignment, size);
}
}

namespace {

using clock_type = std::chrono::steady_clock;

constexpr std::size_t list_size = 16;

std::atomic<std::uint64_t> sum{0};

struct work {
    std::uint64_t a, b, c, d;
    std::atomic<std::uint64_t>* out;
    void operator()() const {
        out->store(out->load(std::memory_order_relaxed) + a + b + c + d, std::memory_order_relaxed);
    }
};
static_assert(sizeof(work) == 40);

struct cost {
    double nanoseconds;
    double allocations;
};

/// Runs `submit` for n tasks while a task holds the only worker, then lets them run.
template <class Hold, class Submit, class Finish>
cost measure(std::size_t n, Hold hold, Submit submit, Finish finish) {
    std::latch held(1);
    std::latch go(1);
    hold([&] {
        held.count_down();
        go.wait();
    });
    held.wait();
    const auto allocated = allocations.load();
    const auto begin = clock_type::now();
    submit(n);
    const auto end = clock_type::now();
    const auto more = allocations.load() - allocated;
    go.count_down();
    finish();
    const auto count = static_cast<double>(n);
    return {std::chrono::duration<double, std::nano>(end - begin).count() / count,
            static_cast<double>(more) / count};
}

cost postlude_cost(postlude::dispatcher& d, std::size_t n) {
    return measure(
        n, [&](auto f) { (void)d.try_run(std::move(f)); },
        [&](std::size_t count) {
            for (std::size_t i = 0; i < count; i += list_size) {
                postlude::deferred after(d);
                for (std::size_t j = 0; j < list_size; ++j) {
                    after.run(work{i, j, 1, 2, &sum});
                }
                postlude::pending_response response(after, 200);
                response.end({});
                response.release();
            }
        },
        [&] {
            while (d.counters().left != 0) {
                std::this_thread::yield();
            }
        });
}

cost asio_cost(boost::asio::thread_pool& pool, std::size_t n) {
    std::atomic<bool> done{false};
    return measure(
        n, [&](auto f) { boost::asio::post(pool, std::move(f)); },
        [&](std::size_t count) {
            for (std::size_t i = 0; i < count; ++i) {
                boost::asio::post(pool, work{i, i, 1, 2, &sum});
            }
            boost::asio::post(pool, [&] { done.store(true); });
        },
        [&] {
            while (!done.load()) {
                std::this_thread::yield();
            }
        });
}

double median(std::vector<double> v) {
    std::ranges::sort(v);
    return v[v.size() / 2];
}

void print(const char* name, const std::vector<double>& ns, double allocations_each) {
    const auto [low, high] = std::ranges::minmax(ns);
    std::printf("%-46s %7.1f ns  (%.1f to %.1f)  %5.2f allocations\n", name, median(ns), low, high,
                allocations_each);
}

/// Both in turn, `rounds` times, with so many tasks waiting at the end of each round.
void compare(std::size_t tasks, int rounds, postlude::dispatcher& dispatcher,
             boost::asio::thread_pool& asio_pool) {
    // The first rounds make the memory that the later ones use again.
    for (int i = 0; i < 2; ++i) {
        postlude_cost(dispatcher, tasks);
        asio_cost(asio_pool, tasks);
    }
    std::vector<double> ours;
    std::vector<double> theirs;
    std::vector<double> ratios;
    double our_allocations = 0;
    double their_allocations = 0;
    for (int i = 0; i < rounds; ++i) {
        const auto a = postlude_cost(dispatcher, tasks);
        const auto b = asio_cost(asio_pool, tasks);
        ours.push_back(a.nanoseconds);
        theirs.push_back(b.nanoseconds);
        ratios.push_back(a.nanoseconds / b.nanoseconds);
        our_allocations += a.allocations / rounds;
        their_allocations += b.allocations / rounds;
    }
    std::printf("up to %zu tasks waiting, %d rounds in turn, medians\n", tasks, rounds);
    print("  postlude, lists of 16, reservation included", ours, our_allocations);
    print("  asio::post to asio::thread_pool", theirs, their_allocations);
    std::printf("  ratio %.2f\n", median(ratios));
}

}  // namespace

int main(int argc, char** argv) {
    const bool smoke = argc > 1 && std::strcmp(argv[1], "--smoke") == 0;
    const int rounds = smoke ? 3 : 201;
    postlude::dispatcher_options options;
    options.pool.threads = 1;
    postlude::dispatcher dispatcher(std::move(options));
    boost::asio::thread_pool asio_pool(1);
    std::puts("target: at most 20 ns, 0 allocations, ratio below 0.50 into a busy pool");
    for (const std::size_t tasks : {512, 4'096, 32'768}) {
        compare(tasks, rounds, dispatcher, asio_pool);
    }
}
