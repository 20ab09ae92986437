// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "conformance.hpp"
#include "postgres_support.hpp"

#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>

#include <thread>

using namespace postlude;
using namespace test;
using std::chrono::milliseconds;

namespace {

/// A sentence that an operation has failed with.
struct failure {
    boost::system::error_code code;
    std::string text;

    bool says(std::string_view part) const { return text.find(part) != text.npos; }
};

template <class Action>
failure failure_of(Action action) {
    try {
        action();
    } catch (const boost::system::system_error& e) {
        return {e.code(), e.what()};
    }
    throw std::runtime_error("it did not fail");
}

failure failure_to_open(const std::string& url, const std::string& schema = "t_open",
                        milliseconds timeout = patience) {
    return failure_of(
        [&] { postgres_backend({.url = url, .schema = schema, .timeout = timeout})->open({}); });
}

std::string at_port(const std::string& port) {
    return "postgresql://ann:hush-hush@127.0.0.1:" + port + "/db";
}

/// A server that says of which version it is, and nothing else.
class old_server {
public:
    std::string port() const { return std::to_string(acceptor_.local_endpoint().port()); }

private:
    void serve() {
        boost::system::error_code ignored;
        boost::asio::ip::tcp::socket socket(context_);
        acceptor_.accept(socket, ignored);
        for (std::string request(8, '\0'); !ignored; request.resize(8)) {
            boost::asio::read(socket, boost::asio::buffer(request), ignored);
            const auto size = static_cast<unsigned char>(request[3]);
            std::string rest(size - 8U, '\0');
            boost::asio::read(socket, boost::asio::buffer(rest), ignored);
            if (size == 8) {  // whether it speaks TLS, or GSSAPI
                boost::asio::write(socket, boost::asio::buffer("N", 1), ignored);
                continue;
            }
            std::string answer(
                "R\0\0\0\x08\0\0\0\0S\0\0\0\x1aserver_version\0"
                "9.6.24\0"
                "Z\0\0\0\x05I",
                9 + 27 + 6);
            boost::asio::write(socket, boost::asio::buffer(answer), ignored);
            boost::asio::read(socket, boost::asio::buffer(request), ignored);
            return;
        }
    }

    boost::asio::io_context context_;
    boost::asio::ip::tcp::acceptor acceptor_{context_,
                                             {boost::asio::ip::address_v4::loopback(), 0}};
    std::jthread thread_{[this] { serve(); }};
};

}  // namespace

TEST_CASE("postgres: a wrong URL or option is refused before anything is connected, unshown") {
    for (const auto* url :
         {"", "postgres", "host=localhost password=hush-hush",
          "postgresql://ann:hush%zz-hush@host/db", "mysql://ann:hush-hush@host/db",
          "postgresql://ann:hush-hush@host:five/db", "postgresql://ann:hush-hush@host:70000/db",
          "postgresql://ann:hush-hush@host/db?no_such_thing=1",
          "postgresql://ann:two@hush-hush@host/db", "ann:hush-hush@host/db"}) {
        const auto f = failure_of([&] { postgres_backend({.url = url}); });
        CAPTURE(f.text);
        CHECK(f.code == errc::bad_option);
        CHECK(f.says("postgresql://"));
        CHECK_FALSE(f.says("hush"));
    }
    for (const auto* schema : {"", "Jobs", "my jobs", "1st", "pg_jobs", "a;b"}) {
        const auto f =
            failure_of([&] { postgres_backend({.url = "postgresql://h/d", .schema = schema}); });
        CHECK(f.code == errc::bad_option);
    }
    const std::string url = "postgresql://h/d";
    for (const auto& [options, name] :
         std::vector<std::pair<postlude::postgres_options, const char*>>{
             {{.url = url, .timeout = milliseconds(0)}, "timeout"},
             {{.url = url, .timeout = std::chrono::hours(2)}, "timeout"},
             {{.url = url, .poll = milliseconds(0)}, "poll"},
             {{.url = url, .poll = std::chrono::hours(25)}, "poll"},
             {{.url = url, .old_snapshot = milliseconds(0)}, "old_snapshot"}}) {
        const auto f = failure_of([&] { postgres_backend(options); });
        CHECK(f.code == errc::bad_option);
        CHECK(f.says(name));
    }
}

TEST_CASE("postgres: a URL chooses it, under either name") {
    for (const auto* socket : {"postgresql:///db?host=@postlude", "postgresql://%2Frun%2Fp@q/db"}) {
        CHECK(backend_from_url(socket, {postgres_scheme()}));
    }
    for (const auto* url : {"postgresql://127.0.0.1/jobs", "postgres://127.0.0.1/jobs"}) {
        CHECK(backend_from_url(url, {postgres_scheme()}));
    }
}

TEST_CASE("postgres: a wrong password says so and is not shown") {
    const auto f = failure_to_open(postgres_url(postgres_server(), "guarded:hush-hush"));
    CAPTURE(f.text);
    CHECK(f.code == errc::bad_store);
    CHECK(f.says("the job store postgresql://guarded:***@127.0.0.1:"));
    CHECK(f.says("check the user and the password"));
    CHECK_FALSE(f.says("hush"));
    const auto none = failure_to_open(postgres_url(postgres_server(), "guarded"));
    CHECK(none.code == errc::bad_store);
    CHECK(none.says("password"));
}

TEST_CASE("postgres: a wrong host, port, user or database is told apart") {
    const auto port = failure_to_open(at_port("1"));
    CAPTURE(port.text);
    CHECK(port.code == errc::store_unavailable);
    CHECK(port.says("check the host and the port"));
    CHECK_FALSE(port.says("hush"));
    const auto host = failure_to_open("postgresql://ann:hush-hush@no-such-host.invalid/db");
    CAPTURE(host.text);
    CHECK(host.code == errc::store_unavailable);
    CHECK(host.says("check the host and the port"));
    CHECK_FALSE(host.says("hush"));
    const auto database =
        failure_to_open(postgres_url(postgres_server(), "postlude", "no_such_database"));
    CHECK(database.code == errc::bad_store);
    CHECK(database.says("check the database in its URL"));
}

TEST_CASE("postgres: a host that takes connections and says nothing ends in the time-out") {
    boost::asio::io_context context;
    const boost::asio::ip::tcp::acceptor silent(context,
                                                {boost::asio::ip::address_v4::loopback(), 0});
    const auto f = failure_to_open(at_port(std::to_string(silent.local_endpoint().port())),
                                   "t_open", milliseconds(50));
    CAPTURE(f.text);
    CHECK(f.code == errc::store_unavailable);
    CHECK(f.says("does not answer within 50 ms"));
}

TEST_CASE("postgres: of several hosts one that says nothing leaves time for the others") {
    boost::asio::io_context context;
    const boost::asio::ip::tcp::acceptor silent(context,
                                                {boost::asio::ip::address_v4::loopback(), 0});
    const auto silent_port = std::to_string(silent.local_endpoint().port());
    const postgres_schema schema;
    auto options = schema.options();
    options.timeout = milliseconds(4'000);
    const auto hosts = [&](const std::string& first, const std::string& second) {
        return "postgresql://postlude@127.0.0.1:" + first + ",127.0.0.1:" + second + "/postlude";
    };
    options.url = hosts(silent_port, postgres_server().port());
    CHECK_NOTHROW(postgres_backend(options)->open({}));
    // One that refuses costs nothing, and what was wrong last is said.
    options.url = hosts("1", postgres_server().port());
    CHECK_NOTHROW(postgres_backend(options)->open({}));
    // What the first has refused for good is not hidden by the second.
    options.url = "postgresql://guarded:wrong@127.0.0.1:" + postgres_server().port() +
                  ",127.0.0.1:1/postlude";
    CHECK(failure_of([&] { postgres_backend(options)->open({}); }).code == errc::bad_store);
    options.timeout = milliseconds(100);
    options.url = hosts("1", silent_port);
    const auto f = failure_of([&] { postgres_backend(options)->open({}); });
    CAPTURE(f.text);
    CHECK(f.says("does not answer within 100 ms"));
}

TEST_CASE("postgres: a server that is too old is refused by its version") {
    old_server server;
    const auto f = failure_to_open(at_port(server.port()));
    CAPTURE(f.text);
    CHECK(f.code == errc::bad_store);
    CHECK(f.says("PostgreSQL 9.6.24"));
    CHECK(f.says("needs 13 or later"));
}

TEST_CASE("postgres: a database that can't hold every text is refused") {
    const psql person(postgres_url(postgres_server(), "postgres"));
    person(
        "CREATE DATABASE old_words OWNER postlude ENCODING 'LATIN1' LOCALE 'C' "
        "TEMPLATE template0");
    const auto f = failure_to_open(postgres_url(postgres_server(), "postlude", "old_words"));
    person("DROP DATABASE old_words");
    CAPTURE(f.text);
    CHECK(f.code == errc::bad_store);
    CHECK(f.says("encoded as LATIN1"));
    CHECK(f.says("ENCODING 'UTF8'"));
}

TEST_CASE("postgres: TLS, with a certificate that is checked") {
    const postgres_schema schema;
    auto options = schema.options();
    const auto root = (postgres_server().directory() / "certificate.pem").string();
    const auto url = options.url;
    options.url = url + "?sslmode=verify-full&sslrootcert=" + root;
    postgres_backend(options)->open({});
    options.url = url + "?sslmode=verify-full&sslrootcert=" + root + ".nowhere";
    const auto f = failure_of([&] { postgres_backend(options)->open({}); });
    CAPTURE(f.text);
    CHECK(f.code == errc::bad_store);
    CHECK(f.says("sslrootcert"));
}

TEST_CASE("postgres: another application's schema is refused, and nothing changed in it") {
    const postgres_schema schema;
    const psql person(schema.url);
    person("CREATE SCHEMA " + schema.name());
    person(schema.sql("CREATE TABLE @meta(colour text)"));
    const auto f = failure_to_open(schema.url, schema.name());
    CAPTURE(f.text);
    CHECK(f.code == errc::bad_store);
    CHECK(f.says("another application's"));
    CHECK(person("SELECT count(*) FROM pg_tables WHERE schemaname = '" + schema.name() + "'") ==
          "1");
}

TEST_CASE("postgres: a schema that an administrator has made is filled") {
    const postgres_schema schema;
    psql(schema.url)("CREATE SCHEMA " + schema.name());
    const auto b = schema.connect();
    b->open({});
    put_jobs(*b, {1});
}

TEST_CASE("postgres: a newer store is opened where it allows this program, and else refused") {
    const postgres_schema schema;
    schema.connect()->open({});
    const psql person(schema.url);
    person(schema.sql("UPDATE @meta SET value = 9 WHERE name = 'version'"));
    schema.connect()->open({});
    person(schema.sql("UPDATE @meta SET value = 8 WHERE name = 'min_reader'"));
    const auto f = failure_to_open(schema.url, schema.name());
    CAPTURE(f.text);
    CHECK(f.code == errc::bad_store);
    CHECK(f.says("use the newer one"));
}

TEST_CASE("postgres: many processes may open an empty database at once") {
    const postgres_schema schema;
    std::vector<std::unique_ptr<backend>> all(6);
    std::vector<std::uint32_t> numbers(all.size());
    {
        std::vector<std::jthread> threads;
        for (std::size_t i = 0; i < all.size(); ++i) {
            threads.emplace_back([&, i] {
                try {
                    all[i] = schema.connect();
                    numbers[i] = all[i]->open({}).owner;
                } catch (const std::exception& e) {
                    std::fprintf(stderr, "%s\n", e.what());
                }
            });
        }
    }
    std::ranges::sort(numbers);
    CHECK(numbers == std::vector<std::uint32_t>{1, 2, 3, 4, 5, 6});
}

TEST_CASE("postgres: a schema is made under a lock, and who comes second finds it made") {
    const postgres_schema schema;
    const psql person(schema.url);
    // As DESIGN.md has it.
    const auto lock = "(hashtextextended('" + schema.name() + "', 1886351988))";
    person("SELECT pg_advisory_lock" + lock);
    const auto b = schema.connect();
    std::jthread opening([&] { b->open({}); });
    const psql looks(schema.url);
    CHECK(eventually([&] {
        return looks(
                   "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
                   " AND database = (SELECT oid FROM pg_database"
                   " WHERE datname = current_database())") == "1";
    }));
    // Somebody else makes it meanwhile, holding the lock.
    CHECK(looks("SELECT to_regnamespace('" + schema.name() + "') IS NULL") == "t");
    person("CREATE SCHEMA " + schema.name());
    person("SELECT pg_advisory_unlock" + lock);
    opening.join();
    put_jobs(*b, {1});
}

TEST_CASE("postgres: its busy tables are vacuumed by settings of their own") {
    const postgres_schema schema;
    schema.connect()->open({});
    const psql person(schema.url);
    for (const auto* table : {"jobs", "ready", "claimed", "ended"}) {
        CAPTURE(table);
        // From 10,000 dead rows and 1 % of a table on, which is 20 % without.
        const auto settings = person("SELECT reloptions::text FROM pg_class WHERE oid = '" +
                                     schema.name() + "." + table + "'::regclass");
        for (const auto* one :
             {"autovacuum_vacuum_scale_factor=0.01", "autovacuum_vacuum_threshold=10000",
              "autovacuum_vacuum_cost_limit=2000"}) {
            CHECK(settings.find(one) != std::string::npos);
        }
    }
}

TEST_CASE("postgres: a user without permission is told which, and needs no more than that") {
    const postgres_schema schema;
    auto options = schema.options();
    options.url = postgres_url(postgres_server(), "guarded:right%3Aword%401");
    const auto f = failure_of([&] { postgres_backend(options)->open({}); });
    CAPTURE(f.text);
    CHECK(f.code == errc::bad_store);
    CHECK(f.says("permission denied"));
    CHECK(f.says("grant"));
    CHECK_FALSE(f.says("right"));

    schema.connect()->open({});
    const psql person(schema.url);
    const auto in_schema = " IN SCHEMA " + schema.name() + " TO guarded";
    person("GRANT USAGE ON SCHEMA " + schema.name() + " TO guarded");
    const auto still = failure_of([&] { postgres_backend(options)->open({}); });
    CHECK(still.code == errc::bad_store);
    person("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES" + in_schema);
    person("GRANT USAGE ON ALL SEQUENCES" + in_schema);
    const auto b = postgres_backend(options);
    b->open({.kinds = {{"a", 0}}});
    put_jobs(*b, {1});
    CHECK(settle(*b, claim_one(*b).held, verdict::done) == settled::accepted);
}

TEST_CASE("postgres: a server that takes no writes is named as such") {
    const postgres_schema schema;
    schema.connect()->open({});
    const auto f = failure_to_open(schema.url + "?options=-cdefault_transaction_read_only%3Don",
                                   schema.name());
    CAPTURE(f.text);
    CHECK(f.code == errc::store_unavailable);
    CHECK(f.says("target_session_attrs"));
}

TEST_CASE("postgres: an old transaction, which keeps dead rows, is warned of; a young one is not") {
    const postgres_schema schema;
    CHECK(schema.connect()->open({}).warnings.empty());
    const psql person(schema.url);
    person("BEGIN ISOLATION LEVEL REPEATABLE READ");
    person("SELECT 1");
    auto options = schema.options();
    options.old_snapshot = milliseconds(1);
    std::vector<std::string> warnings;
    CHECK(eventually([&] {
        warnings = postgres_backend(options)->open({}).warnings;
        return !warnings.empty();
    }));
    CHECK(warnings.at(0).find("of user postlude") != std::string::npos);
    CHECK(warnings.at(0).find("cleared away") != std::string::npos);
    options.old_snapshot = std::chrono::hours(24);
    CHECK(postgres_backend(options)->open({}).warnings.empty());
}

TEST_CASE("postgres: settings of the server that lose jobs are warned of") {
    const postgres_schema schema;
    auto options = schema.options();
    options.url.append("?options=-csynchronous_commit%3Doff");
    const auto warnings = postgres_backend(options)->open({}).warnings;
    REQUIRE(warnings.size() == 1);
    CHECK(warnings[0].find("synchronous_commit is off") != std::string::npos);
}

TEST_CASE("postgres: behind a pooler it says what that costs") {
    const postgres_schema schema;
    auto options = schema.options();
    options.pooled = GENERATE(true, false);
    if (!options.pooled) {
        options.url = pgbouncer().url();  // it finds that out
    }
    const auto opened = postgres_backend(options)->open({});
    CHECK_FALSE(opened.can.sees_death);
    REQUIRE(opened.warnings.size() == 1);
    CHECK(opened.warnings[0].find("behind a pooler") != std::string::npos);
}
