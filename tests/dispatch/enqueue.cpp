// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
// `deferred::enqueue`: where a job is kept, when it is refused, and in which order jobs run.
#include "dispatch/job_world.hpp"

#include <boost/system/system_error.hpp>

#include <catch2/catch.hpp>

using namespace std::chrono_literals;
using namespace postlude;
using boost::system::system_error;
using test::adds_up;
using test::at_rest;
using test::call;
using test::durable_mail;
using test::eventually;
using test::job_world;
using test::journal;
using test::mailers;
using test::memory_mail;
using test::request_with;
using test::respond;
using test::spill_mail;

namespace {

/// A kind that was called otherwise once.
struct renamed_mail {
    std::string to = "nobody";
    static constexpr job_traits job{.kind = "renamed_mail", .former = {"old_mail", "older_mail"}};
};
BOOST_DESCRIBE_STRUCT(renamed_mail, (), (to))

struct other_queue_mail {
    std::string to = "nobody";
    static constexpr job_traits job{.kind = "other_queue_mail", .queue = "mail"};
};
BOOST_DESCRIBE_STRUCT(other_queue_mail, (), (to))

template <class F>
boost::system::error_code thrown_by(F f) {
    try {
        f();
    } catch (const system_error& e) {
        return e.code();
    }
    return {};
}

/// What another process, of another version, has stored.
void put_raw(job_world& world, std::string kind, std::string arguments) {
    auto other = world.store.connect();
    const auto opened = other->open({});
    put one;
    one.job.id = (job_id(opened.owner) << 40) + 1;
    one.job.kind = std::move(kind);
    one.job.queue = "default";
    one.job.arguments = std::move(arguments);
    REQUIRE(other->commit(std::vector{one}, {}).puts.at(0).what == put_result::outcome::stored);
}

dispatcher_options small(dispatcher_options options, std::size_t capacity) {
    options.pool.default_queue.capacity = capacity;
    return options;
}

}  // namespace

TEST_CASE(
    "a spillable job that memory has no room for is stored before its response, and those "
    "that come later follow it") {
    job_world world;
    journal sent;
    test::door door;
    const test::releaser end(world.trouble);
    world.trouble->hold(call::claim);
    dispatcher work(small(world.options(mailers(sent, [door](job_context&) { door.wait(); })), 2));
    const test::door_opener opener(door);
    request_with(work, spill_mail{"1"});
    request_with(work, spill_mail{"2"});
    REQUIRE(door.wait_for_waiters(1));
    CHECK(work.find({}).empty());
    {
        deferred after(work);
        after.enqueue(spill_mail{"3"});
        REQUIRE(after.must_commit(200));
        REQUIRE_FALSE(commit(after, 200));
        REQUIRE(work.find({}).size() == 1);
        CHECK(work.find({})[0].state == job_state::ready);
        CHECK(respond(after) == 200);
    }
    CHECK(work.job_counters().spilled == 1);
    door.open();
    REQUIRE(eventually([&] { return sent.size() == 2 && work.job_counters().left == 0; }));
    // Memory has room again, but 3 still waits.
    CHECK(request_with(work, spill_mail{"4"}) == 200);
    CHECK(work.find({}).size() == 2);
    CHECK(work.job_counters().spilled == 2);
    CHECK(work.pool().counters().refused == 0);
    world.trouble->release(call::claim);
    REQUIRE(eventually([&] { return sent.size() == 4; }));
    CHECK(sent.lines() == std::vector<std::string>{"1", "2", "3", "4"});
    REQUIRE(at_rest(work));
    CHECK(work.job_counters().claimed == 2);
    // The store has none left, so memory is good enough again.
    CHECK(eventually([&] {
        const auto before = work.job_counters().spilled;
        request_with(work, spill_mail{"5"});
        return work.job_counters().spilled == before;
    }));
    CHECK(at_rest(work));
}

TEST_CASE("a job of memory alone is refused with 503 when there is no room") {
    const bool with_store = GENERATE(true, false);
    job_world world;
    journal sent;
    test::door door;
    job_registry kinds;
    kinds.handle<memory_mail>([&, door](const memory_mail& mail) {
        sent.note(mail.to);
        door.wait();
    });
    auto options = small(world.options(std::move(kinds)), 1);
    if (!with_store) {
        options.jobs.store = nullptr;
    }
    dispatcher work(std::move(options));
    const test::door_opener opener(door);
    request_with(work, memory_mail{"1"});
    {
        deferred after(work);
        CHECK_FALSE(after.enqueue(memory_mail{"2"}));
        CHECK(after.refused());
        CHECK(respond(after) == 503);
    }
    {
        deferred after(work);
        CHECK(after.try_enqueue(memory_mail{"3"}) == errc::full);
        CHECK_FALSE(after.refused());
        CHECK(respond(after) == 200);
    }
    door.open();
    CHECK(at_rest(work));
    CHECK(sent.size() == 1);
    CHECK(work.job_counters().refused == 2);
}

TEST_CASE("reserved places serve jobs that need one") {
    job_world world;
    journal sent;
    dispatcher work(small(world.options(mailers(sent)), 2));
    deferred after(work);
    REQUIRE(after.reserve(2));
    CHECK(request_with(work, memory_mail{"refused"}) == 503);
    CHECK(after.enqueue(memory_mail{"1"}));
    CHECK(after.enqueue(memory_mail{"2"}));
    CHECK(after.try_enqueue(memory_mail{"3"}) == errc::full);
    CHECK(respond(after) == 200);
    CHECK(at_rest(work));
    CHECK(sent.lines() == std::vector<std::string>{"1", "2"});
    CHECK(work.pool().counters().left == 0);
}

TEST_CASE("a durable job is claimed while there are few, else stored as ready, and run later") {
    job_world world;
    journal sent;
    test::door door;
    const test::releaser end(world.trouble);
    world.trouble->hold(call::claim);
    dispatcher work(world.options(mailers(sent, [door](job_context&) { door.wait(); })));
    const test::door_opener opener(door);
    for (const auto* to : {"1", "2", "3", "4"}) {
        CHECK(request_with(work, durable_mail{to}) == 200);
    }
    CHECK(work.find({.state = job_state::claimed}).size() == 2);
    CHECK(work.find({.state = job_state::ready}).size() == 2);
    CHECK(work.job_counters().handed_over == 2);
    door.open();
    world.trouble->release(call::claim);
    REQUIRE(eventually([&] { return sent.size() == 4; }));
    CHECK(at_rest(work));
    CHECK(work.job_counters().claimed == 2);
    CHECK(work.job_counters().completed == 4);
    CHECK(work.find({.state = job_state::done}).size() == 4);
}

TEST_CASE("a delayed job is kept in the store, and runs when the store's clock says so") {
    job_world world;
    journal sent;
    dispatcher work(world.options(mailers(sent)));
    CHECK(request_with(work, spill_mail{"later"}, {.delay = 5min}) == 200);
    CHECK(request_with(work, durable_mail{"much later"}, {.delay = 1h}) == 200);
    REQUIRE(work.find({.state = job_state::ready}).size() == 2);
    CHECK(work.stats().size() == 2);
    CHECK(request_with(work, durable_mail{"now"}) == 200);
    REQUIRE(eventually([&] { return sent.size() == 1; }));
    REQUIRE(at_rest(work));  // or the time that passes takes its lease
    world.pass(5min);
    REQUIRE(eventually([&] { return sent.size() == 2; }));
    REQUIRE(at_rest(work));
    world.pass(55min);
    REQUIRE(eventually([&] { return sent.size() == 3; }));
    CHECK(sent.lines() == std::vector<std::string>{"now", "later", "much later"});
    CHECK(at_rest(work));
}

TEST_CASE("a delayed job of memory alone waits in memory, within the queue's capacity") {
    journal sent;
    job_world world;
    {
        dispatcher full(small(world.options(mailers(sent)), 1));
        CHECK(request_with(full, memory_mail{"ada"}, {.delay = 1h}) == 200);
        deferred after(full);
        CHECK(after.try_enqueue(memory_mail{"bob"}, {.delay = 1h}) == errc::full);
        CHECK(full.job_counters().left == 1);
    }
    dispatcher work(small(world.options(mailers(sent)), 1));
    const auto begin = std::chrono::steady_clock::now();
    CHECK(request_with(work, memory_mail{"ada"}, {.delay = 30ms}) == 200);
    REQUIRE(eventually([&] { return sent.size() == 1; }));
    CHECK(std::chrono::steady_clock::now() - begin >= 30ms);
    CHECK(at_rest(work));
    CHECK(work.find({}).empty());
}

TEST_CASE(
    "jobs in the store are taken by priority, then in the order of their time; they are "
    "found by their tags and their request") {
    job_world world;
    journal sent;
    {
        dispatcher from(world.producer(mailers(sent)));
        request_with(from, durable_mail{"last"}, {.priority = 3});
        request_with(from, durable_mail{"second"}, {.tags = {"customer:17", "blue"}});
        world.pass(1ms);
        request_with(from, spill_mail{"third"}, {.tags = {"customer:17"}});
        {
            deferred after(from, {.id = "the-request"});
            after.enqueue(durable_mail{"first"}, {.priority = 0});
            respond(after);
        }
        CHECK(at_rest(from));
        CHECK(from.job_counters().handed_over == 4);
        CHECK(from.find({.tag = "customer:17"}).size() == 2);
        CHECK(from.find({.tag = "blue"}).size() == 1);
        CHECK(from.find({.request_id = "the-request"}).size() == 1);
        CHECK(from.find({.kind = "durable_mail", .limit = 2}).size() == 2);
        CHECK(sent.size() == 0);
    }
    dispatcher work(world.options(mailers(sent)));
    REQUIRE(eventually([&] { return sent.size() == 4; }));
    CHECK(sent.lines() == std::vector<std::string>{"first", "second", "third", "last"});
    CHECK(at_rest(work));
    CHECK(work.job_counters().claimed == 4);
}

TEST_CASE(
    "a job whose arguments can't be read is dead at once, with a reason that names the "
    "member") {
    job_world world;
    journal sent;
    put_raw(world, "durable_mail", R"({"to":5})");
    dispatcher work(world.options(mailers(sent)));
    REQUIRE(eventually([&] { return work.find({.state = job_state::dead}).size() == 1; }));
    CHECK(at_rest(work));
    CHECK(sent.size() == 0);
    CHECK(work.job_counters().dead == 1);
    CHECK_THAT(work.find({}).at(0).reason,
               Catch::Matchers::Contains("to") && Catch::Matchers::Contains("string"));
    CHECK(world.log.count({"is dead", "can't be read"}) == 1);
}

TEST_CASE("a job of a kind that nobody here knows waits, and holds up nobody") {
    job_world world;
    journal sent;
    for (int i = 0; i != 3; ++i) {
        put_raw(world, "of_tomorrow", "{}");
    }
    dispatcher work(world.options(mailers(sent)));
    CHECK(request_with(work, durable_mail{"ada"}) == 200);
    REQUIRE(eventually([&] { return sent.size() == 1; }));
    CHECK(at_rest(work));
    CHECK(work.find({.state = job_state::ready, .kind = "of_tomorrow"}).size() == 3);
    CHECK(work.job_counters().claimed == 0);
}

TEST_CASE("a job stored under a former name of its kind runs, under that name") {
    job_world world;
    journal sent;
    put_raw(world, "older_mail", R"({"to":"ada","a field of yesterday":1})");
    put_raw(world, "renamed_mail", "{}");
    job_registry kinds;
    kinds.handle<renamed_mail>([&](const renamed_mail& mail, job_context& job) {
        sent.note(std::string(job.kind()) + " to " + mail.to);
    });
    dispatcher work(world.options(std::move(kinds)));
    REQUIRE(eventually([&] { return sent.size() == 2; }));
    CHECK(sent.lines() == std::vector<std::string>{"older_mail to ada", "renamed_mail to nobody"});
    CHECK(at_rest(work));
}

TEST_CASE("a kind that is only declared is stored here and run by others") {
    job_world world;
    journal sent;
    job_registry kinds;
    kinds.declare<durable_mail>().declare<spill_mail>().declare<memory_mail>();
    dispatcher from(world.options(std::move(kinds)));
    CHECK(request_with(from, durable_mail{"ada"}) == 200);
    CHECK(request_with(from, spill_mail{"bob"}) == 200);
    CHECK(from.find({.state = job_state::ready}).size() == 2);
    {
        deferred after(from);
        CHECK(thrown_by([&] { after.enqueue(memory_mail{"cleo"}); }) == errc::bad_kind);
        CHECK(after.size() == 0);
    }
    CHECK(at_rest(from));
    CHECK(from.job_counters().handed_over == 2);
    CHECK(from.job_counters().spilled == 0);
    dispatcher work(world.options(mailers(sent)));
    REQUIRE(eventually([&] { return sent.size() == 2; }));
    CHECK(at_rest(work));
}

TEST_CASE("what is wrong with a job is thrown, and nothing was registered") {
    job_world world;
    journal sent;
    dispatcher work(world.options(mailers(sent)));
    deferred after(work);
    const auto enqueue = [&](auto args, job_options options) {
        return thrown_by([&] { after.enqueue(std::move(args), std::move(options)); });
    };
    CHECK(enqueue(durable_mail{}, {.when = when::sent}) == errc::bad_option);
    CHECK(enqueue(durable_mail{}, {.delay = -1ms}) == errc::bad_option);
    CHECK(enqueue(durable_mail{}, {.delay = std::chrono::hours(24 * 367)}) == errc::bad_option);
    CHECK(enqueue(durable_mail{}, {.priority = 4}) == errc::bad_option);
    CHECK(enqueue(durable_mail{}, {.tags = {""}}) == errc::bad_option);
    CHECK(enqueue(durable_mail{}, {.tags = {std::string(129, 'a')}}) == errc::bad_option);
    CHECK(enqueue(durable_mail{}, {.tags = std::vector<std::string>(17, "a")}) == errc::bad_option);
    CHECK(enqueue(durable_mail{"\xff"}, {}) == errc::bad_arguments);
    CHECK(enqueue(renamed_mail{}, {}) == errc::bad_kind);
    CHECK(after.size() == 0);
    CHECK_FALSE(after.refused());
    const deferred taken(std::move(after));
    CHECK(enqueue(durable_mail{}, {}) == errc::moved_from);  // NOLINT(bugprone-use-after-move)
    CHECK(at_rest(work));
    CHECK(work.job_counters().registered == 0);
}

TEST_CASE("arguments that are no JSON are refused where the job has to be stored") {
    job_world world;
    journal sent;
    test::door door;
    dispatcher work(small(world.options(mailers(sent, [door](job_context&) { door.wait(); })), 1));
    const test::door_opener opener(door);
    CHECK(request_with(work, spill_mail{"\xff"}) == 200);  // runs from memory, as it is
    deferred after(work);
    CHECK(thrown_by([&] { after.enqueue(spill_mail{"\xff"}); }) == errc::bad_arguments);
    CHECK(thrown_by([&] { after.enqueue(spill_mail{"\xff"}, {.delay = 1h}); }) ==
          errc::bad_arguments);
    CHECK(respond(after) == 200);
    door.open();
    CHECK(at_rest(work));
    CHECK(work.job_counters().registered == 1);
    CHECK(sent.size() == 1);
}

TEST_CASE("a dispatcher that can't keep its jobs as they ask for does not start") {
    job_world world;
    SECTION("durable, and no store") {
        job_registry kinds;
        kinds.declare<durable_mail>();
        dispatcher_options options{.pool = {.threads = 1}, .kinds = std::move(kinds)};
        CHECK(thrown_by([&] { const dispatcher d(std::move(options)); }) == errc::bad_kind);
    }
    SECTION("a queue that is not there") {
        job_registry kinds;
        kinds.declare<other_queue_mail>();
        auto options = world.options(std::move(kinds));
        CHECK(thrown_by([&] { const dispatcher d(std::move(options)); }) == errc::unknown_queue);
    }
    SECTION("a store that can't be opened") {
        world.trouble->fail(call::open, 1, errc::bad_store);
        auto options = world.options({});
        CHECK(thrown_by([&] { const dispatcher d(std::move(options)); }) == errc::bad_store);
    }
    SECTION("options out of range") {
        const auto refused = [&](auto change) {
            auto options = world.options({});
            change(options.jobs);
            return thrown_by([&] { const dispatcher d(std::move(options)); }) == errc::bad_option;
        };
        CHECK(refused([](auto& jobs) { jobs.commit_timeout = 9ms; }));
        CHECK(refused([](auto& jobs) { jobs.lease = 999ms; }));
        CHECK(refused([](auto& jobs) { jobs.rescue_interval = 2h; }));
        CHECK(refused([](auto& jobs) { jobs.quarantine_after = 0; }));
        CHECK(refused([](auto& jobs) {
            jobs.store = nullptr;
            jobs.running = job_running::by_hand;
        }));
    }
}

TEST_CASE("without a store, jobs that may spill are as those of memory, and the log says so once") {
    job_world world;
    journal sent;
    job_registry kinds;
    kinds.handle<spill_mail>([&](const spill_mail& mail) { sent.note(mail.to); });
    kinds.declare<renamed_mail>();
    auto options = small(world.options(std::move(kinds)), 1);
    options.jobs.store = nullptr;
    dispatcher work(std::move(options));
    CHECK(world.log.count({"there is no store"}) == 1);
    CHECK(request_with(work, spill_mail{"ada"}) == 200);
    REQUIRE(at_rest(work));
    CHECK(sent.size() == 1);
    CHECK(thrown_by([&] { work.find({}); }) == errc::bad_kind);
    CHECK(thrown_by([&] { work.stats(); }) == errc::bad_kind);
    deferred after(work);
    CHECK(thrown_by([&] { after.enqueue(renamed_mail{}); }) == errc::bad_kind);
}
