// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/backends/postgres/enqueue.hpp"

#include "conformance.hpp"
#include "postgres_support.hpp"

#include <boost/describe/class.hpp>

#include <thread>

using namespace postlude;
using namespace test;
using std::chrono::milliseconds;

namespace {

struct letter {
    std::string to;
    int copies = 1;
    static constexpr job_traits job{.kind = "a", .queue = "mail", .priority = 2};
};
BOOST_DESCRIBE_STRUCT(letter, (), (to, copies))

/// A store that is open, and a person's own connection to its database.
struct customer {
    postgres_schema schema;
    std::unique_ptr<backend> store = schema.connect();
    psql person{schema.url};

    customer() { store->open({.kinds = {{"a", 0}}}); }

    job_id send(const letter& what, postgres::enqueue_options options = {}) {
        options.schema = schema.name();
        return postgres::enqueue(person.handle(), what, std::move(options));
    }
    std::vector<claimed_job> take(milliseconds wait = milliseconds(0)) {
        return store->claim(std::vector<std::size_t>{10}, wait);
    }
};

template <class Action>
boost::system::system_error error_of(Action action) {
    try {
        action();
    } catch (const boost::system::system_error& e) {
        return e;
    }
    throw std::runtime_error("there was no error");
}

}  // namespace

TEST_CASE("postgres: a job on the caller's transaction is there from its commit on") {
    customer c;
    c.person("BEGIN");
    const auto id = c.send({"ann@example.org", 2},
                           {.tags = {"customer:7", "customer:7"}, .request_id = "request-1"});
    CHECK(id > 0);
    CHECK(id < (job_id{1} << 40));
    CHECK(c.take().empty());
    CHECK_FALSE(exists(*c.store, id));
    c.person("COMMIT");
    const auto view = look(*c.store, id);
    CHECK(view.state == job_state::ready);
    CHECK(view.job.kind == "a");
    CHECK(view.job.queue == "mail");
    CHECK(view.job.priority == 2);
    CHECK(view.job.arguments == R"({"to":"ann@example.org","copies":2})");
    CHECK(view.job.request_id == "request-1");
    CHECK(found(*c.store, {.tag = "customer:7"}) == ids{id});
    const auto taken = c.take();
    REQUIRE(ids_of(taken) == ids{id});
    CHECK(settle(*c.store, taken[0].held, verdict::done) == settled::accepted);
}

TEST_CASE("postgres: a job on a transaction that is rolled back was never there") {
    customer c;
    c.person("BEGIN");
    const auto id = c.send({"ann@example.org"});
    c.person("ROLLBACK");
    CHECK_FALSE(exists(*c.store, id));
    CHECK(c.take().empty());

    c.person("BEGIN");
    const auto kept = c.send({"ann@example.org"});
    c.person("SAVEPOINT s");
    const auto undone = c.send({"bob@example.org"});
    c.person("ROLLBACK TO s");
    c.person("COMMIT");
    CHECK(kept != undone);
    CHECK(found(*c.store, {}) == ids{kept});
}

TEST_CASE("postgres: the commit of the caller's transaction wakes a claim that waits") {
    customer c;
    c.person("BEGIN");
    const auto id = c.send({"ann@example.org"});
    const auto begin = std::chrono::steady_clock::now();
    std::vector<claimed_job> taken;
    std::jthread waiting([&] { taken = c.take(patience); });
    c.person("COMMIT");
    waiting.join();
    CHECK(ids_of(taken) == ids{id});
    CHECK(std::chrono::steady_clock::now() - begin < patience);
}

TEST_CASE("postgres: a job on the caller's transaction waits for its delay") {
    customer c;
    c.person("BEGIN");
    const auto id = c.send({"ann@example.org"}, {.delay = std::chrono::hours(1)});
    c.person("COMMIT");
    CHECK(c.take().empty());
    const auto view = look(*c.store, id);
    CHECK(view.run_at - view.created == std::chrono::hours(1));
}

TEST_CASE("postgres: without an open transaction of the caller's nothing is enqueued") {
    customer c;
    const auto none = error_of([&] { c.send({"ann@example.org"}); });
    CHECK(none.code() == errc::bad_option);
    CHECK(std::string(none.what()).find("BEGIN") != std::string::npos);

    c.person("BEGIN");
    CHECK_THROWS(c.person("SELECT 1/0"));
    const auto failed = error_of([&] { c.send({"ann@example.org"}); });
    CHECK(failed.code() == errc::bad_option);
    CHECK(std::string(failed.what()).find("roll it back") != std::string::npos);
    c.person("ROLLBACK");

    c.person("BEGIN");
    const auto tags = error_of([&] { c.send({"a"}, {.tags = {""}}); });
    CHECK(tags.code() == errc::bad_option);
    // What is sent is UTF-8, and the server would take it for something else.
    REQUIRE(PQsetClientEncoding(c.person.handle(), "LATIN1") == 0);
    const auto encoding = error_of([&] { c.send({"ann@example.org"}); });
    CHECK(encoding.code() == errc::bad_option);
    CHECK(std::string(encoding.what()).find("client_encoding") != std::string::npos);
    REQUIRE(PQsetClientEncoding(c.person.handle(), "UTF8") == 0);
    c.send({"ann@example.org"});  // and the transaction stands as before
    c.person("COMMIT");
    CHECK(c.take().size() == 1);
    // A pooler says it as it was asked.
    const psql pooled(pgbouncer().url() + "?client_encoding=utf-8");
    pooled("BEGIN");
    CHECK(postgres::enqueue(pooled.handle(), letter{"ann@example.org"},
                            {.schema = c.schema.name()}) != 0);
    pooled("COMMIT");
}

TEST_CASE("postgres: to enqueue where there is no store says that one has to be opened") {
    const psql person(postgres_server().url());
    person("BEGIN");
    const auto error =
        error_of([&] { postgres::enqueue(person.handle(), letter{}, {.schema = "nowhere"}); });
    CHECK(error.code() == errc::bad_store);
    CHECK(std::string(error.what()).find("open the store once") != std::string::npos);
}
