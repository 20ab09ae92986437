// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
// Where a server listens, how many connections it takes, what it counts, and `shutdown`.
#include "postlude/http/server.hpp"

#include "postlude/http/exchange.hpp"
#include "support/catch.hpp"
#include "support/running_server.hpp"
#include "support/temporary_directory.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/system/system_error.hpp>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <latch>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using postlude::deferred;
using postlude::http::inherited_sockets;
using postlude::http::request;
using postlude::http::server;
using postlude::http::server_options;
using postlude::http::status;
using postlude::http::text;

namespace {

void add_page(server& s) {
    s.get("/", [](const request&, deferred&) { return text(status::ok, "page"); });
}

std::string why_not(server_options options) {
    try {
        const server s(std::move(options));
    } catch (const boost::system::system_error& e) {
        return e.what();
    }
    return "";
}

/// A socket of the test's own, closed at the end.
class descriptor {
public:
    explicit descriptor(int family, int type = SOCK_STREAM)
        : fd_(::socket(family, type | SOCK_CLOEXEC, 0)) {}
    descriptor(const descriptor&) = delete;
    descriptor& operator=(const descriptor&) = delete;
    ~descriptor() { ::close(fd_); }
    int get() const { return fd_; }

    /// On any port of 127.0.0.1; returns it.
    unsigned short listen() const {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        auto* const any = reinterpret_cast<sockaddr*>(&address);
        REQUIRE(::bind(fd_, any, size) == 0);
        REQUIRE(::listen(fd_, 128) == 0);
        REQUIRE(::getsockname(fd_, any, &size) == 0);
        return ntohs(address.sin_port);
    }

private:
    int fd_;
};

/// Variables of the environment as long as it lives.
class variables {
public:
    variables(const std::string& pid, const std::string& count) {
        ::setenv("LISTEN_PID", pid.c_str(), 1);
        ::setenv("LISTEN_FDS", count.c_str(), 1);
        ::setenv("LISTEN_FDNAMES", "web", 1);
    }
    variables(const variables&) = delete;
    variables& operator=(const variables&) = delete;
    ~variables() {
        for (const char* const name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) {
            ::unsetenv(name);
        }
    }
};

}  // namespace

TEST_CASE("a server listens on an IPv6 address, and says so in its access log") {
    const test::captured_log lines;
    test::running_server running({.address = "::1", .access_log = lines.logger()});
    add_page(running.server);
    running.start();
    CHECK(test::http_client::by_ipv6(running.server.port()).get("/").body() == "page");
    CHECK_THROWS_AS(running.connect(), std::system_error);  // that would be IPv4
    CHECK(test::eventually([&] { return lines.count({"::1 \"GET /\" 200"}) == 1; }));
    const auto busy = why_not({.address = "::1", .port = running.server.port()});
    CHECK(busy.starts_with("[::1]:" + std::to_string(running.server.port()) + " is in use"));
}

TEST_CASE("'::' listens on every address of both kinds") {
    const test::captured_log lines;
    test::running_server running({.address = "::", .access_log = lines.logger()});
    add_page(running.server);
    running.start();
    CHECK(test::http_client::by_ipv6(running.server.port()).get("/").body() == "page");
    CHECK(running.connect().get("/").body() == "page");
    CHECK(test::eventually([&] { return lines.count({"127.0.0.1 \"GET /\" 200"}) == 1; }));
}

TEST_CASE("a server makes a Unix-domain socket, serves there, and removes it at the end") {
    const test::temporary_directory directory;
    const auto path = directory.file("web.sock");
    const test::captured_log lines;
    {
        test::running_server running({.address = "unix:" + path, .access_log = lines.logger()});
        add_page(running.server);
        CHECK(std::filesystem::is_socket(path));
        CHECK(running.server.port() == 0);
        running.start();
        test::http_client client(path);
        CHECK(client.get("/").body() == "page");
        CHECK(client.get("/").body() == "page");
        CHECK(running.stop().clean());
        CHECK(client.ended());
    }
    CHECK(!std::filesystem::exists(path));
    CHECK(lines.count({"unix \"GET /\" 200"}) == 2);
    {
        const server never_run({.address = "unix:" + path});
        CHECK(std::filesystem::is_socket(path));
    }
    CHECK(!std::filesystem::exists(path));
}

TEST_CASE("a Unix-domain socket that nobody listens on is replaced, a live one is not") {
    const test::temporary_directory directory;
    const auto path = directory.file("web.sock");
    {
        const descriptor killed(AF_UNIX);
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path.copy(address.sun_path, sizeof address.sun_path - 1);
        REQUIRE(::bind(killed.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    }
    REQUIRE(std::filesystem::is_socket(path));
    test::running_server running({.address = "unix:" + path});
    add_page(running.server);
    running.start();
    CHECK(test::http_client(path).get("/").body() == "page");

    CHECK(why_not({.address = "unix:" + path})
              .starts_with(path + " is in use by another program; choose another path"));
    CHECK(test::http_client(path).get("/").body() == "page");

    const auto file = directory.file("file");
    std::ofstream(file) << "precious";
    CHECK(why_not({.address = "unix:" + file})
              .starts_with("'" + file + "' is a file, and no socket"));
    CHECK(std::filesystem::file_size(file) == 8);
    CHECK(why_not({.address = "unix:" + directory.file("none/web.sock")})
              .starts_with(directory.file("none/web.sock") + ": cannot listen there"));
    CHECK(why_not({.address = "unix:/" + std::string(200, 'x')})
              .find("is too long for a Unix-domain socket") != std::string::npos);
}

TEST_CASE("a server does not remove the socket of another one that has taken its place") {
    const test::temporary_directory directory;
    const auto path = directory.file("web.sock");
    std::optional<test::running_server> first;
    first.emplace(server_options{.address = "unix:" + path});
    first->start();
    SECTION("after the first has stopped") {
        first->stop();
        test::running_server second({.address = "unix:" + path});
        add_page(second.server);
        second.start();
        first.reset();
        CHECK(test::http_client(path).get("/").body() == "page");
    }
    SECTION("before") {
        REQUIRE(::unlink(path.c_str()) == 0);
        test::running_server second({.address = "unix:" + path});
        add_page(second.server);
        second.start();
        first.reset();
        CHECK(test::http_client(path).get("/").body() == "page");
    }
}

TEST_CASE("a server serves on a socket that listened before, and leaves it open for the next") {
    const descriptor listening(AF_INET);
    const auto port = listening.listen();
    test::http_client waiting(port);  // in the backlog, with no server yet
    for (int i = 0; i < 2; ++i) {
        const int copy = ::fcntl(listening.get(), F_DUPFD_CLOEXEC, 0);
        test::running_server running({.inherited_socket = copy});
        add_page(running.server);
        CHECK(running.server.port() == port);
        running.start();
        if (i == 0) {
            CHECK(waiting.get("/").body() == "page");
        }
        CHECK(running.connect().get("/").body() == "page");
        CHECK(running.stop().clean());
        CHECK(::fcntl(copy, F_GETFD) == -1);  // its own copy is closed
        const test::http_client between(port);
    }
}

TEST_CASE("a descriptor that cannot be listened on is refused with a sentence") {
    const auto refused = [](int fd) { return why_not({.inherited_socket = fd}); };
    const auto names = [](int fd) {
        return "server_options::inherited_socket: descriptor " + std::to_string(fd);
    };
    const descriptor idle(AF_INET);
    CHECK(refused(idle.get()).starts_with(names(idle.get()) + " is a socket that does not listen"));
    const descriptor datagrams(AF_INET, SOCK_DGRAM);
    CHECK(refused(datagrams.get())
              .starts_with(names(datagrams.get()) + " is a socket that does not listen"));
    const int file = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    CHECK(refused(file).starts_with(names(file) + " is no socket"));
    ::close(file);
    CHECK(refused(file).starts_with(names(file) + " is no socket"));
    CHECK(refused(-2).starts_with(names(-2) + " is no socket"));
}

TEST_CASE("inherited_sockets takes what is meant for this process, and once") {
    const auto me = std::to_string(::getpid());
    CHECK(inherited_sockets().empty());
    {
        const variables set(me, "2");
        CHECK(inherited_sockets() == std::vector{3, 4});
        CHECK(std::getenv("LISTEN_PID") == nullptr);
        CHECK(std::getenv("LISTEN_FDS") == nullptr);
        CHECK(std::getenv("LISTEN_FDNAMES") == nullptr);
        CHECK(inherited_sockets().empty());
    }
    {
        const variables set(std::to_string(::getppid()), "2");
        CHECK(inherited_sockets().empty());
        CHECK(std::getenv("LISTEN_FDS") == std::string("2"));  // they are another's
    }
    for (const auto* const count : {"0", "-1", "", "x", "2x"}) {
        INFO(count);
        const variables set(me, count);
        CHECK(inherited_sockets().empty());
    }
    const variables set(me + "x", "1");
    CHECK(inherited_sockets().empty());
}

TEST_CASE("over the limit of connections a new one gets 503, and that is logged once") {
    const test::captured_log lines;
    test::running_server running({.connection_limit = 2, .access_log = lines.logger()});
    running.server.get("/held", [](const request&, deferred&) { return text(status::ok, "held"); });
    running.server.stream(postlude::http::verb::post, "/",
                          [](postlude::http::exchange& e) -> boost::asio::awaitable<void> {
                              co_await e.read();
                              co_await e.respond(text(status::ok, "read"));
                          });
    running.start();
    // Two that are not silent: each has sent a part of a request.
    std::vector<test::http_client> busy;
    for (std::size_t i = 1; i <= 2; ++i) {
        busy.push_back(running.connect());
        busy.back().send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n\r\n");
        REQUIRE(test::eventually([&] { return running.server.counters().requests == i; }));
    }
    const auto since = std::chrono::steady_clock::now();
    for (int i = 0; i < 3; ++i) {
        auto refused = running.connect();
        const auto got = refused.read();
        REQUIRE(got);
        CHECK(got->result() == status::service_unavailable);
        CHECK((*got)["Retry-After"] == "1");
        CHECK(!got->keep_alive());
        CHECK(refused.ended());
    }
    CHECK(running.server.counters().refused == 3);
    CHECK(running.server.counters().accepted == 5);
    CHECK(running.server.counters().connections == 2);
    // Once a second at most.
    const auto logged =
        running.log.count({"there are 2 connections already: new ones are refused"});
    const auto took = std::chrono::steady_clock::now() - since;
    CHECK(logged >= 1);
    CHECK(logged <= 1 + static_cast<std::size_t>(took / 1s));
    CHECK(lines.count({"127.0.0.1 \"- -\" 503"}) == 3);
    for (auto& client : busy) {
        CHECK(client.ask("x").body() == "read");
    }
    // Now they are silent, so there is room.
    CHECK(running.connect().get("/held").body() == "held");
}

TEST_CASE("at the limit, the connection that has been silent for the longest time makes room") {
    test::running_server running({.connection_limit = 3});
    add_page(running.server);
    running.start();
    std::vector<test::http_client> clients;
    for (int i = 0; i < 3; ++i) {
        clients.push_back(running.connect());
        CHECK(clients.back().get("/").body() == "page");
    }
    CHECK(clients[0].get("/").body() == "page");
    auto fourth = running.connect();
    CHECK(fourth.get("/").body() == "page");
    CHECK(clients[1].ended());
    CHECK(clients[0].get("/").body() == "page");
    CHECK(clients[2].get("/").body() == "page");
    CHECK(running.server.counters().refused == 0);
    REQUIRE(test::eventually([&] { return running.server.counters().connections == 3; }));
    // Those that were put out take no room: any number may come.
    for (int i = 0; i < 100; ++i) {
        clients.push_back(running.connect());
        CHECK(clients.back().get("/").body() == "page");
        CHECK(running.server.counters().connections <= 4);
    }
}

TEST_CASE("several threads serve: one that is busy does not hold the others up") {
    constexpr unsigned threads = 3;
    test::running_server running({.threads = threads});
    std::latch all(threads);
    std::mutex mutex;
    std::set<std::thread::id> served;
    running.server.get("/", [&](const request&, deferred&) {
        {
            const std::lock_guard lock(mutex);
            served.insert(std::this_thread::get_id());
        }
        all.arrive_and_wait();
        return text(status::ok, "together");
    });
    running.start();
    std::vector<test::http_client> clients;
    for (unsigned i = 0; i < threads; ++i) {
        clients.push_back(running.connect());
        clients.back().send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
    }
    for (auto& client : clients) {
        CHECK(client.read()->body() == "together");
    }
    CHECK(served.size() == threads);
}

TEST_CASE("a server counts what it has seen") {
    test::running_server running({.header_timeout = 1s});
    add_page(running.server);
    running.start();
    auto stays = running.connect();
    stays.get("/");
    stays.get("/none");
    {
        auto bad = running.connect();
        bad.ask("nonsense\r\n\r\n");
        CHECK(bad.ended());
        auto slow = running.connect();
        slow.send("GET");
        CHECK(slow.read()->result() == status::request_timeout);
    }
    REQUIRE(test::eventually([&] { return running.server.counters().connections == 1; }));
    const auto counted = running.server.counters();
    CHECK(counted.accepted == 3);
    CHECK(counted.refused == 0);
    CHECK(counted.requests == 2);
    CHECK(counted.malformed == 2);
    CHECK(counted.timed_out == 1);
}

TEST_CASE("shutdown stops the server under a deadline of its own") {
    test::running_server running;
    test::door door;
    const test::door_opener opener(door);
    running.server.get("/", [&](const request&, deferred& after) {
        after.run([door] { door.wait(); }, {.name = "stuck"});
        return text(status::ok, "page");
    });
    SECTION("from another thread") {
        running.start();
        CHECK(running.connect().get("/").body() == "page");
        REQUIRE(door.wait_for_waiters(1));
        running.server.shutdown(4s);
    }
    SECTION("in a handler, which still answers") {
        running.server.post("/stop", [&](const request&, deferred&) {
            running.server.shutdown(4s);
            return text(status::accepted, "stopping");
        });
        running.start();
        auto client = running.connect();
        CHECK(client.get("/").body() == "page");
        REQUIRE(door.wait_for_waiters(1));
        CHECK(client.ask("POST /stop HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n").body() ==
              "stopping");
    }
    const auto since = std::chrono::steady_clock::now();
    running.server.shutdown(1h);  // the first one holds
    const auto report = running.stop();
    CHECK(std::chrono::steady_clock::now() - since < 20s);  // the option says 25
    REQUIRE(report.lost.size() == 1);
    CHECK(report.lost[0].name == "stuck");
    CHECK(running.log.count({"stopping: ", "4000 ms at most"}) == 1);
}

TEST_CASE("shutdown refuses a deadline that is none") {
    server s({.port = 0});
    CHECK_THROWS_WITH(s.shutdown(-1ms),
                      Catch::Matchers::StartsWith("server::shutdown takes 0 ms to a year"));
    CHECK_THROWS_WITH(s.shutdown(std::chrono::hours(24 * 400)),
                      Catch::Matchers::StartsWith("server::shutdown takes 0 ms to a year"));
}
