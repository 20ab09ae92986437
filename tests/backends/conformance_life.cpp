// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "conformance.hpp"

#include <algorithm>
#include <atomic>
#include <set>
#include <thread>

using namespace postlude;
using namespace test;
using outcome = put_result::outcome;

TEST_CASE_METHOD(every_backend, "a store declares exactly what it can do, and numbers its owners") {
    const auto first = store->connect();
    const auto second = store->connect();
    const auto opened = first->open(options());
    const auto expected = store->can();
    CHECK(opened.can.stored_as_claimed == expected.stored_as_claimed);
    CHECK(opened.can.atomic_follow_ups == expected.atomic_follow_ups);
    CHECK(opened.can.leases == expected.leases);
    CHECK(opened.can.sees_death == expected.sees_death);
    CHECK(opened.can.exact_crash_counts == expected.exact_crash_counts);
    CHECK(opened.can.priorities == expected.priorities);
    CHECK(opened.can.exact_order == expected.exact_order);
    CHECK(opened.can.unique_ids == expected.unique_ids);
    CHECK(opened.can.history == expected.history);
    CHECK(opened.can.query == expected.query);
    CHECK(opened.can.callers_transaction == expected.callers_transaction);
    CHECK(opened.can.longest_delay == expected.longest_delay);
    CHECK(opened.can.commits_at_once == expected.commits_at_once);
    CHECK(opened.owner > 0);
    CHECK(opened.owner < (1u << 23));
    CHECK(opened.owner != second->open(options()).owner);
}

TEST_CASE_METHOD(every_backend, "an owner's number is not given to another process again") {
    const auto first = store->connect()->open(options()).owner;
    CHECK(store->connect()->open(options()).owner != first);
}

TEST_CASE_METHOD(every_backend, "a stored job is claimed by one process, as it was stored") {
    const auto b = open();
    auto one = a_job(17);
    one.job.arguments = R"({"to":"ann@example.org"})";
    one.job.request_id = "request-1";
    one.job.tags = {"customer:7", "invoice"};
    one.job.priority = 2;
    one.job.failures = 4;
    const auto result = put_one(*b, one);
    CHECK(result.what == outcome::stored);
    check_state(*b, 17, job_state::ready);

    const auto other = open();
    const auto claimed = claim_one(*other);
    CHECK(claimed.job.id == 17);
    CHECK(claimed.job.kind == "a");
    CHECK(claimed.job.queue == "mail");
    CHECK(claimed.job.arguments == one.job.arguments);
    CHECK(claimed.job.request_id == "request-1");
    CHECK(claimed.job.tags == one.job.tags);
    CHECK(claimed.job.priority == 2);
    CHECK(claimed.job.failures == 4);
    CHECK(claimed.job.crashes == 0);
    check_state(*b, 17, job_state::claimed);
    CHECK(claim(*b).empty());
    CHECK(claim(*other).empty());
}

TEST_CASE_METHOD(every_backend, "a job that is done ends, and does not come back") {
    const auto b = open();
    put_jobs(*b, {1});
    const auto held = claim_one(*b).held;
    check_view(*b, 1, [](const job_view& view) { CHECK_FALSE(view.ended); });
    CHECK(settle(*b, held, verdict::done) == settled::accepted);
    check_view(*b, 1, [](const job_view& view) {
        CHECK(view.state == job_state::done);
        CHECK(view.claimed >= view.created);
        CHECK(view.ended >= view.claimed);
        CHECK(view.job.failures == 0);
    });
    CHECK(claim(*b).empty());
    CHECK(claim(*open()).empty());
}

TEST_CASE_METHOD(every_backend, "a failed job is ready again after its delay, one failure later") {
    const auto b = open();
    put_jobs(*b, {1});
    const auto held = claim_one(*b).held;
    const auto delay = store->lease() / 2;
    const auto failed = timed([&] { settle(*b, held, verdict::retry, "no route to host", delay); });
    check_view(*b, 1, [](const job_view& view) {
        CHECK(view.state == job_state::ready);
        CHECK(view.job.failures == 1);
        CHECK(view.reason == "no route to host");
    });
    const auto again = comes_after(failed, delay, [&] { return claim(*b); });
    CHECK(again.at(0).job.failures == 1);
    CHECK(again.at(0).held != held);
}

TEST_CASE_METHOD(every_backend, "a failed job without a delay is ready at once") {
    const auto b = open();
    put_jobs(*b, {1});
    for (unsigned failures = 0; failures < 3; ++failures) {
        const auto claimed = claim_one(*b);
        CHECK(claimed.job.failures == failures);
        CHECK(settle(*b, claimed.held, verdict::retry) == settled::accepted);
    }
}

TEST_CASE_METHOD(every_backend, "a dead job is kept with its reason, and does not come back") {
    const auto b = open();
    put_jobs(*b, {1});
    CHECK(settle(*b, claim_one(*b).held, verdict::dead, "mailbox gone") == settled::accepted);
    check_view(*b, 1, [](const job_view& view) {
        CHECK(view.state == job_state::dead);
        CHECK(view.job.failures == 1);
        CHECK(view.reason == "mailbox gone");
        CHECK(view.ended);
    });
    CHECK(count_dead(*b) == 1);
    CHECK(claim(*b).empty());
}

TEST_CASE_METHOD(every_backend, "where no job is stored as claimed, one can be stored as dead") {
    const auto b = open();
    auto one = a_job(1);
    one.dead_because = "it can't be read";
    if (!store->can().stored_as_claimed) {
        CHECK(put_one(*b, one).what == outcome::stored);
        CHECK(count_dead(*b) == 1);
    }
    CHECK(claim(*b).empty());
}

TEST_CASE_METHOD(every_backend, "a job that is given back counts nothing and keeps its place") {
    const auto b = open();
    put_jobs(*b, {1});
    const auto held = claim_one(*b).held;
    store->pass(std::max(store->grain(), std::chrono::milliseconds(1)));
    put_jobs(*b, {2});
    store->pass(std::max(store->grain(), std::chrono::milliseconds(1)));
    CHECK(settle(*b, held, verdict::give_back, "shutdown") == settled::accepted);
    const auto claimed = claim(*open());
    CHECK(are(ids_of(claimed), {1, 2}));
    for (const auto& one : claimed) {
        CHECK(one.job.failures == 0);
        CHECK(one.job.crashes == 0);
    }
}

TEST_CASE_METHOD(every_backend, "a withdrawn job leaves no trace") {
    const auto b = open();
    CHECK(settle(*b, hold(*b, 1), verdict::withdrawn) == settled::accepted);
    check_absent(*b, 1);
    CHECK(claim(*b).empty());
    CHECK(stats_of(*b, "mail", "a").claimed == 0);
}

TEST_CASE_METHOD(every_backend, "a job can be stored as claimed: nobody else gets it") {
    const auto b = open();
    const auto held = hold(*b, 1);
    const auto other = open();
    CHECK(claim(*other).empty());
    CHECK(claim(*b).empty());
    check_state(*b, 1, job_state::claimed);
    CHECK(b->renew(std::span(&held, 1)).empty());
    CHECK(settle(*b, held, verdict::done) == settled::accepted);
    check_state(*b, 1, job_state::done);
}

TEST_CASE_METHOD(every_backend, "a job with a delay can't be claimed before its time") {
    const auto b = open();
    const auto delay = store->lease() / 2;
    auto later = a_job(1);
    later.delay = delay;
    const auto stored = timed([&] { put_one(*b, later); });
    CHECK(ids_of(comes_after(stored, delay, [&] { return claim(*b); })) == ids{1});
}

TEST_CASE_METHOD(every_backend, "a second verdict on the same claim is refused") {
    const auto b = open();
    put_jobs(*b, {1});
    const auto held = claim_one(*b).held;
    CHECK(settle(*b, held, verdict::retry) == settled::accepted);
    CHECK(settle(*b, held, verdict::done) == settled::lost_lease);
    const auto again = claim_one(*b).held;
    CHECK(settle(*b, held, verdict::done) == settled::lost_lease);
    CHECK(settle(*b, again, verdict::done) == settled::accepted);
    CHECK(settle(*b, again, verdict::withdrawn) == settled::lost_lease);
    check_state(*b, 1, job_state::done);
    CHECK(claim(*b).empty());
}

TEST_CASE_METHOD(every_backend, "who has lost the lease changes nothing, whatever the verdict") {
    const auto slow = open();
    put_jobs(*slow, {1});
    const auto held = claim_one(*slow).held;
    if (store->can().leases) {
        store->pass(store->lease());
    } else {
        store->cut();
    }
    const auto quick = open();
    REQUIRE((store->can().leases ? quick->rescue(10) : rescue_dead(*quick, 1)).size() == 1);

    const auto refused = [&](job_state now) {
        for (const auto what : {verdict::done, verdict::retry, verdict::give_back, verdict::dead,
                                verdict::withdrawn}) {
            CHECK(settle(*slow, {held, what, {}, "too late", {a_job(2)}}) == settled::lost_lease);
            check_view(*slow, 1, [now](const job_view& view) {
                CHECK(view.state == now);
                CHECK(view.job.failures == 0);
                CHECK(view.reason != "too late");
            });
            check_absent(*slow, 2);
        }
        CHECK(slow->renew(std::span(&held, 1)) == std::vector{held});
    };
    refused(job_state::ready);
    const auto taken = claim_one(*quick).held;
    refused(job_state::claimed);
    CHECK(settle(*quick, taken, verdict::done) == settled::accepted);
    refused(job_state::done);
    CHECK(count_dead(*quick) == 0);
    CHECK(claim(*quick).empty());
}

TEST_CASE_METHOD(every_backend, "follow-ups are stored with the verdict, ready or delayed") {
    const auto b = open();
    put_jobs(*b, {1});
    auto later = a_job(3);
    later.delay = std::chrono::hours(1);
    const auto held = claim_one(*b).held;
    CHECK(settle(*b, {held, verdict::done, {}, {}, {a_job(2), later}}) == settled::accepted);
    check_state(*b, 1, job_state::done);
    check_state(*b, 3, job_state::ready);
    CHECK(ids_of(claim(*b)) == ids{2});
}

TEST_CASE_METHOD(every_backend, "nobody sees a verdict without its follow-up, nor the reverse") {
    constexpr job_id pairs = 100;
    const auto b = open();
    if (!store->can().atomic_follow_ups) {
        // But what is answered as accepted has its follow-up.
        for (job_id id = 1; id <= 10; ++id) {
            const auto one = hold(*b, id);
            CHECK(settle(*b, {one, verdict::done, {}, {}, {a_job(id + pairs)}}) ==
                  settled::accepted);
            CHECK(settle(*b, claim_one(*b).held, verdict::done) == settled::accepted);
        }
        return;
    }
    const auto watcher = open();
    std::vector<receipt> held;
    for (job_id id = 1; id <= pairs; ++id) {
        held.push_back(put_one(*b, a_claimed_job(id)).held);
    }
    std::atomic<job_id> at{1};
    std::atomic<int> torn{0};
    std::jthread watching([&] {
        while (at <= pairs) {
            const job_id id = at;
            const auto seen = watcher->find({.ids = {id, id + pairs}});
            const bool done = !seen.empty() && (seen.front().state == job_state::done ||
                                                seen.back().state == job_state::done);
            torn += seen.empty() || done != (seen.size() == 2) ? 1 : 0;
        }
    });
    for (; at <= pairs; ++at) {
        const job_id id = at;
        settle(*b, {held[id - 1], verdict::done, {}, {}, {a_job(id + pairs)}});
    }
    watching.join();
    CHECK(torn == 0);
}

TEST_CASE_METHOD(every_backend, "a batch is answered in its order, each entry for itself") {
    const auto b = open();
    put_jobs(*b, {1, 2});
    const auto held = claim(*b);
    settle(*b, held.at(0).held, verdict::done);
    const std::vector<put> puts{a_job(3), a_job(1), a_claimed_job(4), a_job(3), a_job(5)};
    const std::vector<settlement> settlements{is_done(held.at(0).held), is_done(held.at(1).held)};
    const auto result = b->commit(puts, settlements);
    REQUIRE(result.puts.size() == 5);
    CHECK(result.puts[0].what == outcome::stored);
    const auto twice = store->can().unique_ids ? outcome::refused : outcome::stored;
    const auto as_claimed = store->can().stored_as_claimed ? outcome::stored : outcome::refused;
    CHECK(result.puts[1].what == twice);
    CHECK(result.puts[2].what == as_claimed);
    CHECK(result.puts[3].what == twice);
    CHECK(result.puts[4].what == outcome::stored);
    REQUIRE(result.settlements.size() == 2);
    CHECK(result.settlements[0] == settled::lost_lease);
    CHECK(result.settlements[1] == settled::accepted);
    check_state(*b, 1, job_state::done);
    check_state(*b, 2, job_state::done);
    CHECK(settle(*b, result.puts[2].held, verdict::done) ==
          (as_claimed == outcome::stored ? settled::accepted : settled::lost_lease));
    CHECK(ids_of(claim(*b)) == (store->can().unique_ids ? ids{3, 5} : ids{3, 1, 3, 5}));
}

TEST_CASE_METHOD(every_backend, "ids of 1 to 2^63 - 1 are stored, others refused") {
    const auto b = open();
    constexpr job_id largest = (job_id{1} << 63) - 1;
    CHECK(put_one(*b, a_job(0)).what == outcome::refused);
    CHECK(put_one(*b, a_job(largest + 1)).what == outcome::refused);
    CHECK(put_one(*b, a_job(1)).what == outcome::stored);
    CHECK(put_one(*b, a_job(largest)).what == outcome::stored);
    CHECK(ids_of(claim(*b)) == ids{1, largest});
}

TEST_CASE_METHOD(every_backend, "a batch of nothing is allowed") {
    const auto result = open()->commit({}, {});
    CHECK(result.puts.empty());
    CHECK(result.settlements.empty());
}

TEST_CASE_METHOD(every_backend, "commits that are under way at the same time do not get mixed up") {
    constexpr job_id rounds = 30;
    constexpr job_id size = 8;
    const auto b = open();
    const auto threads = store->can().commits_at_once;
    std::vector<std::vector<commit_result>> results(threads);
    {
        std::vector<std::jthread> committing;
        for (std::size_t t = 0; t != threads; ++t) {
            committing.emplace_back([&, t] {
                for (job_id round = 0; round != rounds; ++round) {
                    std::vector<put> puts;
                    for (job_id i = 1; i <= size; ++i) {
                        puts.push_back(a_job(((t * rounds) + round) * size + i));
                    }
                    puts.push_back(a_job(0));  // which no store takes
                    results[t].push_back(b->commit(puts, {}));
                }
            });
        }
    }
    for (const auto& all : results) {
        REQUIRE(all.size() == rounds);
        for (const auto& one : all) {
            REQUIRE(one.puts.size() == size + 1);
            CHECK(std::ranges::count(one.puts, outcome::stored, &put_result::what) == size);
            CHECK(one.puts.back().what == outcome::refused);
        }
    }
    std::set<job_id> seen;
    while (seen.size() != threads * rounds * size) {
        const std::vector<std::size_t> credits{1'000, 0};
        const auto some = b->claim(credits, patience);
        REQUIRE(!some.empty());
        std::vector<settlement> done;
        for (const auto& one : some) {
            CHECK(seen.insert(one.job.id).second);
            done.push_back(is_done(one.held));
        }
        const auto ended = b->commit({}, done).settlements;
        CHECK(std::ranges::count(ended, settled::accepted) ==
              static_cast<std::ptrdiff_t>(done.size()));
    }
    CHECK(claim(*b).empty());
}
