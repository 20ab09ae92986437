// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
//
// The server stopped, connections cut and silent, and who is taken for dead then.
#include "conformance.hpp"
#include "postgres_support.hpp"
#include "support/tcp_proxy.hpp"

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <optional>
#include <thread>

using namespace postlude;
using namespace test;
using std::chrono::milliseconds;

namespace {

open_options with_lease(milliseconds lease) { return {.kinds = {{"a", 0}}, .lease = lease}; }

/// The error code of a call; none when there was no error.
template <class Action>
boost::system::error_code code_of(Action action) {
    try {
        action();
        return {};
    } catch (const boost::system::system_error& e) {
        return e.code();
    }
}

/// Ends all connections of one program, as an administrator or a proxy does.
void cut_all(const psql& person, const std::string& name) {
    person(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE application_name = '" +
        name + "'");
    REQUIRE(eventually([&] {
        return person("SELECT count(*) FROM pg_stat_activity WHERE application_name = '" + name +
                      "'") == "0";
    }));
}

postgres_options named(const postgres_schema& schema, const std::string& name) {
    auto options = schema.options();
    options.url.append("?application_name=").append(name);
    return options;
}

/// The connections of one program of which more holds, as SQL.
std::string connections(const psql& person, const std::string& name,
                        const std::string& more = "true") {
    return person(
        "SELECT coalesce(string_agg(pid::text, ' ' ORDER BY pid), '') FROM"
        " pg_stat_activity WHERE application_name = '" +
        name + "' AND " + more);
}

/// The end of the lease of the process that has opened the store as the nth.
std::string lease_of(const psql& person, const postgres_schema& schema, std::uint32_t owner) {
    return person(schema.sql("SELECT lease_until FROM @owners WHERE owner = ") +
                  std::to_string(owner));
}

/// Rescues until that fails, because a lease has ended; the code.
boost::system::error_code failure_to_rescue(backend& b) {
    boost::system::error_code code;
    REQUIRE(eventually([&] {
        code = code_of([&] { b.rescue(10); });
        return code.failed();
    }));
    return code;
}

/// That it does all for which it has the connection with which it rescues, and what it does counts.
void check_upkeep(backend& b, std::uint32_t owner, const psql& person,
                  const postgres_schema& schema) {
    const auto before = lease_of(person, schema, owner);
    CHECK_FALSE(code_of([&] { b.renew({}); }));
    CHECK(lease_of(person, schema, owner) != before);
    CHECK_FALSE(code_of([&] { b.prune({}); }));
    CHECK_FALSE(code_of([&] { amend(b, 99, amendment::cancel); }));
}

}  // namespace

TEST_CASE("postgres: after the server was away all calls work again, and nothing is lost") {
    store_server server("postgres");
    const postgres_schema schema(server);
    const auto b = schema.connect();
    b->open(with_lease(std::chrono::seconds(60)));
    put_jobs(*b, {1, 2, 3});
    const auto held = claim(*b, 1).at(0).held;

    server.stop();
    const auto one = a_job(4);
    CHECK(code_of([&] { b->commit(std::span(&one, 1), {}); }) == errc::store_unavailable);
    CHECK(code_of([&] { claim(*b); }) == errc::store_unavailable);
    CHECK(code_of([&] { b->renew(std::span(&held, 1)); }) == errc::store_unavailable);
    CHECK(code_of([&] { b->rescue(10); }) == errc::store_unavailable);
    CHECK(code_of([&] { b->find({}); }) == errc::store_unavailable);
    CHECK(code_of([&] { schema.connect()->open({}); }) == errc::store_unavailable);

    server.start();
    CHECK(put_one(*b, a_job(5)).what == put_result::outcome::stored);
    CHECK(b->renew(std::span(&held, 1)).empty());
    CHECK(settle(*b, held, verdict::done) == settled::accepted);
    CHECK(ids_of(claim(*b)) == ids{2, 3, 5});
    CHECK(found(*b, {}) == ids{1, 2, 3, 5});
}

TEST_CASE("postgres: a claim that waits while the server goes away says so, and works later") {
    store_server server("postgres");
    const postgres_schema schema(server);
    const auto b = schema.connect();
    b->open(with_lease(std::chrono::seconds(60)));
    boost::system::error_code code;
    std::jthread waiting(
        [&] { code = code_of([&] { b->claim(std::vector<std::size_t>{1}, patience); }); });
    server.stop();
    waiting.join();
    CHECK(code == errc::store_unavailable);
    server.start();
    put_jobs(*b, {1});
    CHECK(claim(*b).size() == 1);
}

TEST_CASE("postgres: after an outage nothing is rescued before one lease has passed") {
    store_server server("postgres");
    const postgres_schema schema(server);
    constexpr milliseconds lease(3'000);
    const auto holder = schema.connect();
    holder->open(with_lease(lease));
    const auto other = schema.connect();
    other->open(with_lease(lease));
    const auto held = put_one(*holder, a_claimed_job(1)).held;
    server.stop();
    std::this_thread::sleep_for(lease);  // so the lease has ended when it is back
    server.start();
    const auto back = std::chrono::steady_clock::now();
    std::vector<rescued_job> rescued;
    while (rescued.empty() && std::chrono::steady_clock::now() - back < patience) {
        rescued = other->rescue(10);
    }
    // The holder, which never came back, has lost it then.
    CHECK(rescued.size() == 1);
    CHECK(std::chrono::steady_clock::now() - back >= lease);
    CHECK(settle(*holder, held, verdict::done) == settled::lost_lease);
}

TEST_CASE("postgres: one whose connections are all cut, and who makes them again, is not dead") {
    const postgres_schema schema;
    const psql person(schema.url);
    const auto name = schema.name() + "_cut";
    const auto holder = postgres_backend(named(schema, name));
    holder->open(with_lease(std::chrono::seconds(40)));
    const auto held = put_one(*holder, a_claimed_job(1)).held;
    const auto other = schema.connect();
    other->open(with_lease(std::chrono::seconds(40)));
    cut_all(person, name);
    // It has a moment; a call of any kind makes a connection, and takes the lock again.
    const auto begin = std::chrono::steady_clock::now();
    auto end = begin;
    std::jthread living([&] {
        claim(*holder, 1);
        end = std::chrono::steady_clock::now();
    });
    const auto rescued = other->rescue(10);
    living.join();
    if (end - begin > milliseconds(900)) {
        WARN("the machine was too slow to make a connection within its moment");
        return;
    }
    CHECK(rescued.empty());
    CHECK(other->rescue(10).empty());
    CHECK(settle(*holder, held, verdict::done) == settled::accepted);
}

TEST_CASE("postgres: who was cut off itself takes nobody for dead, until one lease has passed") {
    const postgres_schema schema;
    const psql person(schema.url);
    const auto name = schema.name() + "_both";
    const auto lease = std::chrono::seconds(2);
    const auto holder = postgres_backend(named(schema, name));
    holder->open(with_lease(std::chrono::seconds(600)));  // so that it does not end meanwhile
    put_one(*holder, a_claimed_job(1));
    const auto other = postgres_backend(named(schema, name));
    other->open(with_lease(lease));
    cut_all(person, name);
    // The other is the first to come back, and the holder has no lock any more.
    const auto begin = std::chrono::steady_clock::now();
    std::vector<rescued_job> rescued;
    CHECK(eventually([&] {
        rescued = other->rescue(10);
        return !rescued.empty();
    }));
    CHECK(std::chrono::steady_clock::now() - begin >= lease);
    CHECK(ids_of(rescued) == ids{1});
}

TEST_CASE("postgres: while one connection of a process stands, it is not dead") {
    const postgres_schema schema;
    const psql person(schema.url);
    const auto name = schema.name() + "_one";
    const auto holder = postgres_backend(named(schema, name));
    holder->open(with_lease(std::chrono::seconds(40)));
    const auto held = put_one(*holder, a_claimed_job(1)).held;
    const auto other = schema.connect();
    other->open(with_lease(std::chrono::seconds(40)));
    const std::string others = " FROM pg_stat_activity WHERE application_name = '" + name +
                               "' AND query NOT LIKE 'LISTEN%' AND query NOT LIKE '%locked_at%'";
    REQUIRE(person("SELECT count(pg_terminate_backend(pid))" + others) != "0");
    REQUIRE(eventually([&] { return person("SELECT count(*)" + others) == "0"; }));
    CHECK(other->rescue(10).empty());
    CHECK(other->rescue(10).empty());
    CHECK(settle(*holder, held, verdict::done) == settled::accepted);
}

TEST_CASE("postgres: a commit that the server does not answer is unknown within the time-out") {
    const postgres_schema schema;
    const psql person(postgres_url(postgres_server(), "postgres"));
    const auto name = schema.name() + "_silent";
    auto options = named(schema, name);
    const auto b = postgres_backend(options);
    b->open(with_lease(std::chrono::seconds(60)));
    put_jobs(*b, {1});

    options.timeout = milliseconds(1'500);
    const auto quick = postgres_backend(options);
    quick->open(with_lease(std::chrono::seconds(60)));
    REQUIRE(ids_of(claim(*quick)) == ids{1});  // from here on it knows the lane
    put_jobs(*b, {3});
    std::vector<pid_t> stopped;
    for (int i = 0; i < 20; ++i) {
        const auto pid = person("SELECT pid FROM pg_stat_activity WHERE application_name = '" +
                                name + "' ORDER BY pid OFFSET " + std::to_string(i) + " LIMIT 1");
        if (!pid.empty()) {
            stopped.push_back(std::stoi(pid));
            ::kill(stopped.back(), SIGSTOP);
        }
    }
    REQUIRE(stopped.size() >= 3);
    const auto one = a_job(2);
    const auto result = quick->commit(std::span(&one, 1), {});
    const auto claimed = code_of([&] { claim(*quick, 1); });
    for (const auto pid : stopped) {
        ::kill(pid, SIGCONT);
    }
    CHECK(result.puts.at(0).what == put_result::outcome::unknown);
    CHECK(claimed == errc::store_unavailable);
    // Whether it was stored shows when it is stored again.
    const auto again = [&] {
        try {
            return put_one(*quick, one).what != put_result::outcome::unknown;
        } catch (const boost::system::system_error&) {
            return false;
        }
    };
    CHECK(eventually(again));
    CHECK(exists(*quick, 2));
    // The server has heard of the claim, if late, and the answer was lost.
    std::vector<job_id> got;
    CHECK(eventually([&] {
        code_of([&] {
            quick->renew({});
            std::ranges::copy(ids_of(claim(*quick)), std::back_inserter(got));
        });
        return std::ranges::count(got, job_id{3}) == 1;
    }));
}

TEST_CASE("postgres: what was under way when a pooler lost the server is in doubt") {
    const postgres_schema schema;
    tcp_proxy between(static_cast<unsigned short>(std::stoi(postgres_server().port())));
    ::setenv("POSTLUDE_POSTGRES_PORT", std::to_string(between.port()).c_str(), 1);
    store_server pooler("pgbouncer");
    auto options = schema.options();
    options.url = pooler.url();
    const auto b = postgres_backend(options);
    b->open(with_lease(std::chrono::seconds(60)));
    put_jobs(*b, {1});
    REQUIRE(ids_of(claim(*b)) == ids{1});  // from here on it knows the lane
    // The server has done it, and its answer is lost together with the connection.
    const psql person(schema.url);
    const auto lose = [&](std::string answer_with, const std::string& done,
                          const std::function<void()>& call) {
        between.pass_only([answer_with](std::string_view piece) {
            return piece.find(answer_with) == piece.npos;
        });
        std::thread caller(call);
        CHECK(eventually([&] { return person(schema.sql(done)) == "1"; }));
        between.pass_only({});
        between.cut();
        caller.join();
    };
    auto two = a_job(2);
    two.job.arguments = "\"the second\"";
    std::optional<put_result::outcome> what;
    lose("", "SELECT count(*) FROM @ready WHERE job = 2",
         [&] { code_of([&] { what = put_one(*b, two).what; }); });
    CHECK(what == put_result::outcome::unknown);
    boost::system::error_code why;
    lose("the second", "SELECT count(*) FROM @claimed WHERE job = 2",
         [&] { why = code_of([&] { claim(*b, 1); }); });
    CHECK(why == errc::store_unavailable);
    // Nobody knows of that claim, so it is given back.
    CHECK(eventually(
        [&] { return !code_of([&] { b->renew({}); }) && ids_of(claim(*b, 1)) == ids{2}; }));
}

TEST_CASE("postgres: a lock on its table ends a commit in the time-out, and nothing is stored") {
    const postgres_schema schema;
    auto options = schema.options();
    options.timeout = milliseconds(300);
    std::unique_ptr<backend> b;
    REQUIRE(eventually([&] {
        b = postgres_backend(options);
        return !code_of([&] { b->open(with_lease(std::chrono::seconds(60))); });
    }));
    const psql person(schema.url);
    person("BEGIN");
    person(schema.sql("LOCK TABLE @jobs IN EXCLUSIVE MODE"));
    const auto one = a_job(1);
    try {
        const auto result = b->commit(std::span(&one, 1), {});
        CHECK(result.puts.at(0).what == put_result::outcome::unknown);
    } catch (const boost::system::system_error& e) {
        CHECK(e.code() == errc::store_unavailable);
    }
    person("COMMIT");
    CHECK(eventually([&] { return !code_of([&] { put_one(*b, a_job(2)); }); }));
}

TEST_CASE("postgres: a rescue that a lock has stopped leaves nothing behind that stops renewals") {
    const postgres_schema schema;
    constexpr milliseconds lease(300);
    const auto holder = schema.connect();
    const auto owner = holder->open(with_lease(lease)).owner;
    put_one(*holder, a_claimed_job(1));
    const auto name = schema.name() + "_stopped";
    auto options = named(schema, name);
    options.url.append("&options=-clock_timeout%3D50");
    const auto b = postgres_backend(options);
    const auto self = b->open(with_lease(lease)).owner;
    const psql person(schema.url);
    const auto before = connections(person, name);
    {
        const psql other(schema.url);
        other("BEGIN");
        other(schema.sql("SELECT owner FROM @owners WHERE owner = ") + std::to_string(owner) +
              " FOR UPDATE");
        CHECK(failure_to_rescue(*b) == errc::store_unavailable);
        check_upkeep(*b, self, person, schema);
        CHECK(code_of([&] { b->rescue(10); }) == errc::store_unavailable);
        other("COMMIT");
    }
    check_upkeep(*b, self, person, schema);
    // With a new one it would not trust its eyes for a lease.
    CHECK(connections(person, name) == before);
    CHECK(ids_of(b->rescue(10)) == ids{1});
}

TEST_CASE(
    "postgres: wherever the server refuses a rescue, the next call is as if it had not been") {
    const postgres_schema schema;
    const psql person(schema.url);
    constexpr milliseconds lease(300);
    const auto holder = schema.connect();
    holder->open(with_lease(lease));
    put_one(*holder, a_claimed_job(1));
    auto options = schema.options();
    options.pooled = GENERATE(false, true);
    if (options.pooled) {
        options.url = pgbouncer().url();
    }
    const auto b = postgres_backend(options);
    const auto self = b->open(with_lease(lease)).owner;
    // The first is met when it is decided, the others when the jobs are taken.
    const std::string where = GENERATE(as<std::string>{}, "UPDATE OF spares ON @owners",
                                       "INSERT ON @runs", "DELETE ON @claimed");
    CAPTURE(options.pooled, where);
    // It has no effect on a renewal, which sets NULL.
    const std::string when = where.starts_with("UPDATE") ? " WHEN (NEW.spares IS NOT NULL)" : "";
    person(
        schema.sql("CREATE FUNCTION @refuse() RETURNS trigger LANGUAGE plpgsql AS"
                   " $$BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = '53100'; END$$"));
    person(schema.sql("CREATE TRIGGER refuses BEFORE " + where + " FOR EACH ROW" + when +
                      " EXECUTE FUNCTION @refuse()"));
    CHECK(failure_to_rescue(*b) == errc::store_unavailable);
    check_upkeep(*b, self, person, schema);
    person(schema.sql("DROP FUNCTION @refuse() CASCADE"));
    check_upkeep(*b, self, person, schema);
    CHECK(ids_of(b->rescue(10)) == ids{1});
}

TEST_CASE("postgres: while a question waits, a lease is renewed") {
    const postgres_schema schema;
    const auto name = schema.name() + "_asked";
    const auto b = postgres_backend(named(schema, name));
    const auto self = b->open(with_lease(std::chrono::seconds(60))).owner;
    const auto held = put_one(*b, a_claimed_job(1)).held;
    const psql person(schema.url);
    const auto at_first = connections(person, name);
    CHECK(std::ranges::count(at_first, ' ') == 2);  // one for questions comes with the first

    const psql other(schema.url);
    other("BEGIN");
    other(schema.sql("LOCK TABLE @runs IN ACCESS EXCLUSIVE MODE"));
    std::vector<job_event> steps;
    std::atomic<bool> answered = false;
    std::jthread asking([&] {
        code_of([&] { steps = b->history(1); });
        answered = true;
    });
    CHECK(
        eventually([&] { return !connections(person, name, "wait_event_type = 'Lock'").empty(); }));
    const auto before = lease_of(person, schema, self);
    std::atomic<bool> renewed = false;
    std::jthread keeping([&] { renewed = !code_of([&] { b->renew(std::span(&held, 1)); }); });
    CHECK(eventually([&] { return renewed.load(); }));
    CHECK(lease_of(person, schema, self) != before);
    CHECK_FALSE(answered);
    other("COMMIT");
    keeping.join();
    asking.join();
    CHECK(steps.size() == 2);
    CHECK(std::ranges::count(connections(person, name), ' ') == 3);
}
