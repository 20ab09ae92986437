// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "conformance.hpp"

#include <algorithm>

using namespace postlude;
using namespace test;
using std::chrono::milliseconds;

namespace {

unsigned crashes_of(backend& b, job_id id) { return look(b, id).job.crashes; }

/// How many of these have crashed an owner.
std::ptrdiff_t suspects_among(const std::vector<claimed_job>& jobs) {
    return std::ranges::count_if(jobs, [](const auto& one) { return one.job.crashes != 0; });
}

}  // namespace

TEST_CASE_METHOD(every_backend, "what a dead owner held is rescued as soon as its death shows") {
    const auto lived = timed([&] {
        store->owner_dies(options(), [](backend& b) {
            put_one(b, a_claimed_job(1));
            put_jobs(b, {2});
            claim_one(b);
        });
    });
    const auto b = open();
    auto rescued = b->rescue(10);
    if (!store->can().sees_death) {
        CHECK((rescued.empty() || store->now() - lived.earliest >= store->lease()));
        rescued = comes_after(lived, store->lease(), [&] { return b->rescue(10); });
    }
    CHECK(ids_of(rescued) == ids{1, 2});
    CHECK(b->rescue(10).empty());
    CHECK(state_of(*b, 1) == job_state::ready);
    CHECK(state_of(*b, 2) == job_state::ready);
}

TEST_CASE_METHOD(every_backend, "a job whose owner died has one crash more, and no failure") {
    store->owner_dies(options(), [](backend& b) {
        put_jobs(b, {1});
        claim_one(b);
    });
    const auto b = open();
    const auto rescued = rescue_dead(*b);
    REQUIRE(rescued.size() == 1);
    CHECK(rescued[0].id == 1);
    CHECK(rescued[0].kind == "a");
    CHECK(rescued[0].crashes == 1);
    CHECK(rescued[0].now == job_state::ready);
    const auto view = look(*b, 1);
    CHECK(view.state == job_state::ready);
    CHECK(view.job.crashes == 1);
    CHECK(view.job.failures == 0);
    CHECK_FALSE(view.reason.empty());
    CHECK(claim_one(*b).job.crashes == 1);
}

TEST_CASE_METHOD(every_backend, "ready jobs that a dead owner stored are there, without a rescue") {
    store->owner_dies(options(), [](backend& b) { put_jobs(b, {1, 2}); });
    const auto b = open();
    CHECK(b->rescue(10).empty());
    const auto claimed = claim(*b);
    CHECK(ids_of(claimed) == ids{1, 2});
    CHECK(suspects_among(claimed) == 0);
}

TEST_CASE_METHOD(every_backend, "three crashes are quarantine") {
    put_suspects({1});
    for (unsigned crash = 2; crash <= 3; ++crash) {
        store->owner_dies(options(), [](backend& b) { claim_one(b); });
        const auto b = open();
        const auto rescued = rescue_dead(*b);
        REQUIRE(rescued.size() == 1);
        CHECK(rescued[0].crashes == crash);
        CHECK(rescued[0].now == (crash < 3 ? job_state::ready : job_state::quarantined));
    }
    const auto b = open();
    const auto view = look(*b, 1);
    CHECK(view.state == job_state::quarantined);
    CHECK(view.ended);
    CHECK(claim(*b).empty());
    CHECK(b->rescue(10).empty());
}

TEST_CASE_METHOD(every_backend,
                 "the crash of an owner that held a suspect is no innocent's fault") {
    put_suspects({2});
    store->owner_dies(options(), [](backend& b) {
        put_jobs(b, {1, 3, 4});
        claim(b);
    });
    const auto b = open();
    const auto place = look(*b, 1).run_at;
    store->pass(std::max(store->grain(), milliseconds(1)));
    // One at a time: the innocents are spared however the rescue is cut.
    for (int i = 0; i < 4; ++i) {
        CHECK(rescue_dead(*b, 1).size() == 1);
    }
    CHECK(look(*b, 1).run_at == place);
    CHECK(crashes_of(*b, 2) == 2);
    CHECK(crashes_of(*b, 1) == 0);
    CHECK(crashes_of(*b, 3) == 0);
    CHECK(crashes_of(*b, 4) == 0);
    CHECK(claim(*b).size() == 4);
}

TEST_CASE_METHOD(every_backend, "a process holds one suspect at a time, and innocents beside it") {
    put_suspects({1, 2, 3});
    const auto b = open();
    const auto other = open();
    put_jobs(*b, {4, 5});
    const auto first = claim(*b);
    CHECK(ids_of(first) == ids{1, 4, 5});
    CHECK(claim(*b).empty());
    CHECK(ids_of(claim(*other)) == ids{2});
    CHECK(claim(*other).empty());

    // A verdict ends it, a failure too.
    CHECK(settle(*b, first.at(0).held, verdict::retry, "no", std::chrono::hours(1)) ==
          settled::accepted);
    CHECK(ids_of(claim(*b)) == ids{3});
}

TEST_CASE_METHOD(every_backend, "a claim for a suspect wakes when the other suspect is settled") {
    put_suspects({1, 2});
    const auto b = open();
    const auto claimed = claim(*b);
    REQUIRE(claimed.size() == 1);
    settle(*b, claimed[0].held, verdict::done);
    CHECK(suspects_among(b->claim(std::vector<std::size_t>{9, 0}, patience)) == 1);
}

TEST_CASE_METHOD(every_backend, "a suspect that another process has done is done") {
    put_suspects({1});
    const auto b = open();
    CHECK(settle(*b, claim_one(*b).held, verdict::done) == settled::accepted);
    CHECK(state_of(*b, 1) == job_state::done);
}

TEST_CASE_METHOD(every_backend, "a process that ends cleanly gives back what it holds, uncounted") {
    auto first = open();
    put_jobs(*first, {1, 2});
    put_one(*first, a_claimed_job(3));
    CHECK(claim(*first, 1).size() == 1);
    const auto second = open();
    CHECK(ids_of(claim(*second)) == ids{2});
    first.reset();
    CHECK(second->rescue(10).empty());
    const auto claimed = claim(*second);
    CHECK(ids_of(claimed) == ids{1, 3});
    CHECK(suspects_among(claimed) == 0);
}

TEST_CASE_METHOD(every_backend, "the jobs of a store that nobody has open are there again") {
    {
        const auto b = open();
        put_jobs(*b, {1, 2, 3});
        settle(*b, claim(*b, 1).at(0).held, verdict::done);
        claim(*b, 1);
    }
    const auto b = open();
    CHECK(state_of(*b, 1) == job_state::done);
    const auto claimed = claim(*b);
    CHECK(ids_of(claimed) == ids{2, 3});
    CHECK(suspects_among(claimed) == 0);
}

TEST_CASE_METHOD(every_backend, "an unrenewed claim is rescued after one lease, and not before") {
    const auto holder = open();
    const auto b = open();
    SECTION("of a job that was claimed") {
        put_jobs(*b, {1});
        const auto claimed = timed([&] { claim_one(*holder); });
        const auto rescued = comes_after(claimed, store->lease(), [&] { return b->rescue(10); });
        CHECK(rescued.at(0).crashes == 1);
    }
    SECTION("of a job that was stored as claimed") {
        const auto stored = timed([&] { put_one(*holder, a_claimed_job(1)); });
        comes_after(stored, store->lease(), [&] { return b->rescue(10); });
    }
    SECTION("counted from the last renewal") {
        put_jobs(*b, {1});
        const auto held = claim_one(*holder).held;
        store->pass(store->lease() / 2);
        const auto renewed = timed([&] { CHECK(holder->renew(std::span(&held, 1)).empty()); });
        comes_after(renewed, store->lease(), [&] { return b->rescue(10); });
    }
    CHECK(ids_of(claim(*b)) == ids{1});
}

TEST_CASE_METHOD(every_backend, "a claim that is renewed is kept for as long as it takes") {
    const auto holder = open();
    const auto b = open();
    put_jobs(*b, {1});
    const auto held = claim_one(*holder).held;
    const auto begin = store->now();
    int looks = 0;
    while (store->now() - begin < 3 * store->lease() || looks == 0) {
        const auto renewed = store->now();
        const auto lost = holder->renew(std::span(&held, 1));
        const auto rescued = b->rescue(10);
        // On a machine that stood still meanwhile, it was rescued rightly.
        REQUIRE((rescued.empty() || store->now() - renewed >= store->lease()));
        REQUIRE(lost.empty());
        ++looks;
        store->pass(store->lease() / 8);
    }
    CHECK(settle(*holder, held, verdict::done) == settled::accepted);
}

TEST_CASE_METHOD(every_backend, "of several claims, renew says which are lost") {
    const auto holder = open();
    put_jobs(*holder, {1, 2, 3});
    const auto claimed = claim(*holder);
    const std::vector<receipt> held{claimed.at(0).held, claimed.at(1).held, claimed.at(2).held};
    amend(*holder, claimed[1].job.id, amendment::cancel);
    CHECK(holder->renew(held) == std::vector{held[1]});
    CHECK(holder->renew({}).empty());
}

TEST_CASE_METHOD(every_backend, "a claim whose lease has ended is its holder's until it is taken") {
    const auto holder = open();
    put_jobs(*holder, {1});
    const auto held = claim_one(*holder).held;
    store->pass(2 * store->lease());
    CHECK(holder->renew(std::span(&held, 1)).empty());
    store->pass(2 * store->lease());
    CHECK(settle(*holder, held, verdict::done) == settled::accepted);
}

TEST_CASE_METHOD(every_backend, "a rescue takes no more than its limit, the next one the rest") {
    store->owner_dies(options(), [](backend& b) {
        put_jobs(b, {1, 2, 3, 4, 5});
        claim(b);
    });
    const auto b = open();
    ids all;
    for (const std::size_t expected : {2, 2, 1, 0}) {
        const auto rescued = rescue_dead(*b, 2);
        CHECK(rescued.size() == expected);
        std::ranges::copy(ids_of(rescued), std::back_inserter(all));
    }
    std::ranges::sort(all);
    CHECK(all == ids{1, 2, 3, 4, 5});
    for (const auto id : all) {
        CHECK(crashes_of(*b, id) == 1);
    }
}

TEST_CASE_METHOD(every_backend, "the dead owner's jobs are rescued, and not the living one's") {
    store->owner_dies(options(), [](backend& b) {
        put_jobs(b, {1, 2});
        claim(b, 1);
    });
    const auto living = open();
    const auto held = claim_one(*living).held;
    store->pass(store->can().sees_death ? milliseconds(0) : store->lease());
    const auto renewed = store->now();
    CHECK(living->renew(std::span(&held, 1)).empty());
    const auto rescued = ids_of(open()->rescue(10));
    CHECK((rescued == ids{1} || store->now() - renewed >= store->lease()));
}
