// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
// What a response has to do with its request's jobs.
#include "postlude/http/respond.hpp"

#include "dispatch/job_world.hpp"
#include "support/catch.hpp"
#include "support/running_server.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/beast/_experimental/test/stream.hpp>

#include <memory>
#include <string>

using namespace std::chrono_literals;
using postlude::deferred;
using postlude::http::request;
using postlude::http::response;
using postlude::http::server_options;
using postlude::http::status;
using postlude::http::text;
using test::call;
using test::durable_mail;
using test::job_world;
using test::journal;
using test::mailers;

namespace {

server_options with_jobs(job_world& world, journal& sent) {
    server_options options;
    options.dispatcher = world.options(mailers(sent));
    return options;
}

}  // namespace

TEST_CASE("a list may be destroyed while its response waits for a second commit") {
    job_world world;
    journal sent;
    postlude::dispatcher work(world.options(mailers(sent)));
    boost::asio::io_context loop;
    boost::beast::test::stream stream(loop);
    auto peer = boost::beast::test::connect(stream);
    auto res = text(status::ok, "x");
    {
        deferred after(work);
        after.enqueue(durable_mail{"ada"});
        REQUIRE_FALSE(commit(after, 200));
        after.enqueue(durable_mail{"bob"});
        REQUIRE(after.must_commit(200));
        postlude::async_respond(stream, res, after,
                                [](boost::system::error_code ec, std::size_t) { CHECK_FALSE(ec); });
    }
    loop.run();
    CHECK(peer.str().starts_with("HTTP/1.1 200 "));
    CHECK(test::eventually([&] { return work.job_counters().completed == 2; }));
    CHECK(test::at_rest(work));
    CHECK(sent.size() == 2);
    CHECK(work.job_counters().discarded == 0);
}

TEST_CASE("a response that is no response stores none of its request's jobs") {
    const auto spoil = GENERATE(
        as<void (*)(response&)>{}, [](response& res) { res.set("X", "a\r\nSet-Cookie: x=1"); },
        [](response& res) { res.reason("OK\nb: c"); }, [](response& res) { res.result(103); });
    job_world world;
    journal sent;
    test::running_server running(with_jobs(world, sent));
    const auto answer = [spoil](const request&, deferred& after) {
        after.enqueue(durable_mail{"ada"});
        auto res = text(status::ok, "x");
        spoil(res);
        return res;
    };
    running.server.get("/", answer);
    running.server.post("/", answer);  // with a body, it is served another way
    running.start();
    auto client = running.connect();
    CHECK(client.get("/").result() == status::internal_server_error);
    CHECK(client.ask("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n\r\nx").result() ==
          status::internal_server_error);
    CHECK(world.trouble->count(call::commit) == 0);
    CHECK(running.stop().clean());
    CHECK(running.server.get_dispatcher().job_counters().discarded == 2);
    CHECK(sent.size() == 0);
}
