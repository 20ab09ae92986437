// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/sqlite_support.hpp"

#include <algorithm>
#include <set>
#include <thread>

using namespace test;
using postlude::job_state;
using postlude::settled;
using postlude::verdict;

namespace {

/// Stores nothing; claims n, says how many it got, and waits to be killed.
void claim_and_hang(const std::string& file, std::size_t n,
                    const std::function<void(std::string)>& say) {
    open_store store(file);
    say(std::to_string(store.take(n).size()));
    ::pause();
}

}  // namespace

TEST_CASE("the jobs of a killed process are rescued at once, each with a crash") {
    temporary_directory directory;
    const auto file = directory.file("jobs.db");
    open_store(file)->commit(open_store(file).jobs(3), {});
    forked victim([&](auto& say) { claim_and_hang(file, 3, say); });
    REQUIRE(victim.hear() == "3");
    open_store store(file);
    CHECK(store->rescue(10).empty());  // it lives
    victim.kill();
    const auto rescued = store->rescue(10);
    REQUIRE(rescued.size() == 3);
    for (const auto& r : rescued) {
        CHECK(r.kind == "mail");
        CHECK(r.crashes == 1);
        CHECK(r.now == job_state::ready);
        CHECK(store.view(r.id).state == job_state::ready);
        CHECK(store.view(r.id).reason == "its process died");
        CHECK(store.steps(r.id) == std::vector<std::string>{"enqueued", "claimed", "crashed"});
    }
    CHECK(store->rescue(10).empty());
    CHECK(sql(file, "SELECT count(*) FROM owners") == "1\n");
}

TEST_CASE("rescue takes no more than its limit, and the rest later, with the same count") {
    temporary_directory directory;
    const auto file = directory.file("jobs.db");
    open_store(file)->commit(open_store(file).jobs(5), {});
    forked victim([&](auto& say) { claim_and_hang(file, 5, say); });
    REQUIRE(victim.hear() == "5");
    victim.kill();
    open_store store(file);
    CHECK(store->rescue(2).size() == 2);
    // The two are suspects now, held by this process: no reason to spare the others.
    const auto rest = store->rescue(100);
    REQUIRE(rest.size() == 3);
    CHECK(std::ranges::all_of(rest, [](const auto& r) { return r.crashes == 1; }));
}

TEST_CASE("a stopped process loses its jobs after its lease, and can't finish them") {
    temporary_directory directory;
    const auto file = directory.file("jobs.db");
    auto asked = open_store::mail_options();
    asked.lease = 150ms;
    open_store(file)->commit(open_store(file).jobs(2), {});
    forked victim([&](auto& say) {
        open_store store(file, asked);
        const auto held = store.take(2);
        say(std::to_string(held.size()));
        ::raise(SIGSTOP);
        const auto lost = store->renew(std::vector{held[0].held, held[1].held});
        say(std::to_string(lost.size()));
        say(store.settle(held[0].held, verdict::done) == settled::lost_lease ? "refused" : "taken");
        // It goes on under a new lease.
        const auto again = store.job();
        store.add(again);
        say(store.settle(store.take()[0].held, verdict::done) == settled::accepted ? "new"
                                                                                   : "none");
    });
    REQUIRE(victim.hear() == "2");
    std::vector<postlude::rescued_job> rescued;
    {
        open_store store(file, asked);
        REQUIRE(eventually([&] {
            const auto some = store->rescue(10);
            rescued.insert(rescued.end(), some.begin(), some.end());
            return rescued.size() == 2;
        }));
        CHECK(rescued[0].crashes == 1);
        const auto steps = store.steps(rescued[0].id);
        CHECK(steps == std::vector<std::string>{"enqueued", "claimed", "lease ended"});
        // Out of reach of the victim's last claim.
        REQUIRE(store.take(2).size() == 1);
        store->amend(std::vector{rescued[0].id, rescued[1].id}, postlude::amendment::cancel);
    }
    victim.signal(SIGCONT);
    CHECK(victim.hear() == "2");
    CHECK(victim.hear() == "refused");
    CHECK(victim.hear() == "new");
    CHECK(victim.wait() == 0);
}

TEST_CASE("a process past its lease whose jobs nobody took keeps them") {
    temporary_directory directory;
    auto asked = open_store::mail_options();
    asked.lease = 1ms;
    open_store store(directory.file("jobs.db"), asked);
    store.add(store.job());
    const auto held = store.take()[0].held;
    const auto past = std::chrono::steady_clock::now() + 5ms;
    REQUIRE(eventually([&] { return std::chrono::steady_clock::now() > past; }));
    CHECK(store->renew(std::vector{held}).empty());
    CHECK(store.settle(held, verdict::done) == settled::accepted);
}

TEST_CASE("a claim after its owner was taken for dead is found by others all the same") {
    temporary_directory directory;
    const auto file = directory.file("jobs.db");
    auto asked = open_store::mail_options();
    asked.lease = 1ms;
    open_store store(file, asked);
    sql(file, "DELETE FROM owners");
    const auto past = std::chrono::steady_clock::now() + 5ms;
    REQUIRE(eventually([&] { return std::chrono::steady_clock::now() > past; }));
    store.add(store.job());
    REQUIRE(store.take().size() == 1);
    CHECK(sql(file, "SELECT count(*) FROM owners") == "1\n");
}

TEST_CASE("a job that kills its process is quarantined after three deaths, and innocents are not") {
    temporary_directory directory;
    const auto file = directory.file("jobs.db");
    postlude::job_id killer = 0;
    {
        open_store store(file);
        killer = store.add(store.job());
        store->commit(store.jobs(9), {});
    }
    for (unsigned death = 1; death <= 3; ++death) {
        forked victim([&](auto& say) { claim_and_hang(file, 10, say); });
        // All at the first time; then all are suspects, of which it takes one.
        REQUIRE(victim.hear() == (death == 1 ? "10" : "1"));
        victim.kill();
        open_store store(file);
        const auto rescued = store->rescue(100);
        CHECK(rescued.size() == (death == 1 ? 10 : 1));
        CHECK(store.view(killer).job.crashes == death);
    }
    open_store store(file);
    CHECK(store.view(killer).state == job_state::quarantined);
    CHECK(store.steps(killer).back() == "quarantined");
    // The other nine run, one at a time.
    for (int i = 0; i < 9; ++i) {
        const auto one = store.take(10);
        REQUIRE(one.size() == 1);
        CHECK(one[0].job.crashes == 1);
        CHECK(store.take(10).empty());
        CHECK(store.settle(one[0].held, verdict::done) == settled::accepted);
    }
    CHECK(store.take(10).empty());
}

TEST_CASE("of a dead process that held a suspect only the suspect has crashed") {
    temporary_directory directory;
    const auto file = directory.file("jobs.db");
    postlude::job_id suspect = 0;
    {
        open_store store(file);
        auto p = store.job();
        p.job.crashes = 1;
        suspect = store.add(p);
        store->commit(store.jobs(4), {});
    }
    forked victim([&](auto& say) { claim_and_hang(file, 10, say); });
    REQUIRE(victim.hear() == "5");
    victim.kill();
    open_store store(file);
    for (const auto& r : store->rescue(2)) {  // in two goes: what is decided stays so
        CHECK(r.crashes == (r.id == suspect ? 2 : 0));
    }
    for (const auto& r : store->rescue(10)) {
        CHECK(r.crashes == (r.id == suspect ? 2 : 0));
    }
    CHECK(store.view(suspect).job.crashes == 2);
    CHECK(sql(file, "SELECT count(*) FROM jobs WHERE crashes = 0") == "4\n");
}

TEST_CASE("a process holds one suspect at a time, whichever lanes they are in") {
    temporary_directory directory;
    open_store store(directory.file("jobs.db"));
    for (const auto* queue : {"out", "other"}) {
        for (std::uint8_t priority = 0; priority < 2; ++priority) {
            auto p = store.job();
            p.job.crashes = 1;
            p.job.queue = queue;
            p.job.priority = priority;
            store.add(p);
        }
    }
    for (int i = 0; i < 4; ++i) {
        const auto one = store.take(10);
        REQUIRE(one.size() == 1);
        CHECK(store.take(10).empty());
        CHECK(store.settle(one[0].held, verdict::give_back) == settled::accepted);
        const auto again = store.take(10);  // it has kept its place
        REQUIRE(again.size() == 1);
        CHECK(again[0].job.id == one[0].job.id);
        CHECK(store.settle(again[0].held, verdict::done) == settled::accepted);
    }
}

TEST_CASE("what a process holds when it closes the store is given back without a crash") {
    temporary_directory directory;
    const auto file = directory.file("jobs.db");
    postlude::job_id id = 0;
    {
        open_store store(file);
        id = store.add(store.job());
        REQUIRE(store.take().size() == 1);
    }
    open_store store(file);
    CHECK(store.view(id).state == job_state::ready);
    CHECK(store.view(id).job.crashes == 0);
    CHECK(store.steps(id) == std::vector<std::string>{"enqueued", "claimed", "given back"});
    CHECK(sql(file, "SELECT count(*) FROM owners") == "1\n");
}

TEST_CASE("several stores on one file in one process have numbers and locks of their own") {
    temporary_directory directory;
    const auto file = directory.file("jobs.db");
    open_store a(file);
    open_store b(file);
    CHECK(a.info.owner != b.info.owner);
    a.add(a.job());
    const auto held = a.take();
    REQUIRE(held.size() == 1);
    {
        open_store c(file);  // its end must not end the locks of the others
    }
    CHECK(b->rescue(10).empty());
    CHECK(b.settle(held[0].held, verdict::done) == settled::lost_lease);
    CHECK(a.settle(held[0].held, verdict::done) == settled::accepted);
}

TEST_CASE("an owner's number is never used again") {
    temporary_directory directory;
    std::set<std::uint32_t> numbers;
    for (int i = 0; i < 5; ++i) {
        numbers.insert(open_store(directory.file("jobs.db")).info.owner);
    }
    CHECK(numbers.size() == 5);
}

TEST_CASE("two processes that claim at the same time never share a job") {
    temporary_directory directory;
    const auto file = directory.file("jobs.db");
    constexpr std::size_t n = 2000;
    {
        open_store store(file);
        store->commit(store.jobs(n), {});
    }
    const auto work = [&](auto& say) {
        open_store store(file);
        std::size_t count = 0;
        for (;;) {
            const auto some = store.take(7);
            if (some.empty()) {
                break;
            }
            std::vector<postlude::settlement> settlements(some.size());
            for (std::size_t i = 0; i < some.size(); ++i) {
                settlements[i].of = some[i].held;
            }
            for (const auto s : store->commit({}, settlements).settlements) {
                count += s == settled::accepted ? 1 : 0;
            }
        }
        say(std::to_string(count));
    };
    forked a(work);
    forked b(work);
    const auto by_a = std::stoul(a.hear());
    const auto by_b = std::stoul(b.hear());
    CHECK(by_a + by_b == n);
    CHECK(sql(file, "SELECT count(*) FROM ended WHERE state = 3") == std::to_string(n) + "\n");
}

TEST_CASE("threads of several stores that claim at the same time never share a job") {
    temporary_directory directory;
    const auto file = directory.file("jobs.db");
    open_store filler(file);
    filler->commit(filler.jobs(1000), {});
    open_store a(file);
    open_store b(file);
    std::vector<postlude::job_id> taken[4];
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&, i] {
            auto& store = i % 2 ? a : b;
            for (;;) {
                const auto some = store.take(5);
                if (some.empty()) {
                    return;
                }
                for (const auto& c : some) {
                    taken[i].push_back(c.job.id);
                }
            }
        });
    }
    std::set<postlude::job_id> all;
    std::size_t sum = 0;
    for (int i = 0; i < 4; ++i) {
        threads[static_cast<std::size_t>(i)].join();
        all.insert(taken[i].begin(), taken[i].end());
        sum += taken[i].size();
    }
    CHECK(sum == 1000);
    CHECK(all.size() == 1000);
}

TEST_CASE("a job that another process stores is seen by a claim that waits") {
    temporary_directory directory;
    const auto file = directory.file("jobs.db");
    {
        open_store make(file);
    }
    int go[2];
    REQUIRE(::pipe(go) == 0);
    forked other([&](auto& say) {
        open_store store(file);
        say("open");
        char c;
        (void)!::read(go[0], &c, 1);
        store.add(store.job());
        say("stored");
        ::pause();
    });
    REQUIRE(other.hear() == "open");
    open_store store(file);
    std::thread later([&] { (void)!::write(go[1], "x", 1); });
    const auto got = store->claim(std::vector<std::size_t>{1}, test::patience);
    later.join();
    CHECK(got.size() == 1);
    ::close(go[0]);
    ::close(go[1]);
}
