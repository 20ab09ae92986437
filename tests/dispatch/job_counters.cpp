// Copyright 2026 The Postlude authors. Distributed under the Boost Software
// License, Version 1.0.
#include "dispatch/job_world.hpp"

#include <boost/system/system_error.hpp>

#include <catch2/catch.hpp>

#include <array>
#include <atomic>
#include <map>
#include <random>
#include <thread>

using namespace std::chrono_literals;
using namespace postlude;
using test::adds_up;
using test::at_rest;
using test::durable_mail;
using test::eventually;
using test::job_world;
using test::memory_mail;
using test::respond;
using test::spill_mail;

namespace {

constexpr int clients = 4;
constexpr int requests = 1'250;  // of four jobs each: 20,000 in all

/// How often each job succeeded, and which were accepted for good.
struct book {
    std::array<std::atomic<int>, clients * requests * 4> succeeded{};
    std::array<std::atomic<int>, clients * requests * 4> failed{};
    std::array<std::atomic<bool>, clients * requests * 4> owed{};
    std::array<std::atomic<bool>, clients * requests * 4> fails{};
    /// Their request was answered with an error, though its commit had been tried.
    std::array<std::atomic<bool>, clients * requests * 4> withdrawn{};
};

job_registry kinds_for(book& all) {
    const auto run = [&all](const auto& mail, job_context&) {
        const auto n = static_cast<std::size_t>(std::stoi(mail.to));
        // Every seventh fails once, every eleventh always.
        if (all.fails[n] && (n % 11 == 0 || (n % 7 == 0 && all.failed[n] == 0))) {
            ++all.failed[n];
            throw std::runtime_error("no route");
        }
        ++all.succeeded[n];
    };
    job_registry kinds;
    kinds.handle<memory_mail>(run);
    kinds.handle<spill_mail>(run);
    kinds.handle<durable_mail>(run);
    return kinds;
}

/// One client's requests, some of which fail.
void serve(dispatcher& work, book& all, int client) {
    std::minstd_rand random{static_cast<unsigned>(client + 1)};
    for (int i = 0; i != requests; ++i) {
        deferred after(work);
        std::array<int, 4> mine{};
        std::array<bool, 4> accepted{};
        std::array<bool, 4> always{};
        for (std::size_t k = 0; k != 4; ++k) {
            mine[k] = (client * requests + i) * 4 + static_cast<int>(k);
            const auto to = std::to_string(mine[k]);
            always[k] = random() % 10 == 0;
            const job_options options{.when = always[k] ? when::always : when::handled};
            const auto kind = random() % 3;
            // Of memory alone, a retry may find no place to wait in.
            all.fails[static_cast<std::size_t>(mine[k])] = kind != 0;
            switch (kind) {
            case 0: accepted[k] = !after.try_enqueue(memory_mail{to}, options); break;
            case 1: accepted[k] = !after.try_enqueue(spill_mail{to}, options); break;
            default: accepted[k] = !after.try_enqueue(durable_mail{to}, options); break;
            }
        }
        unsigned status = random() % 8 == 0 ? 404 : 200;
        const bool changes_its_mind = random() % 16 == 0;
        if (changes_its_mind) {
            commit(after, 200);
            status = 500;  // and then it turns out otherwise
        }
        const bool abandoned = random() % 32 == 0;
        if (!abandoned) {
            status = respond(after, status);
        }
        for (std::size_t k = 0; k != 4; ++k) {
            const auto n = static_cast<std::size_t>(mine[k]);
            all.owed[n] = accepted[k] && (always[k] || (!abandoned && status == 200));
            all.withdrawn[n] = accepted[k] && all.fails[n] && (changes_its_mind || status == 503);
        }
    }
}

void check(const book& all, const job_counters& c) {
    std::size_t completed = 0;
    std::size_t dead = 0;
    for (std::size_t n = 0; n != all.owed.size(); ++n) {
        const bool hopeless = all.fails[n] && n % 11 == 0;
        const int wanted = all.owed[n] && !hopeless ? 1 : 0;
        // What was withdrawn may have begun before; wanted all the same, it is stored once more.
        const int most = wanted + (all.withdrawn[n] ? 1 : 0);
        if (all.succeeded[n] < wanted || all.succeeded[n] > most) {
            FAIL_CHECK("job " << n << " succeeded " << all.succeeded[n] << " times and failed "
                              << all.failed[n] << " times");
        }
        if (hopeless && !all.withdrawn[n] && all.failed[n] != (all.owed[n] ? 3 : 0)) {
            FAIL_CHECK("job " << n << " failed " << all.failed[n] << " times");
        }
        completed += static_cast<std::size_t>(wanted);
        dead += all.owed[n] && hopeless ? 1 : 0;
    }
    CHECK(c.completed >= completed);
    CHECK(c.dead >= dead);
    CHECK(c.left == 0);
    CHECK(c.lost == 0);
    CHECK(c.unstored == 0);
    CHECK(adds_up(c));
}

}  // namespace

TEST_CASE("each of 20,000 jobs of four clients ends once, whatever fails, and the sum holds") {
    const bool trouble = GENERATE(false, true);
    job_world world;
    const auto all = std::make_unique<book>();
    auto options = world.options(kinds_for(*all), 2);
    options.pool.default_queue.capacity = 64;
    options.jobs.commit_timeout = trouble ? 20ms : 60s;
    world.log.logger()->set_level(spdlog::level::off);
    dispatcher work(std::move(options));
    const test::releaser end(world.trouble);
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i != clients; ++i) {
            threads.emplace_back([&, i] { serve(work, *all, i); });
        }
        if (trouble) {
            threads.emplace_back([&](const std::stop_token& stop) {
                for (std::size_t n = 0; !stop.stop_requested(); ++n) {
                    const auto commits = world.trouble->count(test::call::commit);
                    switch (n % 4) {
                    case 0: world.trouble->fail(test::call::commit, 3); break;
                    case 1: world.trouble->fail(test::call::claim, 1); break;
                    case 2: world.trouble->fail(test::call::amend, 1); break;
                    default:
                        world.trouble->hold(test::call::commit);
                        eventually([&, until = std::chrono::steady_clock::now() + 50ms] {
                            return std::chrono::steady_clock::now() > until;
                        });
                        world.trouble->release(test::call::commit);
                    }
                    eventually([&] {
                        return stop.stop_requested() ||
                               world.trouble->count(test::call::commit) >= commits + 20;
                    });
                }
            });
        }
    }
    // What failed goes to the store and comes back.
    REQUIRE(eventually([&] {
        const auto s = work.stats();
        return work.job_counters().left == 0 &&
               std::ranges::all_of(s, [](const auto& q) { return q.ready + q.claimed == 0; });
    }));
    REQUIRE(at_rest(work));
    check(*all, work.job_counters());
    CHECK(work.pool().counters().left == 0);
    CHECK(work.shutdown(10s).clean());
    CHECK(adds_up(work.job_counters()));
}
