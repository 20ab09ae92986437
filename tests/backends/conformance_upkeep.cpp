// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "conformance.hpp"

#include <algorithm>

using namespace postlude;
using namespace test;
using std::chrono::milliseconds;

namespace {

std::size_t prune_all(backend& b, const retention& keep) {
    std::size_t all = 0;
    while (const auto some = b.prune(keep)) {
        all += some;
    }
    return all;
}

}  // namespace

TEST_CASE_METHOD(every_backend, "stats: what each queue and kind has in each state, and how old") {
    const auto b = open();
    if (!can_be_asked(*b)) {
        // What is ready of each kind is known, and how many are dead.
        const std::vector<put> puts{a_job(1), a_job(2), a_job(3, "b")};
        b->commit(puts, {});
        CHECK(stats_of(*b, "", "a").ready == 2);
        CHECK(stats_of(*b, "", "b").ready == 1);
        settle(*b, claim(*b, 1).at(0).held, verdict::dead);
        CHECK(stats_of(*b, "", "a").ready + stats_of(*b, "", "b").ready == 2);
        CHECK(count_dead(*b) == 1);
        return;
    }
    auto later = a_job(3);
    later.delay = std::chrono::hours(1);
    auto slow = a_job(4);
    slow.job.queue = "slow";
    const std::vector<put> old{a_job(1), later};
    const auto stored = timed([&] { b->commit(old, {}); });
    store->pass(store->lease());
    const std::vector<put> fresh{a_job(2),      slow,          a_job(5, "b"),   a_job(6, "b"),
                                 a_job(7, "b"), a_job(8, "b"), a_claimed_job(9)};
    const auto result = b->commit(fresh, {});
    std::vector<claimed_job> of_b;
    std::ranges::copy_if(b->claim(std::vector<std::size_t>{5, 0}, {}), std::back_inserter(of_b),
                         [](const auto& one) { return one.job.kind == "b"; });
    // 1, 2, 4, 5 and 6 were claimed.
    REQUIRE(ids_of(of_b) == ids{5, 6});
    settle(*b, of_b[0].held, verdict::dead);
    settle(*b, of_b[1].held, verdict::done);
    settle(*b, result.puts.back().held, verdict::withdrawn);

    auto mail_a = stats_of(*b, "mail", "a");
    CHECK(mail_a.ready == 0);
    CHECK(mail_a.scheduled == 1);
    CHECK(mail_a.claimed == 2);
    CHECK(mail_a.dead == 0);
    CHECK_FALSE(mail_a.oldest_ready);
    CHECK(stats_of(*b, "slow", "a").claimed == 1);
    const auto mail_b = stats_of(*b, "mail", "b");
    CHECK(mail_b.ready == 2);
    CHECK(mail_b.scheduled == 0);
    CHECK(mail_b.claimed == 0);
    CHECK(mail_b.dead == 1);
    CHECK(mail_b.oldest_ready);
    CHECK(stats_of(*b, "slow", "b").ready == 0);

    store->pass(store->lease());
    for (const auto& one : b->find({.state = job_state::claimed})) {
        CHECK(one.job.kind == "a");
    }
    REQUIRE(open()->rescue(10).size() == 3);
    mail_a = stats_of(*b, "mail", "a");
    CHECK(mail_a.ready == 2);
    REQUIRE(mail_a.oldest_ready);
    // A job that comes back is as old as before.
    CHECK(*mail_a.oldest_ready >= 2 * store->lease() - store->grain());
    CHECK(*mail_a.oldest_ready <= store->now() - stored.earliest + store->grain());
}

TEST_CASE_METHOD(every_backend, "prune keeps so many of the done jobs, the latest") {
    if (!store->can().query) {
        // Nothing is kept of what is done.
        const auto b = open();
        settle(*b, hold(*b, 1), verdict::done);
        CHECK(prune_all(*b, {.done_count = 0}) == 0);
        return;
    }
    const auto b = open();
    for (job_id id = 1; id <= 6; ++id) {
        bring_to(*b, id, job_state::done);
        store->pass(std::max(store->grain(), milliseconds(1)));
    }
    CHECK(prune_all(*b, {}) == 0);
    CHECK(prune_all(*b, {.done_count = 2}) == 4);
    CHECK(found(*b, {}) == ids{5, 6});
    CHECK(b->history(1).empty());
    CHECK(prune_all(*b, {.done_count = 0}) == 2);
}

TEST_CASE_METHOD(every_backend, "prune removes done jobs that are too old") {
    if (!store->can().query) {
        // Nothing is kept of what is done.
        const auto b = open();
        settle(*b, hold(*b, 1), verdict::done);
        CHECK(prune_all(*b, {.done_count = 0}) == 0);
        return;
    }
    const auto b = open();
    bring_to(*b, 1, job_state::done);
    store->pass(milliseconds(1'100));
    const auto young = timed([&] { bring_to(*b, 2, job_state::done); });
    prune_all(*b, {.done_age = std::chrono::seconds(1)});
    const bool still_young = store->now() - young.earliest < std::chrono::seconds(1);
    CHECK_FALSE(exists(*b, 1));
    CHECK((exists(*b, 2) || !still_young));
}

TEST_CASE_METHOD(every_backend,
                 "prune touches no job that has not ended, and keeps the dead longer") {
    if (!store->can().query) {
        const auto b = open();
        settle(*b, hold(*b, 1), verdict::dead);
        put_jobs(*b, {2});
        CHECK(prune_all(*b, {}) == 0);
        CHECK(count_dead(*b) == 1);
        CHECK(claim_one(*b).job.id == 2);
        return;
    }
    store->owner_dies(options(), [](backend& b) { put_one(b, a_claimed_job(5)); });
    auto strict = options();
    strict.quarantine_after = 1;
    const auto b = open(strict);
    rescue_dead(*b, 1);
    for (const auto state : every_state) {
        bring_to(*b, static_cast<job_id>(state), state);
    }
    auto later = a_job(7);
    later.delay = std::chrono::hours(1);
    put_one(*b, later);
    REQUIRE(state_of(*b, 5) == job_state::quarantined);
    store->pass(milliseconds(10));

    const retention no_time{.done_age = std::chrono::seconds(0), .done_count = 0};
    CHECK(prune_all(*b, no_time) == 1);
    CHECK(found(*b, {}) == ids{1, 2, 4, 5, 6, 7});
    auto none_at_all = no_time;
    none_at_all.dead_age = std::chrono::seconds(0);
    CHECK(prune_all(*b, none_at_all) == 3);
    CHECK(found(*b, {}) == ids{1, 2, 7});
}

TEST_CASE_METHOD(every_backend, "a job's age is counted from when it was due") {
    const auto b = open();
    if (!can_be_asked(*b)) {
        return;
    }
    auto later = a_job(1);
    later.delay = store->lease();
    const auto stored = timed([&] { put_one(*b, later); });
    store->pass(store->lease() * 5 / 4);
    const auto age = stats_of(*b, "mail", "a").oldest_ready;
    REQUIRE(age);
    CHECK(*age >= store->lease() / 4 - store->grain());
    CHECK(*age <= store->now() - stored.earliest - later.delay + store->grain());
}
