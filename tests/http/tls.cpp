// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
// server_options::tls, over real sockets.
#include "postlude/http/server.hpp"

#include "support/catch.hpp"
#include "support/certificate_files.hpp"
#include "support/child_program.hpp"
#include "support/running_server.hpp"
#include "support/socket_queue.hpp"
#include "support/tls_client.hpp"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using postlude::deferred;
using postlude::when;
using postlude::http::request;
using postlude::http::response;
using postlude::http::server;
using postlude::http::server_options;
using postlude::http::status;
using postlude::http::text;
using test::certificate_files;
using test::tls_client;

namespace {

server_options with(const certificate_files& files, server_options options = {}) {
    options.tls = files.options();
    return options;
}

/// Answers with the size of what it has got.
struct tls_server : test::running_server {
    explicit tls_server(server_options options) : running_server(std::move(options)) {
        const auto handler = [this](const request& req, deferred& after) {
            after.run([this] { ++ran; });
            return text(status::ok, std::to_string(req.body().size()));
        };
        server.get("/", handler);
        server.post("/", handler);
        server.get("/large", [](const request&, deferred&) {
            return text(status::ok, std::string(5'000'000, 'x'));
        });
    }
    tls_client connect() { return tls_client(server.port()); }

    std::atomic<int> ran{0};
};

std::string why_not(server_options options) {
    try {
        const server s(std::move(options));
    } catch (const boost::system::system_error& e) {
        CHECK(e.code() == postlude::errc::bad_option);
        return e.what();
    }
    return "";
}

/// The beginning of a record that is to hold 256 bytes of application data.
const std::string record("\x17\x03\x03\x01\x00 so much of it", 18);

std::string get(const std::string& target, const std::string& more = "") {
    return "GET " + target + " HTTP/1.1\r\nHost: t\r\n" + more + "\r\n";
}

}  // namespace

TEST_CASE("HTTPS: requests, large bodies and pipelining on one connection") {
    const certificate_files files("one");
    const unsigned threads = GENERATE(1U, 2U);
    tls_server running(with(files, {.threads = threads}));
    running.start();
    auto client = running.connect();
    CHECK(client.name() == "one");
    CHECK(client.version() == "TLSv1.3");
    CHECK(client.protocol() == "http/1.1");
    CHECK(client.get("/").body() == "0");
    CHECK(client
              .ask("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1000000\r\n\r\n" +
                   std::string(1'000'000, 'x'))
              .body() == "1000000");
    CHECK(client.get("/large").body() == std::string(5'000'000, 'x'));
    std::string many;
    for (int i = 0; i < 500; ++i) {
        many += get("/", "X-Request-Id: p-" + std::to_string(i) + "\r\n");
    }
    client.send(many);
    for (int i = 0; i < 500; ++i) {
        const auto got = client.read();
        REQUIRE(got);
        CHECK((*got)["X-Request-Id"] == "p-" + std::to_string(i));
    }
    CHECK(!client.get("/", "Connection: close\r\n").keep_alive());
    CHECK(client.ended());
    CHECK(client.ended_well());
    CHECK(running.stop().clean());
    CHECK(running.ran == 503);
}

TEST_CASE("TLS 1.2 is spoken and 1.1 is not; nothing but http/1.1 is agreed on") {
    const certificate_files files("one");
    tls_server running(with(files));
    running.start();
    tls_client older(running.server.port(), {.version = TLS1_2_VERSION});
    CHECK(older.version() == "TLSv1.2");
    CHECK(older.get("/").body() == "0");
    CHECK_THROWS_AS(tls_client(running.server.port(), {.version = TLS1_1_VERSION}),
                    std::runtime_error);
    REQUIRE(test::eventually([&] { return running.server.counters().malformed == 1; }));

    tls_client both(running.server.port(), {.protocols = "\x02h2\x08http/1.1"});
    CHECK(both.protocol() == "http/1.1");
    tls_client other(running.server.port(), {.protocols = "\x02h2"});
    CHECK(other.protocol().empty());
    CHECK(other.get("/").body() == "0");
}

TEST_CASE("plain HTTP on the port of HTTPS ends the connection, and disturbs nobody") {
    const certificate_files files("one");
    tls_server running(with(files));
    running.start();
    auto client = running.connect();
    test::http_client plain(running.server.port());
    plain.send(get("/"));
    CHECK(plain.read_to_end().find("HTTP/1.1") == std::string::npos);
    CHECK(running.server.counters().malformed == 1);
    CHECK(running.server.counters().requests == 0);
    CHECK(client.get("/").body() == "0");
}

TEST_CASE("a handshake that does not get on is ended in time") {
    const certificate_files files("one");
    tls_server running(with(files, {.header_timeout = 1s}));
    running.start();
    const auto since = std::chrono::steady_clock::now();
    test::http_client silent(running.server.port());
    test::http_client begun(running.server.port());
    begun.send("\x16\x03\x01");
    CHECK(silent.read_to_end().empty());
    CHECK(begun.read_to_end().size() < 10);
    CHECK(std::chrono::steady_clock::now() - since >= 900ms);
    REQUIRE(test::eventually([&] { return running.server.counters().connections == 0; }));
    CHECK(running.server.counters().timed_out == 2);
    CHECK(running.server.counters().malformed == 0);
}

TEST_CASE("a client that stops within a record of TLS is silent, and its connection closed") {
    const auto part = GENERATE_COPY(record.substr(0, 3), record.substr(0, 12));
    const certificate_files files("one");
    tls_server running(with(files, {.header_timeout = 1s, .keep_alive_timeout = 1s}));
    running.start();
    const test::socket_queue queue;
    auto client = running.connect();
    CHECK(client.get("/").body() == "0");
    REQUIRE(client.send_bare(part, queue));
    CHECK(client.ended());
    CHECK(client.ended_well());
}

TEST_CASE("a client that stops within a record of TLS does not hold up a stop") {
    const auto part = GENERATE_COPY(record.substr(0, 3), record.substr(0, 12));
    const certificate_files files("one");
    tls_server running(with(files, {.drain = test::patience}));
    running.start();
    const test::socket_queue queue;
    auto client = running.connect();
    CHECK(client.get("/").body() == "0");
    REQUIRE(client.send_bare(part, queue));
    std::jthread stopper([&] { CHECK(running.stop().clean()); });
    CHECK(client.ended());
    CHECK(client.ended_well());
    stopper.join();
    CHECK(running.log.count({"connections are cut"}) == 0);
}

TEST_CASE("over the connection limit a client that stops within a record of TLS makes room") {
    const certificate_files files("one");
    tls_server running(with(files, {.connection_limit = 1}));
    running.start();
    const test::socket_queue queue;
    auto before = running.connect();
    CHECK(before.get("/").body() == "0");
    for (int i = 0; i < 5; ++i) {
        REQUIRE(before.send_bare(record.substr(0, 12), queue));
        auto next = running.connect();
        CHECK(next.get("/").body() == "0");
        CHECK(before.ended());
        before = std::move(next);
    }
    CHECK(running.server.counters().evicted == 5);
    CHECK(running.server.counters().refused == 0);
}

TEST_CASE("HTTPS: the refusal of a body reaches a client that sends all of it before it reads") {
    constexpr std::size_t size = 20 << 20;
    const certificate_files files("one");
    tls_server running(with(files, {.body_limit = 1 << 20, .body_timeout = test::patience}));
    running.start();
    // OpenSSL writes to sockets in a way that raises it; a write that fails is enough.
    auto* const before = std::signal(SIGPIPE, SIG_IGN);
    for (const bool announced : {true, false}) {
        auto client = running.connect();
        const auto head = std::string("POST / HTTP/1.1\r\nHost: t\r\n");
        if (announced) {
            CHECK(client.send(head + "Content-Length: " + std::to_string(size) + "\r\n\r\n"));
            CHECK(client.send(std::string(size, 'x')));
        } else {
            CHECK(client.send(head + "Transfer-Encoding: chunked\r\n\r\n1400000\r\n" +
                              std::string(size, 'x') + "\r\n0\r\n\r\n"));
        }
        const auto got = client.read();
        REQUIRE(got);
        CHECK(got->result() == status::payload_too_large);
        CHECK(!got->keep_alive());
        CHECK(client.ended());
        CHECK(client.ended_well());
    }
    std::signal(SIGPIPE, before);
}

TEST_CASE("over TLS a task waits until its response has gone to the stream below") {
    constexpr std::size_t size = 64 << 20;
    constexpr std::size_t held_back = 32 << 20;  // more than the system keeps for a connection
    const certificate_files files("one");
    tls_server running(with(files));
    std::atomic<bool> ran{false};
    running.server.get("/slow", [&](const request&, deferred& after) {
        after.run([&] { ran = true; });
        return text(status::ok, std::string(size, 'x'));
    });
    running.start();
    auto slow = running.connect();
    slow.send(get("/slow"));
    slow.discard(size - held_back);
    auto other = running.connect();
    CHECK(other.get("/").body() == "0");
    REQUIRE(test::eventually([&] { return running.ran == 1; }));
    CHECK(!ran);
    slow.discard(held_back);
    CHECK(test::eventually([&] { return ran.load(); }));
    CHECK(slow.readable(test::patience));  // the rest: what the header took
}

TEST_CASE("a stop answers a request that has come with the one before it in the same packet") {
    const certificate_files files("one");
    tls_server running(with(files));
    test::door door;
    const test::door_opener opener(door);
    running.server.get("/held", [&](const request&, deferred&) {
        door.wait();
        return text(status::ok, "held");
    });
    running.start();
    auto client = running.connect();
    client.send(get("/held") + get("/"));
    REQUIRE(door.wait_for_waiters(1));
    std::jthread stopper([&] { CHECK(running.stop().clean()); });
    REQUIRE(test::eventually([&] { return running.log.count({"stopping"}) == 1; }));
    door.open();
    CHECK(client.read()->body() == "held");
    const auto second = client.read();
    REQUIRE(second);
    CHECK(second->body() == "0");
    CHECK(!second->keep_alive());
}

TEST_CASE("a stop answers a request that lies in the TLS stream, in a record of its own") {
    const certificate_files files("one");
    tls_server running(with(files));
    test::door door;
    const test::door_opener opener(door);
    test::door begun;
    const test::door_opener begun_opener(begun);
    running.server.get("/first", [&](const request&, deferred&) {
        begun.wait();
        return text(status::ok, "first");
    });
    running.server.get("/held", [&](const request&, deferred&) {
        door.wait();
        return text(status::ok, "held");
    });
    running.start();
    auto client = running.connect();
    // While the first is handled, two more records come, which the next read takes together.
    client.send(get("/first"));
    REQUIRE(begun.wait_for_waiters(1));
    client.send(get("/held"));
    client.send(get("/"));
    begun.open();
    CHECK(client.read()->body() == "first");
    REQUIRE(door.wait_for_waiters(1));
    std::jthread stopper([&] { CHECK(running.stop().clean()); });
    REQUIRE(test::eventually([&] { return running.log.count({"stopping"}) == 1; }));
    door.open();
    CHECK(client.read()->body() == "held");
    const auto last = client.read();
    REQUIRE(last);
    CHECK(last->body() == "0");
    CHECK(!last->keep_alive());
}

TEST_CASE("the certificate is replaced without a restart, and a broken one is not taken") {
    const certificate_files files("old");
    tls_server running(with(files));
    running.start();
    auto before = running.connect();
    CHECK(before.name() == "old");
    files.write("new");
    CHECK(running.connect().name() == "old");  // not read before it is asked for
    running.server.reload_certificate();
    auto after = running.connect();
    CHECK(after.name() == "new");
    CHECK(before.get("/").body() == "0");

    files.spoil();
    try {
        running.server.reload_certificate();
        FAIL("it took what is no certificate");
    } catch (const boost::system::system_error& e) {
        CHECK(e.code() == postlude::errc::bad_option);
        CHECK(std::string(e.what()).starts_with("tls_options::certificate_chain: '" +
                                                files.chain() + "': "));
    }
    auto still = running.connect();
    CHECK(still.name() == "new");
    CHECK(still.get("/").body() == "0");
    CHECK(before.get("/").body() == "0");
    CHECK(after.get("/").body() == "0");
}

TEST_CASE("what is wrong with the files of TLS is said in a sentence") {
    const certificate_files good("one");
    const certificate_files other("two");
    const certificate_files rsa("three", test::key_kind::rsa);
    const auto refused = [](const std::string& chain, const std::string& key) {
        return why_not({.port = 0, .tls = {{.certificate_chain = chain, .private_key = key}}});
    };
    CHECK(refused(good.chain(), good.private_key()).empty());
    CHECK(refused(rsa.chain(), rsa.private_key()).empty());
    CHECK(refused("/none.pem", good.private_key())
              .starts_with("tls_options::certificate_chain: '/none.pem': No such file"));
    CHECK(refused(good.chain(), "/none.pem")
              .starts_with("tls_options::private_key: '/none.pem': No such file"));
    CHECK(refused(good.private_key(), good.private_key())
              .starts_with("tls_options::certificate_chain: '" + good.private_key() + "': "));
    CHECK(refused(good.chain(), good.chain())
              .starts_with("tls_options::private_key: '" + good.chain() + "': "));
    CHECK(refused(good.chain(), other.private_key())
              .starts_with("tls_options::private_key: '" + other.private_key() + "'"));
    CHECK(refused(good.chain(), rsa.private_key())
              .starts_with("tls_options::private_key: '" + rsa.private_key() + "'"));
    CHECK(refused("", "").starts_with("tls_options::certificate_chain: ''"));
    server plain({.port = 0});
    CHECK_THROWS_WITH(
        plain.reload_certificate(),
        Catch::Matchers::StartsWith("there is no certificate: server_options::tls is not set"));
}

TEST_CASE("SIGHUP has the certificate read again, and a broken one only logged") {
    const certificate_files files("old");
    test::child_program server(
        {PROGRAM_SERVE, "5000", "0", "1000", files.chain(), files.private_key()});
    REQUIRE(test::eventually([&] { return !server.values("port").empty(); }));
    const auto port = static_cast<unsigned short>(std::stoi(server.values("port")[0]));
    // It answers, so it has set its signals up.
    tls_client before(port);
    CHECK(before.get("/work").body() == "done");
    CHECK(before.name() == "old");

    files.write("new");
    server.send_signal(SIGHUP);
    REQUIRE(
        test::eventually([&] { return server.count({"the certificate was read again"}) == 1; }));
    CHECK(tls_client(port).name() == "new");
    files.spoil();
    server.send_signal(SIGHUP);
    REQUIRE(test::eventually(
        [&] { return server.count({"the old certificate is kept", files.chain()}) == 1; }));
    CHECK(tls_client(port).name() == "new");
    CHECK(before.get("/work").body() == "done");
    server.send_signal(SIGTERM);
    CHECK(server.wait() == 0);
}
