// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
//
// A claim begins where the one before has ended: what comes to stand before that place is found.
#include "postgres_support.hpp"
#include "support/eventually.hpp"

#include <malloc.h>

#include <vector>

using namespace postlude;
using namespace test;
using namespace std::chrono_literals;

namespace {

struct claiming {
    std::unique_ptr<backend> open_one() {
        auto b = schema.connect();
        open_options asked;
        asked.kinds = {{"mail", 0}};
        owner = b->open(asked).owner;
        return b;
    }
    void add(backend& to, int n) {
        for (int i = 0; i < n; ++i) {
            put p;
            p.job.id = (job_id{owner} << 40) + ++count;
            p.job.kind = "mail";
            p.job.queue = "out";
            REQUIRE(to.commit({&p, 1}, {}).puts.at(0).what == put_result::outcome::stored);
        }
    }
    static std::vector<claimed_job> take(backend& from, std::size_t n = 1) {
        return from.claim(std::vector{n}, 0ms);
    }
    static void give_back(backend& to, const claimed_job& job) {
        const settlement s{job.held, verdict::give_back, {}, {}, {}};
        REQUIRE(to.commit({}, {&s, 1}).settlements.at(0) == settled::accepted);
    }

    postgres_schema schema;
    std::uint32_t owner = 0;
    job_id count = 0;
    std::unique_ptr<backend> mine = open_one();
    std::unique_ptr<backend> others = open_one();
};

}  // namespace

TEST_CASE_METHOD(claiming,
                 "postgres: what this process gives back is claimed before what is behind it") {
    add(*mine, 4);
    const auto first = take(*mine).at(0);
    take(*mine);
    give_back(*mine, first);
    CHECK(take(*mine).at(0).job.id == first.job.id);
}

TEST_CASE_METHOD(claiming, "postgres: what another process gives back is claimed soon, and once") {
    add(*mine, 2);
    const auto theirs = take(*others).at(0);
    take(*mine);
    SECTION("while there are more jobs behind it") {
        add(*mine, 2'000);
        take(*mine);
        give_back(*others, theirs);
        bool came = false;
        REQUIRE(eventually([&] {
            const auto some = take(*mine);
            came = !some.empty() && some[0].job.id == theirs.job.id;
            return came || some.empty();
        }));
        CHECK(came);  // and not when there was nothing else left
        CHECK_FALSE(take(*mine).empty());
    }
    SECTION("at once, when nothing is behind it") {
        give_back(*others, theirs);
        CHECK(take(*mine).at(0).job.id == theirs.job.id);
        CHECK(take(*mine).empty());
    }
}

TEST_CASE("postgres: full claims keep to groups, priorities and new lanes") {
    postgres_schema schema;
    const auto b = schema.connect();
    open_options asked;
    asked.groups = 2;
    asked.kinds = {{"mail", 0}, {"news", 0}, {"late", 0}, {"alone", 1}};
    const auto owner = b->open(asked).owner;
    job_id count = 0;
    const auto add = [&](const std::string& kind, std::uint8_t priority) {
        put p;
        p.job.id = (job_id{owner} << 40) + ++count;
        p.job.kind = kind;
        p.job.queue = "out";
        p.job.priority = priority;
        REQUIRE(b->commit({&p, 1}, {}).puts.at(0).what == put_result::outcome::stored);
        return p.job.id;
    };
    std::vector<job_id> urgent, others, alone;
    for (int i = 0; i < 4; ++i) {
        others.push_back(add(i % 2 == 0 ? "mail" : "news", 2));
        alone.push_back(add("alone", 3));
        urgent.push_back(add(i % 2 == 0 ? "news" : "mail", 1));
    }
    const auto next = [&](std::size_t group) {
        std::vector<std::size_t> credits(2);
        credits[group] = 1;
        const auto some = b->claim(credits, 0ms);
        return some.empty() ? job_id{} : some[0].job.id;
    };
    for (int i = 0; i < 4; ++i) {
        CHECK(next(0) == urgent[static_cast<std::size_t>(i)]);
        CHECK(next(1) == alone[static_cast<std::size_t>(i)]);
    }
    CHECK(next(0) == others[0]);
    const auto more_urgent = add("late", 0);  // a lane that was not there
    CHECK(next(0) == more_urgent);
    const auto urgent_again = add("mail", 1);
    CHECK(next(0) == urgent_again);
    CHECK(next(0) == others[1]);
    CHECK(next(0) == others[2]);
    CHECK(next(0) == others[3]);
    CHECK(next(0) == 0);
    CHECK(next(1) == 0);
}

namespace {

/// More than the sockets hold between the server and one that does not listen.
void tell_much(const psql& server, const postgres_schema& schema) {
    server("SELECT pg_notify('" + schema.name() +
           "_jobs', repeat('x', 7000) || i) FROM generate_series(1, 3000) i");
}

}  // namespace

TEST_CASE("postgres: a claim that waits looks by itself, also when nobody tells it") {
    const postgres_schema schema;
    auto options = schema.options();
    options.poll = 20ms;  // it looks after 50 of these
    const auto b = postgres_backend(options);
    b->open({.kinds = {{"mail", 0}}});
    put p;
    p.job.id = 1;
    p.job.kind = "mail";
    p.job.queue = "out";
    REQUIRE(b->commit({&p, 1}, {}).puts.at(0).what == put_result::outcome::stored);
    const psql person(schema.url);
    person(schema.sql("CREATE TABLE @aside AS SELECT * FROM @ready"));
    person(schema.sql("DELETE FROM @ready"));
    CHECK(b->claim(std::vector<std::size_t>{1}, 0ms).empty());
    // So it comes while the claim waits, and without a notification.
    std::jthread later([&] {
        const psql other(schema.url);
        // It has asked when the next one is due, and waits.
        const auto looked =
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'ClientRead'"
            " AND query LIKE '%min(%" +
            schema.name() + ".ready%'";
        if (eventually([&] { return other(looked) != "0"; })) {
            other(schema.sql("INSERT INTO @ready SELECT * FROM @aside"));
        }
    });
    CHECK(b->claim(std::vector<std::size_t>{1}, patience).size() == 1);
}

TEST_CASE("postgres: who claims nothing does not hold up what the server has to tell") {
    const bool may_claim = GENERATE(true, false);
    const postgres_schema schema;
    const auto idle = schema.connect();
    open_options asked;
    if (may_claim) {
        asked.kinds = {{"mail", 0}};
    }
    idle->open(asked);
    const psql server(schema.url);
    for (int i = 0; i < 20; ++i) {
        tell_much(server, schema);  // 5 % of what the server keeps of it before it refuses more
    }
    CHECK(eventually([&] {
        idle->renew({});
        server("SELECT pg_notify('" + schema.name() + "_jobs', 'so that the server looks')");
        return server("SELECT pg_notification_queue_usage() = 0") == "t";
    }));
}

TEST_CASE_METHOD(claiming,
                 "postgres: what the server tells one that always finds jobs is not kept") {
    add(*others, 6);
    take(*mine);
    const auto before = ::mallinfo2().uordblks;
    for (int i = 0; i < 5; ++i) {
        tell_much(psql(schema.url), schema);  // 21 MB
        REQUIRE(take(*mine).size() == 1);
    }
    CHECK(::mallinfo2().uordblks < before + 30'000'000);
}
