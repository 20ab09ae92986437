// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
// Connections that are lost, brokers that are restarted, programs in other languages.
#include "postlude/backends/rabbitmq.hpp"

#include "conformance.hpp"
#include "postlude/core/error.hpp"
#include "rabbitmq_support.hpp"
#include "support/child_program.hpp"

#include <boost/system/system_error.hpp>

#include <algorithm>
#include <cstdlib>
#include <thread>

using namespace postlude;
using namespace test;
using namespace std::chrono_literals;
using outcome = put_result::outcome;

namespace {

const open_options two_kinds{.kinds = {{"a", 0}, {"b", 0}}};

std::vector<claimed_job> claim_some(backend& b) {
    try {
        return b.claim(std::vector<std::size_t>{100}, 5ms);
    } catch (const boost::system::system_error& e) {
        CHECK(e.code() == errc::store_unavailable);
        return {};
    }
}

bool put_works(backend& b, const put& one) {
    try {
        return put_one(b, one).what == outcome::stored;
    } catch (const boost::system::system_error& e) {
        CHECK(e.code() == errc::store_unavailable);
        return false;
    }
}

/// Claims and finishes until all of these are done.
bool all_are_done(backend& b, std::vector<job_id> wanted) {
    return eventually([&] {
        for (const auto& one : claim_some(b)) {
            settle(b, one.held, verdict::done);
            std::erase(wanted, one.job.id);
        }
        return wanted.empty();
    });
}

/// What a Python program prints that sees `broker` (a connection) and `channel`.
std::vector<std::string> python(const std::string& url, const std::string& prefix,
                                const std::string& program) {
    child_program run({"/usr/bin/python3", "-c",
                       "import pika, json, sys\n"
                       "broker = pika.BlockingConnection(pika.URLParameters('" +
                           url + "'))\nchannel = broker.channel()\nprefix = '" + prefix + "'\n" +
                           program});
    CHECK(run.wait() == 0);
    return run.values("said");
}

}  // namespace

TEST_CASE("RabbitMQ: after connections were cut, calls work again, and what was held is ready") {
    rabbitmq_store store;
    const auto b = store.connect();
    b->open(two_kinds);
    put_jobs(*b, {1, 2});
    const auto held = claim_some(*b);
    REQUIRE(held.size() == 2);
    store.proxy().cut();
    CHECK(eventually([&] { return put_works(*b, a_job(3)); }));
    CHECK(eventually([&] { return b->renew(std::span(&held[0].held, 1)).size() == 1; }));
    CHECK(settle(*b, held[0].held, verdict::done) == settled::lost_lease);
    CHECK(all_are_done(*b, {1, 2, 3}));
}

TEST_CASE("RabbitMQ: a claim that waits is woken by what another process stores") {
    rabbitmq_store store;
    auto o = store.options();
    o.poll = 1h;  // or it would look by itself
    const auto b = rabbitmq_backend(o);
    b->open(two_kinds);
    CHECK(b->claim(std::vector<std::size_t>{100}, 0ms).empty());
    const auto other = store.connect();
    other->open({});
    std::vector<claimed_job> got;
    std::thread waiting([&] { got = b->claim(std::vector<std::size_t>{100}, patience); });
    put_jobs(*other, {1});
    waiting.join();
    CHECK(ids_of(got) == ids{1});
}

TEST_CASE("RabbitMQ: a connection that swallows all ends a commit in time; later ones work") {
    rabbitmq_store store;
    auto o = store.options();
    o.timeout = 2s;
    const auto b = rabbitmq_backend(o);
    b->open(two_kinds);
    put_jobs(*b, {1});
    store.proxy().swallow(true);
    const auto begin = std::chrono::steady_clock::now();
    CHECK_FALSE(put_works(*b, a_job(2)));
    CHECK_FALSE(put_works(*b, a_job(3)));
    CHECK(std::chrono::steady_clock::now() - begin < patience);
    CHECK(claim_some(*b).empty());
    store.proxy().swallow(false);
    CHECK(eventually([&] { return put_works(*b, a_job(4)); }));
    CHECK(all_are_done(*b, {1, 4}));
}

TEST_CASE("RabbitMQ: what is stored outlives the broker's restart, and so do its clients") {
    store_server server("rabbitmq");
    rabbitmq_options o;
    o.url = server.url();
    const auto b = rabbitmq_backend(o);
    b->open(two_kinds);
    put_jobs(*b, {1, 2});
    auto later = a_job(3);
    later.delay = 100ms;
    CHECK(put_one(*b, later).what == outcome::stored);
    CHECK(claim_some(*b).size() == 2);
    server.stop();
    CHECK_FALSE(put_works(*b, a_job(4)));
    CHECK(claim_some(*b).empty());
    server.start();
    CHECK(eventually([&] { return put_works(*b, a_job(5)); }));
    CHECK(all_are_done(*b, {1, 2, 3, 5}));
}

TEST_CASE("RabbitMQ: a queue that somebody has removed is made again; no job goes nowhere") {
    rabbitmq_store store;
    const auto b = store.connect();
    b->open(two_kinds);
    put_jobs(*b, {1});
    python(rabbitmq_server().url(), store.prefix(), "channel.queue_delete(prefix + '.jobs.a.1')\n");
    CHECK(put_one(*b, a_job(2)).what == outcome::stored);
    CHECK(all_are_done(*b, {2}));
}

TEST_CASE(
    "RabbitMQ: a job that Python's pika sends is claimed, with defaults for what it left out") {
    rabbitmq_store store;
    const auto b = store.connect();
    b->open(two_kinds);
    python(
        rabbitmq_server().url(), store.prefix(),
        "channel.confirm_delivery()\n"
        "channel.basic_publish('', prefix + '.jobs.a.1', json.dumps({'to': 'ann'}))\n"
        "channel.basic_publish('', prefix + '.jobs.a.0', '{\"to\": \"bob\"}',\n"
        "    pika.BasicProperties(message_id='77', correlation_id='request-7', delivery_mode=2,\n"
        "        type='a', headers={'queue': 'mail', 'failures': 2, 'tags': ['x', 'y']}))\n");
    const auto claimed = claim_some(*b);
    REQUIRE(claimed.size() == 2);
    const auto& full = claimed[0].job;
    CHECK(full.id == 77);
    CHECK(full.kind == "a");
    CHECK(full.priority == 0);
    CHECK(full.queue == "mail");
    CHECK(full.request_id == "request-7");
    CHECK(full.failures == 2);
    CHECK(full.tags == std::vector<std::string>{"x", "y"});
    CHECK(full.arguments == "{\"to\": \"bob\"}");
    const auto& bare = claimed[1].job;
    CHECK(bare.id != 0);
    CHECK(bare.kind == "a");
    CHECK(bare.priority == 1);
    CHECK(bare.failures == 0);
    CHECK(bare.arguments == "{\"to\": \"ann\"}");
    CHECK(settle(*b, claimed[0].held, verdict::done) == settled::accepted);
    CHECK(settle(*b, claimed[1].held, verdict::retry) == settled::accepted);
    const auto again = claim_some(*b);
    REQUIRE(again.size() == 1);
    CHECK(again[0].job.id == bare.id);
    CHECK(again[0].job.failures == 1);
}

TEST_CASE("RabbitMQ: that somebody has removed a queue takes nothing from who holds others' jobs") {
    rabbitmq_store store;
    const auto b = store.connect();
    b->open(two_kinds);
    put_jobs(*b, {1});
    const auto held = claim_one(*b).held;
    python(rabbitmq_server().url(), store.prefix(), "channel.queue_delete(prefix + '.jobs.b.3')\n");
    CHECK(claim_some(*b).empty());
    const std::vector<receipt> mine{held};
    CHECK(b->renew(mine).empty());
    CHECK(settle(*b, held, verdict::done) == settled::accepted);
    // It is there again, and wake-ups are still heard.
    auto other = a_job(2, "b");
    other.job.priority = 3;
    CHECK(put_one(*b, other).what == outcome::stored);
    CHECK(all_are_done(*b, {2}));
}

TEST_CASE("RabbitMQ: heartbeats keep an idle connection, and end one that has gone silent") {
    rabbitmq_store store;
    const auto silent = store.connect();
    auto options = two_kinds;
    options.lease = 20s;  // a heartbeat each 10 s, and two are waited for
    silent->open(options);
    auto direct = store.options();
    direct.url = rabbitmq_server().url();
    direct.poll = 100ms;
    const auto idle = rabbitmq_backend(direct);
    idle->open(options);
    put_jobs(*idle, {1});
    const auto kept = claim_one(*idle);
    put_jobs(*silent, {2});
    REQUIRE(claim_one(*silent).job.id == 2);
    store.proxy().swallow(true);
    // Of the idle one nothing is asked but what a dispatcher asks while a job runs.
    const std::vector<receipt> held{kept.held};
    std::vector<claimed_job> got;
    CHECK(eventually([&] {
        CHECK(idle->renew(held).empty());
        got = idle->claim(std::vector<std::size_t>{1}, 500ms);
        return !got.empty();
    }));
    REQUIRE(ids_of(got) == ids{2});
    CHECK(settle(*idle, kept.held, verdict::done) == settled::accepted);
}

TEST_CASE("RabbitMQ: a job that any program returns for ever is kept as dead by the broker") {
    rabbitmq_store store;
    const auto b = store.connect();
    b->open(two_kinds);
    put_jobs(*b, {1});
    const auto said =
        python(rabbitmq_server().url(), store.prefix(),
               "n, dead = 0, None\n"
               "while not dead and n < 1000:\n"
               "    method, _, _ = channel.basic_get(prefix + '.jobs.a.1')\n"
               "    if method:\n"
               "        channel.basic_nack(method.delivery_tag, requeue=True)\n"
               "        n += 1\n"
               "    else:\n"
               "        method, dead, _ = channel.basic_get(prefix + '.dead', auto_ack=True)\n"
               "print('said', n, dead.message_id, dead.headers['x-first-death-reason'])\n");
    // The limit is 100 returns; one more is over it.
    CHECK(said == std::vector<std::string>{"101 1 delivery_limit"});
}

TEST_CASE("RabbitMQ: a job that crashed a process keeps its priority") {
    rabbitmq_store store;
    const auto b = store.connect();
    b->open(two_kinds);
    auto one = a_job(1);
    one.job.crashes = 1;  // so it goes to the queue of suspects, which has jobs of all priorities
    one.job.priority = 3;
    REQUIRE(put_one(*b, one).what == outcome::stored);
    std::vector<claimed_job> got;
    REQUIRE(eventually([&] {
        got = claim_some(*b);
        return !got.empty();
    }));
    CHECK(got.at(0).job.priority == 3);
}

TEST_CASE("RabbitMQ: Python's pika takes a job that was stored, and reads why another is dead") {
    rabbitmq_store store;
    const auto b = store.connect();
    b->open(two_kinds);
    auto one = a_job(17);
    one.job.arguments = R"({"to":"ann"})";
    one.job.request_id = "request-1";
    one.job.tags = {"customer:7"};
    CHECK(put_one(*b, a_job(18)).what == outcome::stored);
    settle(*b, claim_some(*b).at(0).held, verdict::dead, "mailbox gone");
    CHECK(put_one(*b, one).what == outcome::stored);
    const auto said =
        python(rabbitmq_server().url(), store.prefix(),
               "def show(queue):\n"
               "    method, p, body = channel.basic_get(prefix + queue)\n"
               "    p.headers.pop('x-delivery-count', None)  # the broker's\n"
               "    print('said', p.type, p.message_id, p.content_type, p.delivery_mode,\n"
               "          p.correlation_id, json.dumps(p.headers, sort_keys=True), body.decode())\n"
               "    channel.basic_ack(method.delivery_tag)\n"
               "show('.jobs.a.1')\nshow('.dead')\nbroker.close()\n");
    REQUIRE(said.size() == 2);
    CHECK(said[0] ==
          R"(a 17 application/json 2 request-1 {"queue": "mail", "tags": ["customer:7"]} )"
          R"({"to":"ann"})");
    CHECK(said[1] ==
          R"(a 18 application/json 2 None {"failures": 1, "priority": 1, "queue": "mail", )"
          R"("reason": "mailbox gone", "state": "dead"} {})");
    CHECK(claim_some(*b).empty());
}

TEST_CASE("RabbitMQ: what the broker takes back after consumer_timeout is lost, and comes again") {
    ::setenv("POSTLUDE_RABBITMQ_ADVANCED",
             "[{rabbit,[{consumer_timeout,4000},{channel_tick_interval,200}]}].", 1);
    store_server broker("rabbitmq");
    ::unsetenv("POSTLUDE_RABBITMQ_ADVANCED");
    rabbitmq_store store(broker);
    const auto b = store.connect();
    b->open(two_kinds);
    put_jobs(*b, {1});
    const std::vector<receipt> held{claim_one(*b).held};
    CHECK(b->renew(held).empty());
    CHECK(eventually([&] { return b->renew(held) == held; }));
    CHECK(settle(*b, held.at(0), verdict::retry, "no route") == settled::lost_lease);
    std::vector<claimed_job> again;
    CHECK(eventually([&] { return !(again = claim_some(*b)).empty(); }));
    REQUIRE(again.size() == 1);
    CHECK(again.at(0).job.id == 1);
    CHECK(again.at(0).job.failures == 0);
    CHECK(settle(*b, again.at(0).held, verdict::done) == settled::accepted);
    CHECK(claim_some(*b).empty());
}
