// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/dispatch/testing.hpp"

#include "dispatch/job_world.hpp"
#include "postlude/dispatch/async_jobs.hpp"

#include <boost/asio/io_context.hpp>

#include <catch2/catch.hpp>

using namespace std::chrono_literals;
using namespace postlude;
using postlude::testing::job_tester;
using test::adds_up;
using test::durable_mail;
using test::journal;
using test::mailers;
using test::memory_mail;
using test::request_with;
using test::respond;
using test::spill_mail;

TEST_CASE("by hand: jobs of all kinds can be looked at, and run when the test says so") {
    journal sent;
    job_tester jobs(mailers(sent));
    request_with(jobs.get_dispatcher(), memory_mail{"ada"});
    request_with(jobs.get_dispatcher(), spill_mail{"bob"});
    request_with(jobs.get_dispatcher(), durable_mail{"cleo"});
    CHECK(jobs.was_enqueued(memory_mail{"ada"}));
    CHECK(jobs.was_enqueued(spill_mail{"bob"}));
    CHECK(jobs.was_enqueued(durable_mail{"cleo"}));
    CHECK_FALSE(jobs.was_enqueued(durable_mail{"ada"}));
    CHECK(jobs.enqueued<durable_mail>().size() == 1);
    CHECK(sent.size() == 0);
    CHECK(jobs.run_ready() == 3);
    CHECK(sent.lines() == std::vector<std::string>{"ada", "bob", "cleo"});
    CHECK(jobs.run_ready() == 0);
    CHECK(jobs.was_enqueued(durable_mail{"cleo"}));
}

TEST_CASE("by hand: a request that failed has enqueued nothing") {
    journal sent;
    job_tester jobs(mailers(sent));
    request_with(jobs.get_dispatcher(), durable_mail{"ada"}, {}, 404);
    CHECK(jobs.enqueued<durable_mail>().empty());
    CHECK(jobs.run_ready() == 0);
}

TEST_CASE("by hand: delays and the waits before a retry end when the test lets time pass") {
    journal sent;
    job_registry kinds = mailers(sent);
    job_tester jobs(std::move(kinds));
    request_with(jobs.get_dispatcher(), durable_mail{"ada"}, {.delay = 5min});
    CHECK(jobs.run_ready() == 0);
    jobs.pass(5min - 1ms);
    CHECK(jobs.run_ready() == 0);
    jobs.pass(1ms);
    CHECK(jobs.run_ready() == 1);
}

TEST_CASE("by hand: what a job enqueues, and a retry that need not wait, run in the same call") {
    journal sent;
    job_registry kinds;
    kinds.handle<durable_mail>([&](const durable_mail& mail, job_context& job) {
        sent.note(mail.to);
        if (job.attempt() == 1) {
            throw std::runtime_error("again");
        }
        job.enqueue(memory_mail{"the next"});
    });
    kinds.handle<memory_mail>([&](const memory_mail& mail) { sent.note(mail.to); });
    job_tester jobs(std::move(kinds));
    request_with(jobs.get_dispatcher(), durable_mail{"ada"});
    CHECK(jobs.run_ready() == 3);
    CHECK(sent.lines() == std::vector<std::string>{"ada", "ada", "the next"});
}

TEST_CASE("by hand: running what is ready does not wait for a request that is still open") {
    journal sent;
    job_tester jobs(mailers(sent));
    deferred open(jobs.get_dispatcher());
    open.enqueue(durable_mail{"ada"});
    CHECK(jobs.run_ready() == 0);
    respond(open);
    CHECK(jobs.run_ready() == 1);
}

TEST_CASE("at once: a request's jobs have run when its response was released") {
    journal sent;
    job_tester jobs(mailers(sent), job_running::at_once);
    {
        deferred after(jobs.get_dispatcher());
        after.enqueue(durable_mail{"ada"});
        after.enqueue(spill_mail{"bob"});
        after.enqueue(memory_mail{"cleo"});
        CHECK(sent.size() == 0);
        respond(after);
    }
    CHECK(sent.size() == 3);
    CHECK(jobs.was_enqueued(spill_mail{"bob"}));
    CHECK(adds_up(jobs.get_dispatcher().job_counters()));
}

TEST_CASE("at once: a job outside any request has run when its completion comes") {
    journal sent;
    job_tester jobs(mailers(sent), job_running::at_once);
    boost::asio::io_context loop;
    std::size_t seen = 0;
    async_enqueue(jobs.get_dispatcher(), durable_mail{"ada"}, {}, loop.get_executor(),
                  [&](boost::system::error_code ec, job_id id) {
                      CHECK_FALSE(ec);
                      CHECK(id != 0);
                      seen = sent.size();
                  });
    loop.run();
    CHECK(seen == 1);
}
