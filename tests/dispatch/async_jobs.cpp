// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/dispatch/async_jobs.hpp"

#include "dispatch/job_world.hpp"

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/system/system_error.hpp>

#include <catch2/catch.hpp>

#include <thread>

using namespace std::chrono_literals;
using namespace postlude;
using boost::system::error_code;
using boost::system::system_error;
using test::at_rest;
using test::call;
using test::durable_mail;
using test::eventually;
using test::job_world;
using test::journal;
using test::mailers;
using test::memory_mail;
using test::spill_mail;

namespace asio = boost::asio;

TEMPLATE_TEST_CASE("a job outside any request is accepted, and runs", "", memory_mail, spill_mail,
                   durable_mail) {
    job_world world;
    journal sent;
    dispatcher work(world.options(mailers(sent)));
    asio::io_context loop;
    job_id accepted = 0;
    SECTION("a callback") {
        asio::io_context other;
        async_enqueue(work, TestType{"ada"}, {}, loop.get_executor(),
                      asio::bind_executor(other, [&](error_code ec, job_id id) {
                          CHECK_FALSE(ec);
                          accepted = id;
                      }));
        loop.run();
        CHECK(accepted == 0);
        other.run();
    }
    SECTION("a future") {
        auto done = async_enqueue(work, TestType{"ada"}, {}, loop.get_executor(), asio::use_future);
        loop.run();
        accepted = done.get();
    }
    SECTION("a coroutine") {
        asio::co_spawn(
            loop,
            [&]() -> asio::awaitable<void> {
                // GCC 12 destroys what is made of braces in such an expression twice.
                const TestType mail{"ada"};
                const job_options options;
                accepted = co_await async_enqueue(work, mail, options, loop.get_executor(),
                                                  asio::use_awaitable);
            },
            asio::detached);
        loop.run();
    }
    CHECK(accepted != 0);
    REQUIRE(eventually([&] { return sent.size() == 1; }));
    CHECK(at_rest(work));
    if (TestType::job.stored == durability::durable) {
        CHECK(work.find({.ids = {accepted}, .state = job_state::done}).size() == 1);
    }
}

TEST_CASE(
    "a stored job outside any request is in the store when its "
    "completion comes") {
    job_world world;
    journal sent;
    dispatcher work(world.options(mailers(sent)));
    asio::io_context loop;
    auto done = async_enqueue(work, durable_mail{"ada"}, {.delay = 1h, .tags = {"a"}},
                              loop.get_executor(), asio::use_future);
    loop.run();
    const auto found = work.find({.ids = {done.get()}});
    REQUIRE(found.size() == 1);
    CHECK(found[0].state == job_state::ready);
    CHECK(found[0].job.tags == std::vector<std::string>{"a"});
    CHECK(found[0].job.request_id.empty());
    CHECK(at_rest(work));
}

TEST_CASE("a job outside any request is refused by an error, and does not exist") {
    job_world world;
    journal sent;
    test::door door;
    auto options = world.options(mailers(sent, [door](job_context&) { door.wait(); }));
    options.pool.default_queue.capacity = 1;
    options.jobs.commit_timeout = 20ms;
    dispatcher work(std::move(options));
    const test::door_opener opener(door);
    const test::releaser end(world.trouble);
    asio::io_context loop;
    const auto enqueue = [&](auto args) {
        error_code result;
        async_enqueue(work, std::move(args), {}, loop.get_executor(),
                      [&](error_code ec, job_id id) {
                          CHECK((id == 0) == static_cast<bool>(ec));
                          result = ec;
                      });
        loop.restart();
        loop.run();
        return result;
    };
    CHECK_FALSE(enqueue(memory_mail{"1"}));
    CHECK(enqueue(memory_mail{"2"}) == errc::full);
    world.trouble->fail(call::commit);
    CHECK(enqueue(durable_mail{"3"}) == errc::store_unavailable);
    world.trouble->hold(call::commit);
    CHECK(eventually([&] { return enqueue(durable_mail{"4"}) == errc::store_timeout; }));
    world.trouble->release(call::commit);
    CHECK(eventually([&] { return work.find({}).empty(); }));
    CHECK_THROWS_AS(enqueue(durable_mail{"\xff"}), system_error);
    door.open();
    REQUIRE(at_rest(work));
    work.shutdown(10s);
    CHECK(enqueue(memory_mail{"5"}) == errc::stopped);
    CHECK(enqueue(durable_mail{"6"}) == errc::stopped);
    CHECK(sent.lines() == std::vector<std::string>{"1"});
    CHECK(at_rest(work));
    CHECK(work.pool().counters().left == 0);
}

TEST_CASE("who came while a slow store was writing is written at once, however many there are") {
    job_world world;
    journal sent;
    auto options = world.options(mailers(sent));
    options.jobs.runs_jobs = false;
    options.jobs.commit_timeout = 60s;
    dispatcher work(std::move(options));
    const test::releaser end(world.trouble);
    asio::io_context loop;
    std::size_t stored = 0;
    const auto enqueue = [&](std::size_t n) {
        for (std::size_t i = 0; i != n; ++i) {
            async_enqueue(work, durable_mail{"ada"}, {}, loop.get_executor(),
                          [&](error_code ec, job_id) { stored += ec ? 0 : 1; });
        }
    };
    world.trouble->hold(call::commit);
    enqueue(1);
    REQUIRE(world.trouble->wait_for_held(call::commit));
    enqueue(1'000);
    std::this_thread::sleep_for(50ms);  // what the disk takes, and more than the rest
    world.trouble->release(call::commit);
    loop.run();
    CHECK(stored == 1'001);
    CHECK(world.trouble->count(call::commit) == 2);
}

TEST_CASE("looking and mending do not block who serves") {
    job_world world;
    journal sent;
    dispatcher work(world.options(mailers(sent)));
    const test::releaser end(world.trouble);
    REQUIRE(test::request_with(work, durable_mail{"ada"}, {.delay = 1h}) == 200);
    asio::io_context loop;
    world.trouble->hold(call::find);
    auto found = async_find(work, {}, loop.get_executor(), asio::use_future);
    loop.poll();  // comes back though the store does not answer
    REQUIRE(world.trouble->wait_for_held(call::find));
    world.trouble->release(call::find);
    loop.restart();
    loop.run();
    const auto jobs = found.get();
    REQUIRE(jobs.size() == 1);
    const std::vector ids{jobs[0].job.id};
    std::vector<amended> result;
    std::exception_ptr failure;
    asio::co_spawn(
        loop,
        [&]() -> asio::awaitable<void> {
            result = co_await async_amend(work, ids, amendment::cancel, loop.get_executor(),
                                          asio::use_awaitable);
        },
        asio::detached);
    loop.restart();
    loop.run();
    CHECK(result == std::vector{amended::changed});
    world.trouble->fail(call::find);
    async_find(work, {}, loop.get_executor(),
               [&](std::exception_ptr e, const std::vector<job_view>& none) {
                   failure = e;
                   CHECK(none.empty());
               });
    loop.restart();
    loop.run();
    CHECK_THROWS_AS(std::rethrow_exception(failure), system_error);
}

TEST_CASE("who looks while the dispatcher ends gets an answer") {
    job_world world;
    journal sent;
    dispatcher work(world.options(mailers(sent)));
    const test::releaser end(world.trouble);
    asio::io_context loop;
    int answers = 0;
    const auto look = [&] {
        async_find(work, {}, loop.get_executor(),
                   [&](const std::exception_ptr&, const std::vector<job_view>&) { ++answers; });
    };
    world.trouble->hold(call::find);
    look();
    REQUIRE(world.trouble->wait_for_held(call::find));
    look();  // waits behind it
    std::jthread ends([&] { work.shutdown(60s); });
    REQUIRE(eventually([&] { return test::request_with(work, memory_mail{}) == 503; }));
    REQUIRE(eventually([&] { return test::request_with(work, durable_mail{}) == 503; }));
    world.trouble->release(call::find);
    ends.join();
    look();  // after the end
    loop.run();
    CHECK(answers == 3);
}
