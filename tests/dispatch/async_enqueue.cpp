// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
// `deferred::async_enqueue`: jobs of a response that is under way already.
#include "postlude/dispatch/async_jobs.hpp"

#include "dispatch/job_world.hpp"

#include "support/catch.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>

#include <memory>
#include <optional>

using namespace postlude;
using boost::system::error_code;
using test::call;
using test::durable_mail;
using test::eventually;
using test::job_world;
using test::journal;
using test::mailers;
using test::memory_mail;

namespace asio = boost::asio;

TEST_CASE("while a response is streamed, a job is stored when its registration completes") {
    job_world world;
    journal sent;
    dispatcher work(world.options(mailers(sent)));
    asio::io_context loop;
    deferred after(work, {.id = "request-1"});
    pending_response response(after, 200);
    bool stored = false;
    SECTION("a callback") {
        after.async_enqueue(durable_mail{"ada"}, {}, loop.get_executor(),
                            [&](error_code ec) { stored = !ec && work.find({}).size() == 1; });
        loop.run();
    }
    SECTION("a coroutine") {
        asio::co_spawn(
            loop,
            [&]() -> asio::awaitable<void> {
                const durable_mail mail{"ada"};  // by name: see the header
                const job_options options;
                co_await after.async_enqueue(mail, options, loop.get_executor(),
                                             asio::use_awaitable);
                stored = work.find({}).size() == 1;
            },
            asio::detached);
        loop.run();
    }
    CHECK(stored);
    CHECK(work.find({}).at(0).job.request_id == "request-1");
    response.end({});
    response.release();
    CHECK(eventually([&] { return sent.size() == 1; }));
    CHECK(test::at_rest(work));
}

TEST_CASE("a job that was stored for a response which then fails is withdrawn") {
    job_world world;
    journal sent;
    auto options = world.producer(mailers(sent));
    dispatcher work(std::move(options));
    asio::io_context loop;
    deferred after(work);
    pending_response response(after, 200);
    auto done = after.async_enqueue(durable_mail{"ada"}, {}, loop.get_executor(), asio::use_future);
    loop.run();
    CHECK_NOTHROW(done.get());
    CHECK(work.find({}).size() == 1);
    response.handler_failed();
    response.end({});
    response.release();
    CHECK(eventually([&] { return work.find({}).empty(); }));
    CHECK(work.job_counters().discarded == 1);
    CHECK(test::at_rest(work));
}

TEST_CASE("a store that is gone is told to whoever awaits it, and leaves the response alone") {
    job_world world;
    journal sent;
    dispatcher work(world.options(mailers(sent)));
    world.trouble->gone();
    asio::io_context loop;
    {
        deferred after(work);
        error_code told;
        after.async_enqueue(durable_mail{"ada"}, {}, loop.get_executor(),
                            [&](error_code ec) { told = ec; });
        loop.run();
        CHECK(told == errc::store_unavailable);
        CHECK_FALSE(after.refused());
        CHECK(after.enqueue(memory_mail{"bob"}));
        CHECK(test::respond(after) == 200);
    }
    CHECK(eventually([&] { return sent.size() == 1; }));
    world.trouble->gone(false);
    CHECK(work.job_counters().refused == 1);
    CHECK(test::at_rest(work));
    CHECK(sent.lines() == std::vector<std::string>{"bob"});
}

TEST_CASE("a job is settled though its event loop ends before its registration has completed") {
    job_world world;
    journal sent;
    dispatcher work(world.producer(mailers(sent)));
    auto loop = std::make_unique<asio::io_context>();
    {
        deferred after(work);
        after.async_enqueue(durable_mail{"ada"}, {}, loop->get_executor(), [](error_code) {});
        CHECK(test::respond(after) == 200);
    }
    CHECK(work.shutdown(std::chrono::seconds(20)).clean());  // so nothing is posted any more
    CHECK(work.job_counters().left == 1);
    loop.reset();
    CHECK(work.job_counters().left == 0);
    CHECK(work.job_counters().handed_over == 1);
}
