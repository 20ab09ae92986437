// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/dispatch/deferred.hpp"

#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/eventually.hpp"
#include "support/log.hpp"

#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

using postlude::deferred;
using postlude::dispatcher;
using postlude::dispatcher_options;
using postlude::errc;
using postlude::pending_response;
using postlude::when;

namespace {

dispatcher_options small(std::size_t capacity = 65'536) {
    return {.pool = {.threads = 1, .default_queue = {.name = "default", .capacity = capacity}}};
}

void check_sum(const postlude::counters& c) {
    CHECK(c.registered == c.refused + c.discarded + c.completed + c.failed + c.lost + c.left);
}

/// What a request can come to, as the list sees it.
struct request_end {
    const char* name;
    std::optional<unsigned> status;  ///< none: destroyed without a response
    bool written;
    bool refused;
    std::set<when> runs;
};

const request_end request_ends[] = {
    {"200, written", 200, true, false, {when::handled, when::sent, when::always}},
    {"399, written", 399, true, false, {when::handled, when::sent, when::always}},
    {"200, write failed", 200, false, false, {when::handled, when::always}},
    {"404, written", 404, true, false, {when::failed, when::always}},
    {"404, write failed", 404, false, false, {when::failed, when::always}},
    {"500, written", 500, true, false, {when::failed, when::always}},
    {"500, write failed", 500, false, false, {when::failed, when::always}},
    {"refused, 503 written", 503, true, true, {when::failed, when::always}},
    {"refused, but the handler's status is used", 200, true, true, {when::failed, when::always}},
    {"abandoned", std::nullopt, false, false, {when::failed, when::always}},
};

constexpr when conditions[] = {when::handled, when::sent, when::failed, when::always};

}  // namespace

TEST_CASE("each condition runs with the outcomes it names, and each task is counted once") {
    for (const auto& end : request_ends) {
        INFO(end.name);
        dispatcher d(small());
        std::mutex mutex;
        std::multiset<when> ran;
        {
            deferred after(d);
            for (const auto condition : conditions) {
                REQUIRE(after.run(
                    [&, condition] {
                        const std::lock_guard lock(mutex);
                        ran.insert(condition);
                    },
                    {.when = condition}));
            }
            if (end.refused) {
                CHECK_FALSE(after.reserve(65'536));
                CHECK(after.refused());
            }
            CHECK(after.size() == 4);
            if (end.status) {
                pending_response response(after, *end.status);
                response.end(end.written ? boost::system::error_code{}
                                         : boost::asio::error::broken_pipe);
                CHECK(after.size() == 0);
                response.release();
            }
        }
        CHECK(d.shutdown(test::patience).clean());
        CHECK(std::set(ran.begin(), ran.end()) == end.runs);
        CHECK(ran.size() == end.runs.size());
        const auto c = d.counters();
        CHECK(c.completed == end.runs.size());
        CHECK(c.discarded == 4 - end.runs.size());
        CHECK(c.registered == 4 + (end.refused ? 65'536 : 0));
        CHECK(c.left == 0);
        check_sum(c);
    }
}

TEST_CASE("what comes after the response goes straight to the workers, if the outcome allows it") {
    for (const auto& end : request_ends) {
        if (!end.status || end.refused) {
            continue;
        }
        INFO(end.name);
        dispatcher d(small());
        std::set<when> ran;
        deferred after(d);
        {
            pending_response response(after, *end.status);
            response.end(end.written ? boost::system::error_code{}
                                     : boost::asio::error::broken_pipe);
        }
        // More than a record holds, so that further ones are taken while late.
        for (int i = 0; i < 3; ++i) {
            for (const auto condition : conditions) {
                REQUIRE(after.run([&, condition] { ran.insert(condition); }, {.when = condition}));
            }
        }
        CHECK(after.size() == 0);
        REQUIRE(test::eventually([&] { return d.counters().left == 0; }));
        CHECK(ran == end.runs);
        CHECK(d.counters().completed == 3 * end.runs.size());
        check_sum(d.counters());
    }
}

TEST_CASE("no task starts before its response has ended, nor before it is released") {
    dispatcher d(small());
    std::atomic<int> ran{0};
    deferred after(d);
    REQUIRE(after.run([&] { ++ran; }));
    pending_response response(after, 200);
    // While it is being written, too, work can be registered.
    REQUIRE(after.run([&] { ++ran; }));
    // Another request's task passes through the pool meanwhile: these two are not in it.
    REQUIRE_FALSE(d.try_run([&] {}));
    REQUIRE(test::eventually([&] { return d.counters().completed == 1; }));
    CHECK(ran == 0);
    response.end({});
    REQUIRE_FALSE(d.try_run([&] {}));
    REQUIRE(test::eventually([&] { return d.counters().completed == 2; }));
    CHECK(ran == 0);
    response.release();
    CHECK(test::eventually([&] { return ran == 2; }));
}

TEST_CASE("a response in flight keeps the tasks when the list is destroyed first") {
    dispatcher d(small());
    std::atomic<int> ran{0};
    std::optional<deferred> after(std::in_place, d);
    for (int i = 0; i < 7; ++i) {
        REQUIRE(after->run([&] { ++ran; }, {.when = when::sent}));
    }
    pending_response response(*after, 200);
    after.reset();
    response.end({});
    response.release();
    CHECK(test::eventually([&] { return ran == 7; }));
}

TEST_CASE("a response that is dropped without an end has failed, and releases what is owed") {
    dispatcher d(small());
    std::set<when> ran;
    deferred after(d);
    for (const auto condition : conditions) {
        REQUIRE(after.run([&, condition] { ran.insert(condition); }, {.when = condition}));
    }
    {
        const pending_response response(after, 200);
    }
    REQUIRE(test::eventually([&] { return d.counters().left == 0; }));
    CHECK(ran == std::set{when::handled, when::always});
}

TEST_CASE("only the first response of a request decides") {
    dispatcher d(small());
    std::set<when> ran;
    deferred after(d);
    for (const auto condition : conditions) {
        REQUIRE(after.run([&, condition] { ran.insert(condition); }, {.when = condition}));
    }
    pending_response first(after, 200);
    pending_response second(after, 500);
    second.end({});
    second.release();
    CHECK(after.size() == 4);
    first.end({});
    pending_response third(after, 500);
    third.end({});
    first.release();
    third.release();
    REQUIRE(test::eventually([&] { return d.counters().left == 0; }));
    CHECK(ran == std::set{when::handled, when::sent, when::always});
    CHECK(d.counters().completed == 3);
}

TEST_CASE("a moved-from list answers with an error, and its tasks moved with it") {
    dispatcher d(small());
    std::atomic<int> ran{0};
    deferred from(d, {.id = "request-7"});
    REQUIRE(from.run([&] { ++ran; }, {.when = when::always}));
    deferred to(std::move(from));
    CHECK(from.try_run([] {}) == errc::moved_from);
    CHECK(from.try_reserve(1) == errc::moved_from);
    CHECK_THROWS_AS(from.run([] {}), boost::system::system_error);
    CHECK_THROWS_AS(from.reserve(1), boost::system::system_error);
    CHECK(from.request_id().empty());
    CHECK(from.size() == 0);
    CHECK_FALSE(from.refused());
    CHECK(to.request_id() == "request-7");
    CHECK(to.size() == 1);
    {
        pending_response inert(from, 200);
    }
    CHECK(to.size() == 1);

    // What is assigned to is abandoned.
    to = deferred(d);
    CHECK(test::eventually([&] { return ran == 1; }));
}

TEST_CASE("run turns a refusal into a 503, try_run leaves the response alone") {
    dispatcher d(small(2));
    std::atomic<int> ran{0};
    deferred first(d);
    REQUIRE(first.run([&] { ++ran; }));
    REQUIRE(first.run([&] { ++ran; }));
    CHECK(first.try_run([&] { ++ran; }) == errc::full);
    CHECK_FALSE(first.refused());

    deferred second(d);
    std::atomic<bool> failed_ran{false};
    CHECK(second.try_run([&] { failed_ran = true; }, {.when = when::failed}) == errc::full);
    CHECK_FALSE(second.run([&] { ++ran; }));
    CHECK(second.refused());

    // The first's tasks are not lost by it.
    pending_response response(first, 200);
    response.end({});
    response.release();
    CHECK(test::eventually([&] { return ran == 2; }));
    CHECK(d.counters().refused == 3);
}

TEST_CASE("a closed dispatcher refuses with stopped") {
    dispatcher d(small());
    d.pool().close();
    deferred after(d);
    CHECK(after.try_run([] {}) == errc::stopped);
    CHECK_FALSE(after.run([] {}));
    CHECK(after.refused());
}

TEST_CASE("reserved room is kept for its request, and goes back when it is not used") {
    dispatcher d(small(3));
    std::atomic<int> ran{0};
    {
        deferred careful(d);
        REQUIRE(careful.reserve(3));
        deferred other(d);
        CHECK(other.try_run([] {}) == errc::full);
        for (int i = 0; i < 2; ++i) {
            REQUIRE_FALSE(careful.try_run([&] { ++ran; }));
        }
        pending_response response(careful, 200);
        response.end({});
        response.release();
    }
    REQUIRE(test::eventually([&] { return d.counters().left == 0; }));
    CHECK(ran == 2);
    deferred after(d);
    CHECK(after.reserve(3));
    CHECK(after.try_reserve(1) == errc::full);
    CHECK_FALSE(after.reserve(1));
    CHECK(after.refused());
}

TEST_CASE("room reserved for one queue goes back when another is asked for") {
    auto options = small(2);
    options.pool.queues = {{.name = "mail", .capacity = 1}};
    dispatcher d(std::move(options));
    const auto mail = d.queue("mail");
    deferred after(d);
    REQUIRE(after.reserve(2));
    REQUIRE(after.reserve(1, mail));
    deferred other(d);
    REQUIRE_FALSE(other.try_reserve(2));
    CHECK(other.try_run([] {}, {.queue = mail}) == errc::full);
    CHECK_FALSE(after.try_run([] {}, {.queue = mail}));
}

TEST_CASE("room that is reserved after the response is kept too, and goes back with the list") {
    dispatcher d(small(3));
    std::atomic<int> ran{0};
    {
        deferred after(d);
        {
            pending_response response(after, 200);
            response.end({});
        }
        REQUIRE(after.reserve(3));
        REQUIRE_FALSE(after.try_run([&] { ++ran; }));
        REQUIRE(test::eventually([&] { return ran == 1; }));
        deferred other(d);
        REQUIRE_FALSE(other.try_reserve(1));  // the one that has run
        CHECK(other.try_reserve(1) == errc::full);
        REQUIRE_FALSE(after.try_run([&] { ++ran; }));
    }
    REQUIRE(test::eventually([&] { return d.counters().left == 0; }));
    CHECK(ran == 2);
    deferred all(d);
    CHECK_FALSE(all.try_reserve(3));
}

TEST_CASE("a callable that throws where a further record begins leaves nothing behind") {
    struct throws_when_moved {
        throws_when_moved() = default;
        throws_when_moved(throws_when_moved&&) { throw std::runtime_error("moved"); }
        void operator()() {}
    };
    dispatcher d(small());
    std::atomic<int> ran{0};
    std::uint64_t allocated = 0;
    for (int i = 0; i < 200; ++i) {
        const auto before = test::allocations();
        {
            deferred after(d);
            for (int j = 0; j < 4; ++j) {
                REQUIRE(after.run([&ran] { ++ran; }));
            }
            bool thrown = false;
            try {
                after.run(throws_when_moved{});
            } catch (const std::runtime_error&) {
                thrown = true;
            }
            REQUIRE(thrown);
            pending_response response(after, 200);
            response.end({});
        }
        if (i > 100) {
            allocated += test::allocations() - before;
        }
        REQUIRE(test::eventually([&] { return d.counters().left == 0; }));
    }
    CHECK(ran == 800);
    // The exceptions' own messages, but no records.
    CHECK(allocated < 2 * 100);
    check_sum(d.counters());
}

TEST_CASE("places taken ahead for a long list go back") {
    dispatcher d(small(64));
    deferred after(d);
    for (int i = 0; i < 5; ++i) {
        REQUIRE(after.run([] {}));
    }
    {
        pending_response response(after, 200);
    }
    CHECK(test::eventually([&] { return d.counters().left == 0; }));
    CHECK(d.counters().completed == 5);
    check_sum(d.counters());
    // Near the capacity each place is taken one by one, so that none is held without a task.
    deferred full(d);
    for (int i = 0; i < 64; ++i) {
        REQUIRE_FALSE(full.try_run([] {}));
    }
    CHECK(full.try_run([] {}) == errc::full);
}

TEST_CASE("tasks that are discarded are destroyed, logged and give their room back") {
    const test::captured_log log;
    auto options = small(1);
    options.pool.logger = log.logger();
    dispatcher d(std::move(options));
    const auto token = std::make_shared<int>();
    for (int i = 0; i < 3; ++i) {
        deferred after(d, {.id = "request-9"});
        REQUIRE(after.run([token] {}, {.name = "mail"}));
        pending_response response(after, 404);
    }
    CHECK(token.use_count() == 1);
    CHECK(d.counters().discarded == 3);
    CHECK(d.counters().left == 0);
    CHECK(log.count({"'mail' is discarded", "request-9", "default"}) == 3);
}

TEST_CASE("the request's id is on its tasks, on what those register, and on their failures") {
    const test::captured_log log;
    std::mutex mutex;
    std::vector<std::string> seen;
    std::atomic<bool> refused{false};
    auto options = small();
    options.pool.logger = log.logger();
    options.pool.on_error = [&](const postlude::task_failure& failure) {
        const std::lock_guard lock(mutex);
        seen.push_back("hook " + std::string(failure.request_id));
    };
    dispatcher d(std::move(options));
    {
        deferred after(d, {.id = "request-1"});
        for (int i = 0; i < 6; ++i) {  // beyond the first record
            after.run([&](postlude::task_context& context) {
                const std::lock_guard lock(mutex);
                seen.push_back(std::string(context.request_id()));
            });
        }
        after.run([&](postlude::task_context& context) {
            // A child of the child, too.
            const auto ec = context.try_run([&](postlude::task_context& child) {
                const auto ec2 = child.try_run(
                    [&](postlude::task_context& grandchild) {
                        const std::lock_guard lock(mutex);
                        seen.push_back("grandchild " + std::string(grandchild.request_id()));
                        throw std::runtime_error("x");
                    },
                    {.name = "grandchild"});
                refused = refused || ec2;
            });
            refused = refused || ec;
        });
        pending_response response(after, 200);
        response.end({});
    }
    REQUIRE(test::eventually([&] { return d.counters().completed + d.counters().failed == 9; }));
    CHECK(d.shutdown(test::patience).clean());
    CHECK_FALSE(refused);
    CHECK(std::ranges::count(seen, "request-1") == 6);
    CHECK(std::ranges::count(seen, "grandchild request-1") == 1);
    CHECK(std::ranges::count(seen, "hook request-1") == 1);
    CHECK(log.count({"'grandchild' failed", "request-1"}) == 1);
}

TEST_CASE("an id that could forge a log line is replaced by a new one") {
    dispatcher d(small());
    const deferred good(d, {.id = "abc-123"});
    const deferred bad(d, {.id = "abc\r\nX-Evil: 1"});
    const deferred none(d);
    CHECK(good.request_id() == "abc-123");
    CHECK(bad.request_id().size() == 32);
    CHECK(none.request_id().size() == 32);
    CHECK(none.request_id() != bad.request_id());
}

TEST_CASE("registering and releasing four small tasks allocates nothing") {
    dispatcher d(small());
    std::atomic<int> ran{0};
    const auto one_request = [&] {
        deferred after(d);
        for (int i = 0; i < 4; ++i) {
            after.run([&ran] { ++ran; });
        }
        pending_response response(after, 200);
        response.end({});
        response.release();
    };
    // The first requests make the records that the later ones use again: some more than one, since
    // a record may come back a moment after its last task was counted.
    {
        test::door door;
        const test::door_opener opener(door);
        REQUIRE_FALSE(d.try_run([door] { door.wait(); }));
        for (int i = 0; i < 100; ++i) {
            one_request();
        }
    }
    REQUIRE(test::eventually([&] { return d.counters().left == 0; }));
    for (int i = 0; i < 1'000; ++i) {
        const auto before = test::allocations();
        one_request();
        REQUIRE(test::allocations() == before);
        REQUIRE(test::eventually([&] { return d.counters().left == 0; }));
    }
    CHECK(ran == 4'400);
}

TEST_CASE("memory does not grow with the load, but with what is accepted at one time") {
    dispatcher d(small(100));
    // A hundred accepted at a time, of a thousand asked for: records are used again.
    std::uint64_t allocated = 0;
    for (int round = 0; round < 50; ++round) {
        test::door door;
        const test::door_opener opener(door);
        REQUIRE_FALSE(d.try_run([door] { door.wait(); }));
        REQUIRE(door.wait_for_waiters(1));
        const auto before = test::allocations();
        for (int i = 0; i < 1'000; ++i) {
            deferred after(d);
            const auto ec = after.try_run([] {});
            CHECK((i < 99 ? !ec : ec == errc::full));
            pending_response response(after, 200);
        }
        if (round > 5) {
            allocated += test::allocations() - before;
        }
        door.open();
        REQUIRE(test::eventually([&] { return d.counters().left == 0; }));
    }
    CHECK(allocated < 100);
    check_sum(d.counters());
}
