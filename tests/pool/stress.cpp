// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/pool/thread_pool.hpp"

#include "support/catch.hpp"
#include "support/eventually.hpp"

#include <atomic>
#include <barrier>
#include <random>
#include <thread>

using postlude::thread_pool;

namespace {

/// Waits without sleeping, so that the next burst meets workers that are just going to sleep.
template <class Done>
bool soon(Done done) {
    const auto deadline = std::chrono::steady_clock::now() + test::patience;
    while (!done()) {
        if (std::chrono::steady_clock::now() > deadline) {
            return false;
        }
        std::this_thread::yield();
    }
    return true;
}

}  // namespace

TEST_CASE("no task is left asleep, burst after burst into a pool that is falling asleep") {
    thread_pool pool(
        {.threads = 3, .queues = {{.name = "one", .workers = 1}, {.name = "two", .workers = 2}}});
    const postlude::queue_id queues[] = {{}, pool.queue("one"), pool.queue("two")};
    constexpr int producers = 2;
    constexpr int rounds = 4'000;
    std::atomic<int> done{0};
    std::atomic<int> accepted{0};
    std::atomic<bool> stuck{false};
    std::atomic<int> in_one{0};
    std::atomic<int> in_two{0};
    std::atomic<bool> over_limit{false};
    // A round is over when every task of it has run. Then the workers fall asleep, or nearly.
    std::barrier round_over(producers, [&]() noexcept {
        if (!soon([&] { return done == accepted; })) {
            stuck = true;
        }
    });
    {
        std::vector<std::jthread> threads;
        for (int p = 0; p < producers; ++p) {
            threads.emplace_back([&, p] {
                std::minstd_rand random(static_cast<unsigned>(p) + 7);
                for (int round = 0; round < rounds && !stuck; ++round) {
                    const auto burst = random() % 4;
                    for (unsigned i = 0; i < burst; ++i) {
                        const auto which = random() % 3;
                        ++accepted;
                        const auto ec = pool.try_run(
                            [&, which] {
                                auto* in = which == 1 ? &in_one : which == 2 ? &in_two : nullptr;
                                if (in && static_cast<unsigned>(++*in) > which) {
                                    over_limit = true;
                                }
                                if (in) {
                                    --*in;
                                }
                                ++done;
                            },
                            {.queue = queues[which]});
                        if (ec) {
                            --accepted;
                        }
                    }
                    round_over.arrive_and_wait();
                }
                round_over.arrive_and_drop();
            });
        }
    }
    CHECK_FALSE(stuck);
    CHECK_FALSE(over_limit);
    CHECK(done == accepted);
    CHECK(pool.drain(test::patience).clean());
    const auto c = pool.counters();
    CHECK(c.completed == static_cast<unsigned>(accepted.load()));
    CHECK(c.registered == c.refused + c.completed);
}

TEST_CASE("a drain that begins while producers run loses nothing that was accepted") {
    for (int round = 0; round < 100; ++round) {
        thread_pool pool({.threads = 2});
        std::atomic<int> accepted{0};
        std::atomic<int> ran{0};
        std::atomic<bool> begun{false};
        std::jthread producer([&] {
            while (!pool.try_run([&] { ++ran; })) {
                ++accepted;
                begun = true;
            }
        });
        REQUIRE(soon([&] { return begun.load(); }));
        CHECK(pool.drain(test::patience).clean());
        producer.join();
        CHECK(ran == accepted);
        CHECK(pool.counters().left == 0);
    }
}

TEST_CASE("tasks and a drain that gives up are counted once each, whoever comes first") {
    for (int round = 0; round < 200; ++round) {
        std::atomic<unsigned> ran{0};
        std::size_t lost = 0;
        {
            thread_pool pool({.threads = 2, .drain = std::chrono::milliseconds(0)});
            for (int i = 0; i < 50; ++i) {
                REQUIRE_FALSE(pool.try_run([&] { ++ran; }));
            }
            lost = pool.drain(std::chrono::milliseconds(0)).lost.size();
            const auto c = pool.counters();
            CHECK(c.lost == lost);
            CHECK(c.completed + c.lost == 50);
            CHECK(c.left == 0);
        }
        // What was running when it was given up may have ended since; nothing runs twice.
        CHECK(ran + lost >= 50);
        CHECK(ran <= 50);
    }
}
