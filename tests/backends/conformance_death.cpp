// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "conformance.hpp"

#include <algorithm>
#include <iterator>
#include <map>

using namespace postlude;
using namespace test;
using std::chrono::milliseconds;

namespace {

/// How many of these have crashed an owner.
std::ptrdiff_t suspects_among(const std::vector<claimed_job>& jobs) {
    return std::ranges::count_if(jobs, [](const auto& one) { return one.job.crashes != 0; });
}

}  // namespace

TEST_CASE_METHOD(every_backend, "what a dead owner held is rescued as soon as its death shows") {
    const auto lived = timed([&] {
        store->owner_dies(options(), [this](backend& b) {
            hold(b, 1);
            put_jobs(b, {2});
            claim_one(b);
        });
    });
    const auto b = open();
    auto rescued = store->can().leases ? b->rescue(10) : rescue_dead(*b, 2);
    if (!store->can().sees_death) {
        CHECK((rescued.empty() || store->now() - lived.earliest >= store->lease()));
        rescued = comes_after(lived, store->lease(), [&] { return b->rescue(10); });
    }
    CHECK(are(ids_of(rescued), {1, 2}));
    CHECK(b->rescue(10).empty());
    check_state(*b, 1, job_state::ready);
    check_state(*b, 2, job_state::ready);
}

TEST_CASE_METHOD(every_backend, "a job whose owner died has one crash more, and no failure") {
    store->owner_dies(options(), [](backend& b) {
        put_jobs(b, {1});
        claim_one(b);
    });
    const auto b = open();
    const auto rescued = rescue_dead(*b, 1);
    REQUIRE(rescued.size() == 1);
    CHECK(rescued[0].id == 1);
    CHECK(rescued[0].kind == "a");
    CHECK(rescued[0].crashes == 1);
    CHECK(rescued[0].now == job_state::ready);
    check_view(*b, 1, [](const job_view& view) {
        CHECK(view.state == job_state::ready);
        CHECK(view.job.crashes == 1);
        CHECK(view.job.failures == 0);
        CHECK_FALSE(view.reason.empty());
    });
    const auto again = claim_one(*b);
    CHECK(again.job.crashes == 1);
    CHECK(again.job.failures == 0);
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
        const auto rescued = rescue_dead(*b, 1);
        REQUIRE(rescued.size() == 1);
        CHECK(rescued[0].crashes == crash);
        CHECK(rescued[0].now == (crash < 3 ? job_state::ready : job_state::quarantined));
    }
    const auto b = open();
    check_view(*b, 1, [](const job_view& view) {
        CHECK(view.state == job_state::quarantined);
        CHECK(view.ended);
    });
    CHECK(count_dead(*b) == 1);
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
    store_time place;
    check_view(*b, 1, [&](const job_view& view) { place = view.run_at; });
    store->pass(std::max(store->grain(), milliseconds(1)));
    std::map<job_id, unsigned> crashes;
    if (!store->can().exact_crash_counts) {
        for (const auto& one : rescue_dead(*b, 4)) {
            crashes[one.id] = one.crashes;
        }
        CHECK(crashes == std::map<job_id, unsigned>{{1, 1}, {2, 2}, {3, 1}, {4, 1}});
        return;
    }
    // One at a time: the innocents are spared however the rescue is cut.
    for (std::size_t i = 4; i > 0; --i) {
        CHECK(rescue_dead(*b, i, 1).size() == 1);
    }
    check_view(*b, 1, [&](const job_view& view) { CHECK(view.run_at == place); });
    for (const auto& one : claim(*b)) {
        crashes[one.job.id] = one.job.crashes;
    }
    CHECK(crashes == std::map<job_id, unsigned>{{1, 0}, {2, 2}, {3, 0}, {4, 0}});
}

TEST_CASE_METHOD(every_backend, "a process holds one suspect at a time, and innocents beside it") {
    put_suspects({1, 2, 3});
    const auto b = open();
    const auto other = open();
    put_jobs(*b, {4, 5});
    const auto first = claim(*b);
    CHECK(first.size() == 3);
    CHECK(suspects_among(first) == 1);
    CHECK(claim(*b).empty());
    const auto second = claim(*other);
    CHECK(suspects_among(second) == 1);
    CHECK(second.size() == 1);
    CHECK(claim(*other).empty());

    // A verdict ends it, a failure too.
    const auto suspect =
        std::ranges::find_if(first, [](const auto& one) { return one.job.crashes != 0; });
    REQUIRE(suspect != first.end());
    CHECK(settle(*b, suspect->held, verdict::retry, "no", std::chrono::hours(1)) ==
          settled::accepted);
    const auto third = claim(*b);
    auto all = ids_of(first);
    std::ranges::copy(ids_of(second), std::back_inserter(all));
    std::ranges::copy(ids_of(third), std::back_inserter(all));
    CHECK(suspects_among(third) == 1);
    if (store->can().exact_order) {
        CHECK(all == ids{1, 4, 5, 2, 3});
    }
    std::ranges::sort(all);
    CHECK(all == ids{1, 2, 3, 4, 5});
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
    check_state(*b, 1, job_state::done);
    CHECK(claim(*b).empty());
}

TEST_CASE_METHOD(every_backend, "a process that ends cleanly gives back what it holds, uncounted") {
    auto first = open();
    put_jobs(*first, {1, 2});
    CHECK(ids_of(claim(*first, 1)) == ids{1});
    const auto second = open();
    CHECK(ids_of(claim(*second)) == ids{2});
    hold(*first, 3);
    first.reset();
    CHECK(second->rescue(10).empty());
    const auto claimed = claim(*second);
    CHECK(are(ids_of(claimed), {1, 3}));
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
    check_state(*b, 1, job_state::done);
    const auto claimed = claim(*b);
    CHECK(are(ids_of(claimed), {2, 3}));
    CHECK(suspects_among(claimed) == 0);
}

TEST_CASE_METHOD(every_backend, "an unrenewed claim is rescued after one lease, and not before") {
    const auto holder = open();
    const auto b = open();
    if (!store->can().leases) {
        // Then it is its holder's for as long as that has the connection.
        const auto held = hold(*holder, 1);
        store->pass(2 * store->lease());
        CHECK(b->rescue(10).empty());
        CHECK(claim(*b).empty());
        CHECK(settle(*holder, held, verdict::done) == settled::accepted);
        return;
    }
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
    if (can_be_asked(*holder)) {
        amend(*holder, claimed[1].job.id, amendment::cancel);
    } else {
        settle(*holder, held[1], verdict::done);
    }
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
    std::vector<rescued_job> all;
    for (const std::size_t expected : {2, 2, 1, 0}) {
        const auto rescued = rescue_dead(*b, store->can().leases ? 2 : 5 - all.size(), 2);
        CHECK((rescued.size() == expected || !store->can().leases));
        std::ranges::copy(rescued, std::back_inserter(all));
    }
    CHECK(std::ranges::all_of(all, [](const auto& one) { return one.crashes == 1; }));
    auto rescued = ids_of(all);
    std::ranges::sort(rescued);
    CHECK(rescued == ids{1, 2, 3, 4, 5});
}

TEST_CASE_METHOD(every_backend, "the dead owner's jobs are rescued, and not the living one's") {
    store->owner_dies(options(), [](backend& b) {
        put_jobs(b, {1, 2});
        claim(b, 1);
    });
    const auto living = open();
    if (!store->can().leases) {
        // What is the dead one's may come any time.
        CHECK(ids_of(rescue_dead(*living, 1)) == ids{1});
        for (const auto& one : claim(*living)) {
            CHECK(one.job.crashes == (one.job.id == 1 ? 1 : 0));
            CHECK(living->renew(std::span(&one.held, 1)).empty());
        }
        CHECK(open()->rescue(10).empty());
        return;
    }
    const auto held = claim_one(*living).held;
    store->pass(store->can().sees_death ? milliseconds(0) : store->lease());
    const auto renewed = store->now();
    CHECK(living->renew(std::span(&held, 1)).empty());
    const auto rescued = ids_of(open()->rescue(10));
    CHECK((rescued == ids{1} || store->now() - renewed >= store->lease()));
}
