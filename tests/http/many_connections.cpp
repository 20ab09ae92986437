// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
// 10,000 connections that say nothing and 1,000 that drip, and a good client among them.
#include "postlude/http/server.hpp"

#include "support/catch.hpp"
#include "support/child_program.hpp"
#include "support/open_files.hpp"
#include "support/running_server.hpp"

#include <string>

using namespace std::chrono_literals;
using postlude::deferred;
using postlude::http::request;
using postlude::http::server_options;
using postlude::http::status;
using postlude::http::text;

namespace {

constexpr std::size_t silent = 10'000;
constexpr std::size_t dripping = 1'000;

class crowd : public test::child_program {
public:
    explicit crowd(unsigned short port)
        : child_program({PROGRAM_CROWD, std::to_string(port), std::to_string(silent),
                         std::to_string(dripping)}) {}

    /// After its end.
    std::size_t count(std::string_view what) const {
        const auto found = values(what);
        return found.size() == 1 ? std::stoul(found[0]) : std::string::npos;
    }
};

void add_echo(test::running_server& running) {
    running.server.post("/", [](const request& req, deferred& after) {
        after.run([] {});
        return text(status::ok, req.body());
    });
    running.start();
}

/// Each one on the same connection, which has to stay.
std::size_t right_answers(test::http_client& client, std::size_t requests) {
    std::size_t right = 0;
    for (std::size_t i = 0; i < requests; ++i) {
        const auto body = std::to_string(i);
        const auto got = client.ask("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: " +
                                    std::to_string(body.size()) + "\r\n\r\n" + body);
        right += got.result_int() == 200 && got.body() == body && got.keep_alive() ? 1 : 0;
    }
    return right;
}

}  // namespace

TEST_CASE("a good client is served among 11,000 bad ones, and a stop does not wait for the silent",
          "[many]") {
    test::allow_open_files(silent + dripping + 500);
    // A dripping request must not end by itself, however slow this machine is.
    test::running_server running(server_options{.header_timeout = 1h});
    add_echo(running);
    crowd bad(running.server.port());
    REQUIRE(test::eventually(
        [&] { return running.server.counters().connections == silent + dripping; }));
    auto client = running.connect();
    CHECK(right_answers(client, 1'000) == 1'000);
    CHECK(running.server.counters().connections == silent + dripping + 1);

    running.server.shutdown(10s);
    CHECK(running.stop().clean());
    CHECK(bad.wait() == 0);
    CHECK(bad.count("silent") == silent);
    // These are in the middle of a request, which is waited for while it may still be answered.
    CHECK(bad.count("cut") == dripping);
    CHECK(running.log.count({"connections are cut"}) == 1);
    CHECK(running.log.count({std::to_string(dripping) + " connections are cut"}) == 1);
    CHECK(running.counters().completed == 1'000);
}

TEST_CASE("10,000 silent connections are closed in time, and 1,000 dripping ones get a 408",
          "[many]") {
    test::allow_open_files(silent + dripping + 500);
    test::running_server running(server_options{.header_timeout = 2s, .keep_alive_timeout = 3s});
    add_echo(running);
    crowd bad(running.server.port());
    CHECK(bad.wait() == 0);
    CHECK(bad.count("silent") == silent);
    CHECK(bad.count("refused") == dripping);
    CHECK(test::eventually([&] { return running.server.counters().connections == 0; }));
    CHECK(running.server.counters().timed_out == dripping);
    CHECK(running.stop().clean());
}
