// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "conformance.hpp"

#include <algorithm>
#include <array>
#include <map>

using namespace postlude;
using namespace test;

TEST_CASE_METHOD(every_backend, "each amendment in each state does what it says, or nothing") {
    if (!store->can().query) {
        CHECK_FALSE(can_be_asked(*open()));
        return;
    }
    struct expectation {
        amendment what;
        std::map<job_state, amended> answers;
    };
    const auto yes = amended::changed;
    const auto no = amended::not_possible;
    const expectation expectations[] = {{amendment::retry,
                                         {{job_state::ready, yes},
                                          {job_state::claimed, no},
                                          {job_state::done, yes},
                                          {job_state::dead, yes},
                                          {job_state::quarantined, yes},
                                          {job_state::cancelled, yes}}},
                                        {amendment::cancel,
                                         {{job_state::ready, yes},
                                          {job_state::claimed, yes},
                                          {job_state::done, no},
                                          {job_state::dead, no},
                                          {job_state::quarantined, no},
                                          {job_state::cancelled, no}}},
                                        {amendment::erase,
                                         {{job_state::ready, yes},
                                          {job_state::claimed, yes},
                                          {job_state::done, yes},
                                          {job_state::dead, yes},
                                          {job_state::quarantined, yes},
                                          {job_state::cancelled, yes}}}};
    for (const auto& [what, answers] : expectations) {
        store->owner_dies(options(), [what = what](backend& b) {
            put_one(b, a_claimed_job(100 * (1 + static_cast<job_id>(what)) +
                                     static_cast<job_id>(job_state::quarantined)));
        });
    }
    auto strict = options();
    strict.quarantine_after = 1;
    const auto b = open(strict);
    REQUIRE(rescue_dead(*b, 3).size() == 3);

    for (const auto& [what, answers] : expectations) {
        for (const auto state : every_state) {
            const auto id = 100 * (1 + static_cast<job_id>(what)) + static_cast<job_id>(state);
            CAPTURE(static_cast<int>(what), static_cast<int>(state));
            const auto held = bring_to(*b, id, state);
            REQUIRE(state_of(*b, id) == state);
            const auto answer = amend(*b, id, what);
            CHECK(answer == answers.at(state));
            if (answer == no) {
                CHECK(state_of(*b, id) == state);
            } else if (what == amendment::retry) {
                const auto view = look(*b, id);
                CHECK(view.state == job_state::ready);
                CHECK(view.job.failures == 0);
                CHECK(view.job.crashes == 0);
                CHECK_FALSE(view.ended);
            } else if (what == amendment::cancel) {
                CHECK(state_of(*b, id) == job_state::cancelled);
                CHECK(look(*b, id).ended);
            } else {
                CHECK_FALSE(exists(*b, id));
                CHECK(b->history(id).empty());
            }
            const bool still_held = state == job_state::claimed && answer == no;
            CHECK(settle(*b, held, verdict::done) ==
                  (still_held ? settled::accepted : settled::lost_lease));
        }
    }
    CHECK(claim(*b).size() == 5);
}

TEST_CASE_METHOD(every_backend, "a retry makes a scheduled job ready now") {
    if (!store->can().query) {
        CHECK_FALSE(can_be_asked(*open()));
        return;
    }
    const auto b = open();
    auto later = a_job(1);
    later.delay = std::chrono::hours(1);
    put_one(*b, later);
    CHECK(claim(*b).empty());
    CHECK(amend(*b, 1, amendment::retry) == amended::changed);
    CHECK(claim_one(*b).job.id == 1);
}

TEST_CASE_METHOD(every_backend, "an amendment answers for each id, in their order") {
    if (!store->can().query) {
        CHECK_FALSE(can_be_asked(*open()));
        return;
    }
    const auto b = open();
    put_jobs(*b, {1, 2, 3});
    claim(*b, 1);
    const ids wanted{3, 99, 1, 2};
    CHECK(b->amend(wanted, amendment::retry) == std::vector{amended::changed, amended::not_found,
                                                            amended::not_possible,
                                                            amended::changed});
    CHECK(b->amend({}, amendment::erase).empty());
}

TEST_CASE_METHOD(every_backend, "an erased job's id can be stored again") {
    if (!store->can().query) {
        CHECK_FALSE(can_be_asked(*open()));
        return;
    }
    const auto b = open();
    put_jobs(*b, {1});
    amend(*b, 1, amendment::erase);
    put_jobs(*b, {1});
    CHECK(claim_one(*b).job.id == 1);
}

TEST_CASE_METHOD(every_backend, "find: by each field, by all of them together, up to the limit") {
    if (!store->can().query) {
        CHECK_FALSE(can_be_asked(*open()));
        return;
    }
    const auto b = open();
    std::vector<put> puts{a_job(1), a_job(2, "b"), a_job(3), a_job(4), a_job(5, "unknown")};
    puts[2].job.queue = "slow";
    puts[0].job.tags = {"customer:7", "x"};
    puts[1].job.tags = {"customer:7"};
    puts[3].job.tags = {"customer:77"};
    puts[0].job.request_id = "r1";
    puts[3].job.request_id = "r1";
    b->commit(puts, {});
    CHECK(ids_of(claim(*b, 1)) == ids{1});

    CHECK(found(*b, {}) == ids{1, 2, 3, 4, 5});
    CHECK(found(*b, {.ids = {5, 2, 99}}) == ids{2, 5});
    CHECK(found(*b, {.state = job_state::claimed}) == ids{1});
    CHECK(found(*b, {.state = job_state::ready}) == ids{2, 3, 4, 5});
    CHECK(found(*b, {.kind = "a"}) == ids{1, 3, 4});
    CHECK(found(*b, {.kind = "nothing"}).empty());
    CHECK(found(*b, {.queue = "slow"}) == ids{3});
    CHECK(found(*b, {.tag = "customer:7"}) == ids{1, 2});
    CHECK(found(*b, {.tag = "customer"}).empty());
    CHECK(found(*b, {.tag = "%"}).empty());
    CHECK(found(*b, {.request_id = "r1"}) == ids{1, 4});

    CHECK(found(*b, {.kind = "a", .request_id = "r1"}) == ids{1, 4});
    CHECK(found(*b, {.state = job_state::ready, .kind = "a", .request_id = "r1"}) == ids{4});
    CHECK(found(*b, {.ids = {1, 2, 3},
                     .state = job_state::claimed,
                     .kind = "a",
                     .queue = "mail",
                     .tag = "x",
                     .request_id = "r1"}) == ids{1});
    CHECK(found(*b, {.ids = {1}, .queue = "slow"}).empty());

    CHECK(b->find({.limit = 2}).size() == 2);
    CHECK(b->find({.kind = "a", .limit = 2}).size() == 2);
    CHECK(b->find({.limit = 0}).empty());
}

TEST_CASE_METHOD(every_backend, "a view says where a job stands, whose it is and since when") {
    if (!store->can().query) {
        CHECK_FALSE(can_be_asked(*open()));
        return;
    }
    const auto b = store->connect();
    const auto owner = b->open(options()).owner;
    auto one = a_job(1);
    one.job.tags = {"t"};
    one.delay = store->lease() / 10;
    const auto stored = timed([&] { put_one(*b, one); });
    const auto grain = store->grain();
    auto view = look(*b, 1);
    CHECK(view.job.tags == one.job.tags);
    CHECK(view.created >= stored.earliest - grain);
    CHECK(view.created <= stored.latest + grain);
    CHECK(view.run_at >= stored.earliest + one.delay - grain);
    CHECK(view.run_at <= stored.latest + one.delay + grain);
    CHECK_FALSE(view.claimed);
    CHECK_FALSE(view.ended);
    CHECK(view.owner == 0);
    CHECK(view.reason.empty());

    store->pass(one.delay + grain);
    const auto claimed = timed([&] { claim_one(*b); });
    view = look(*b, 1);
    REQUIRE(view.claimed);
    CHECK(*view.claimed >= claimed.earliest - grain);
    CHECK(*view.claimed <= claimed.latest + grain);
    CHECK(view.owner == owner);
    CHECK_FALSE(view.ended);
}

TEST_CASE_METHOD(every_backend, "the history of a job has each of its steps, in order") {
    if (!store->can().query) {
        CHECK_FALSE(can_be_asked(*open()));
        CHECK_FALSE(store->can().history);
        CHECK(open()->history(1).empty());
        return;
    }
    store->owner_dies(options(), [](backend& b) {
        auto one = a_claimed_job(1);
        one.job.request_id = "request-7";
        settle(b, put_one(b, one).held, verdict::give_back, "shutdown");
        settle(b, claim_one(b).held, verdict::retry, "no route");
        claim_one(b);
    });
    const auto b = store->connect();
    const auto owner = b->open(options()).owner;
    REQUIRE(rescue_dead(*b, 1).size() == 1);
    settle(*b, claim_one(*b).held, verdict::dead, "mailbox gone");
    for (const auto what : {amendment::retry, amendment::cancel, amendment::retry}) {
        CHECK(amend(*b, 1, what) == amended::changed);
    }
    settle(*b, claim_one(*b).held, verdict::done);

    const auto steps = b->history(1);
    if (!store->can().history) {
        CHECK(steps.empty());
        return;
    }
    const auto* const crash = store->can().sees_death ? "crashed" : "lease ended";
    enum class whose { nobody, first, second };
    struct expected {
        std::string what;
        unsigned attempt;
        whose owner;
        std::string reason;
    };
    const std::vector<expected> all{{"enqueued", 0, whose::nobody, ""},
                                    {"claimed", 1, whose::first, ""},
                                    {"given back", 1, whose::first, "shutdown"},
                                    {"claimed", 2, whose::first, ""},
                                    {"failed", 2, whose::first, "no route"},
                                    {"claimed", 3, whose::first, ""},
                                    {crash, 3, whose::first, "*"},
                                    {"claimed", 4, whose::second, ""},
                                    {"failed", 4, whose::second, "mailbox gone"},
                                    {"dead", 4, whose::nobody, ""},
                                    {"retried by hand", 4, whose::nobody, ""},
                                    {"cancelled", 4, whose::nobody, ""},
                                    {"retried by hand", 4, whose::nobody, ""},
                                    {"claimed", 5, whose::second, ""},
                                    {"done", 5, whose::second, ""}};
    REQUIRE(steps.size() == all.size());
    const auto first = steps[1].owner;
    CHECK(first != owner);
    CHECK(first != 0);
    for (std::size_t i = 0; i < all.size(); ++i) {
        CAPTURE(i);
        CHECK(steps[i].what == all[i].what);
        CHECK(steps[i].attempt == all[i].attempt);
        if (all[i].owner != whose::nobody) {
            CHECK(steps[i].owner == (all[i].owner == whose::first ? first : owner));
        }
        CHECK((all[i].reason == "*" ? !steps[i].reason.empty() : steps[i].reason == all[i].reason));
        CHECK((i == 0 || steps[i].at >= steps[i - 1].at));
    }
    CHECK(look(*b, 1).job.request_id == "request-7");
    CHECK(b->history(99).empty());
}

TEST_CASE_METHOD(every_backend, "the history tells the culprit of a crash from those it spared") {
    if (!store->can().query) {
        CHECK_FALSE(can_be_asked(*open()));
        CHECK_FALSE(store->can().history);
        CHECK(open()->history(1).empty());
        return;
    }
    put_suspects({1});
    store->owner_dies(options(), [](backend& b) {
        put_jobs(b, {2});
        claim(b);
    });
    auto strict = options();
    strict.quarantine_after = 2;
    const auto b = open(strict);
    REQUIRE(rescue_dead(*b, 2).size() == 2);
    const auto* const crash = store->can().sees_death ? "crashed" : "lease ended";
    if (store->can().history) {
        const auto culprit = b->history(1);
        CHECK(culprit.at(culprit.size() - 2).what == crash);
        CHECK(culprit.back().what == "quarantined");
        CHECK(b->history(2).back().what == "given back");
    }
}
