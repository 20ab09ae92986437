// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
//
// What a group commit is to the server.
#include "postgres_support.hpp"

#include "conformance.hpp"

#include <algorithm>
#include <string>
#include <vector>

using namespace postlude;
using namespace test;

namespace {

/// Hears what is told to the claims of a schema.
class listener {
public:
    explicit listener(const postgres_schema& schema) : person_(schema.url) {
        person_("LISTEN " + schema.name() + "_jobs");
    }
    /// How many notifications there were since it was asked last.
    int heard() {
        person_("SELECT 1");  // what was committed before is delivered before the answer
        int n = 0;
        while (auto* one = PQnotifies(person_.handle())) {
            PQfreemem(one);
            ++n;
        }
        return n;
    }

private:
    psql person_;
};

}  // namespace

TEST_CASE("postgres: a group commit is one transaction, and one notification") {
    const postgres_schema schema;
    const auto b = schema.connect();
    b->open({.kinds = {{"a", 0}, {"b", 0}}});
    put_jobs(*b, {1, 2, 3, 4});
    auto held = claim(*b);
    REQUIRE(held.size() == 4);

    std::vector<put> puts;
    for (job_id id = 100; id < 400; ++id) {
        puts.push_back(a_job(id, id % 2 == 0 ? "a" : "b"));
    }
    puts.at(0).job.tags = {"customer:7"};
    puts.at(1).claimed = true;
    std::vector<settlement> settlements{is_done(held[0].held),
                                        {held[1].held, verdict::retry, {}, "no route", {}},
                                        {held[2].held, verdict::dead, {}, "no such route", {}},
                                        {held[3].held, verdict::give_back, {}, {}, {}}};
    settlements[0].follow_ups.push_back(a_job(500));
    listener claims(schema);
    REQUIRE(claims.heard() == 0);
    const auto result = b->commit(puts, settlements);
    CHECK(std::ranges::all_of(
        result.puts, [](const put_result& r) { return r.what == put_result::outcome::stored; }));
    CHECK(
        std::ranges::all_of(result.settlements, [](settled s) { return s == settled::accepted; }));
    CHECK(claims.heard() == 1);

    // The transaction that a row is of, in every table that the commit has written to.
    const psql person(schema.url);
    CHECK(person(schema.sql("SELECT count(DISTINCT t) FROM ("
                            "SELECT xmin::text AS t FROM @jobs WHERE job >= 100 OR failures > 0"
                            " UNION ALL SELECT xmin::text FROM @ready"
                            " UNION ALL SELECT xmin::text FROM @claimed"
                            " UNION ALL SELECT xmin::text FROM @ended"
                            " UNION ALL SELECT xmin::text FROM @runs"
                            " UNION ALL SELECT xmin::text FROM @job_tags) rows")) == "1");
    CHECK(person(schema.sql("SELECT count(*) FROM @jobs WHERE job >= 100")) == "301");
}

TEST_CASE("postgres: what makes nothing ready wakes nobody") {
    const postgres_schema schema;
    const auto b = schema.connect();
    b->open({.kinds = {{"a", 0}}});
    put_jobs(*b, {1, 2});
    const auto held = claim(*b);
    REQUIRE(held.size() == 2);
    listener claims(schema);
    settle(*b, held[0].held, verdict::done);
    settle(*b, held[1].held, verdict::dead, "no such route");
    put_one(*b, a_claimed_job(3));
    CHECK(claims.heard() == 0);
    put_jobs(*b, {4});
    CHECK(claims.heard() == 1);
}

TEST_CASE("postgres: what is committed is on the disk before anybody is told") {
    store_server server("postgres");  // no other client has its log flushed
    const postgres_schema schema(server);
    const auto b = schema.connect();
    b->open({.kinds = {{"a", 0}}});
    const psql person(schema.url);
    std::string before;
    const auto begin = [&] { before = person("SELECT pg_current_wal_insert_lsn()"); };
    // Up to the end of the log it need not be: the server itself notes things there now and then.
    const auto written = [&] {
        return person("SELECT pg_current_wal_flush_lsn() > '" + before + "'") == "t";
    };
    for (job_id id = 1; id != 20; ++id) {
        CAPTURE(id);
        const bool claimed = id % 2 == 0;
        begin();
        const auto held = put_one(*b, claimed ? a_claimed_job(id) : a_job(id)).held;
        CHECK(written());
        if (claimed) {
            begin();
            settle(*b, held, verdict::done);
            CHECK(written());
        }
    }
}

TEST_CASE("postgres: a commit that the server has ended over a deadlock is done again") {
    const postgres_schema schema;
    const auto b = schema.connect();
    b->open({.kinds = {{"a", 0}}});
    put_jobs(*b, {1});  // which makes the lane
    const psql person(schema.url);
    person(schema.sql("CREATE SEQUENCE @tries"));
    person(
        schema.sql("CREATE FUNCTION @collide() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                   " IF nextval('@tries') <= 3 THEN RAISE 'deadlock' USING ERRCODE = '40P01';"
                   " END IF; RETURN NULL; END $$"));
    person(schema.sql("CREATE TRIGGER collide BEFORE INSERT ON @jobs EXECUTE FUNCTION @collide()"));
    put_jobs(*b, {2});
    CHECK(person(schema.sql("SELECT last_value FROM @tries")) == "4");
    CHECK(ids_of(claim(*b)) == ids{1, 2});
}

TEST_CASE("postgres: a lane that an open transaction has made holds up no job of another") {
    const postgres_schema schema;
    const auto b = schema.connect();
    b->open({.kinds = {{"a", 0}, {"b", 0}}});
    put_jobs(*b, {1});
    const auto held = claim_one(*b).held;
    const psql person(schema.url);
    person("BEGIN");
    person(schema.sql("INSERT INTO @lanes(kind, queue, priority) VALUES('b', 'mail', ") +
           std::to_string(a_job(2).job.priority) + ")");
    const std::vector<put> puts{a_job(2, "b"), a_job(3)};
    settlement with_next = is_done(held);
    with_next.follow_ups.push_back(a_job(4, "b"));
    const std::vector<settlement> settlements{with_next};
    const auto meanwhile = b->commit(puts, settlements);
    CHECK(meanwhile.puts.at(0).what == put_result::outcome::unknown);
    CHECK(meanwhile.puts.at(1).what == put_result::outcome::stored);
    CHECK(meanwhile.settlements.at(0) == settled::unknown);
    CHECK(meanwhile.why_unknown.find("a transaction that is still open") != std::string::npos);
    CHECK(ids_of(claim(*b)) == ids{3});
    person("COMMIT");
    const auto later = b->commit(std::span(puts).first(1), settlements);
    CHECK(later.puts.at(0).what == put_result::outcome::stored);
    CHECK(later.settlements.at(0) == settled::accepted);
    CHECK(ids_of(claim(*b)) == ids{2, 4});
}
