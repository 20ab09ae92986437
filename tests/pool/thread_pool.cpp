// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/pool/thread_pool.hpp"

#include "support/catch.hpp"
#include "support/eventually.hpp"
#include "support/log.hpp"

#include <boost/system/system_error.hpp>

#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <thread>

using namespace std::chrono_literals;
using postlude::errc;
using postlude::pool_options;
using postlude::task_context;
using postlude::task_report;
using postlude::thread_pool;

namespace {

void check_sum(const postlude::counters& c) {
    CHECK(c.registered == c.refused + c.discarded + c.completed + c.failed + c.lost + c.left);
}

std::string message_of(pool_options options) {
    try {
        const thread_pool pool(std::move(options));
    } catch (const boost::system::system_error& e) {
        CHECK(e.code() == errc::bad_option);
        return e.what();
    }
    return "";
}

}  // namespace

TEST_CASE("every accepted task runs once, from any number of producers") {
    thread_pool pool({.threads = 3, .queues = {{.name = "other", .workers = 1}}});
    const auto other = pool.queue("other");
    constexpr int producers = 4;
    constexpr int each = 20'000;
    std::vector<std::atomic<int>> runs(producers * each);
    std::atomic<int> refused{0};
    {
        std::vector<std::jthread> threads;
        for (int p = 0; p < producers; ++p) {
            threads.emplace_back([&, p] {
                for (int i = 0; i < each; ++i) {
                    auto* run = &runs[static_cast<std::size_t>(p * each + i)];
                    const auto queue = i % 5 == 0 ? other : postlude::queue_id{};
                    if (pool.try_run([run] { ++*run; }, {.queue = queue})) {
                        ++refused;
                        ++*run;
                    }
                }
            });
        }
    }
    CHECK(pool.drain(test::patience).clean());
    CHECK(std::ranges::all_of(runs, [](const auto& run) { return run == 1; }));
    const auto c = pool.counters();
    CHECK(c.registered == producers * each);
    CHECK(c.completed == static_cast<unsigned>(producers * each - refused));
    CHECK(c.left == 0);
    check_sum(c);
}

TEST_CASE("a queue takes exactly its capacity, refuses the next, and takes again what has ended") {
    const test::captured_log log;
    thread_pool pool({.threads = 1,
                      .default_queue = {.name = "default", .capacity = 3},
                      .logger = log.logger()});
    test::door door;
    const test::door_opener opener(door);
    REQUIRE_FALSE(pool.try_run([door] { door.wait(); }));
    REQUIRE_FALSE(pool.try_run([] {}));
    REQUIRE_FALSE(pool.try_run([] {}));
    CHECK(pool.try_run([] {}) == errc::full);
    CHECK(pool.try_run([] {}) == errc::full);
    CHECK(pool.counters().left == 3);
    CHECK(pool.counters().refused == 2);

    door.open();
    REQUIRE(test::eventually([&] { return pool.counters().left == 0; }));
    CHECK_FALSE(pool.try_run([] {}));
    // Once a second at most: both in one line, unless a second began between them.
    CHECK(test::eventually([&] { return log.count({"2 refused in all", "'default'"}) == 1; }));
    CHECK(pool.drain(test::patience).clean());
    check_sum(pool.counters());
}

TEST_CASE("a refusal is logged also while nothing runs") {
    const test::captured_log log;
    // A look lasts 20 ms then, so that the monitor sleeps soon.
    thread_pool pool({.threads = 1,
                      .default_queue = {.name = "default", .capacity = 3, .run_limit = 80ms},
                      .logger = log.logger()});
    std::this_thread::sleep_for(300ms);
    REQUIRE(pool.reserve({}, 3) == postlude::detail::accepted);  // as a list does that is open
    CHECK(pool.try_run([] {}) == errc::full);
    CHECK(test::eventually([&] { return log.count({", 1 refused in all", "'default'"}) == 1; }));
    // Nor when the monitor is about to sleep.
    for (int i = 2; i <= 50; ++i) {
        CHECK(pool.try_run([] {}) == errc::full);
        const auto wanted = std::string(", ").append(std::to_string(i)).append(" refused in all");
        REQUIRE(test::eventually([&] { return log.count({wanted}) == 1; }));
    }
    pool.tickets({}).give_back(3);
    CHECK(pool.drain(test::patience).clean());
}

TEST_CASE("a refusal is logged also when the pool ends at once") {
    for (int i = 0; i < 20; ++i) {
        const test::captured_log log;
        {
            thread_pool pool({.threads = 1,
                              .default_queue = {.name = "default", .capacity = 3},
                              .logger = log.logger()});
            REQUIRE(pool.reserve({}, 3) == postlude::detail::accepted);
            CHECK(pool.try_run([] {}) == errc::full);
            pool.tickets({}).give_back(3);
        }
        CHECK(log.count({", 1 refused in all", "'default'"}) == 1);
    }
}

TEST_CASE("a closed pool refuses new work and runs what it accepted") {
    thread_pool pool({.threads = 1});
    test::door door;
    const test::door_opener opener(door);
    std::atomic<int> ran{0};
    REQUIRE_FALSE(pool.try_run([&, door] {
        door.wait();
        ++ran;
    }));
    REQUIRE_FALSE(pool.try_run([&] { ++ran; }));
    pool.close();
    CHECK(pool.try_run([&] { ++ran; }) == errc::stopped);
    door.open();
    CHECK(pool.drain(test::patience).clean());
    CHECK(ran == 2);
    CHECK(pool.counters().refused == 1);
    check_sum(pool.counters());
}

TEST_CASE("a task that throws harms no other, and is counted, logged and given to the hook") {
    const test::captured_log log;
    std::mutex mutex;
    std::map<std::string, std::string> failures;
    thread_pool pool({.threads = 2,
                      .on_error =
                          [&](const postlude::task_failure& failure) {
                              std::string what = "no std::exception";
                              try {
                                  std::rethrow_exception(failure.error);
                              } catch (const std::exception& e) {
                                  what = e.what();
                              } catch (...) {
                              }
                              const std::lock_guard lock(mutex);
                              failures[std::string(failure.name)] = what;
                              throw std::runtime_error("the hook throws as well");
                          },
                      .logger = log.logger()});
    std::atomic<int> ran{0};
    REQUIRE_FALSE(pool.try_run([&] { ++ran; }));
    REQUIRE_FALSE(
        pool.try_run([] { throw std::runtime_error("no such user"); }, {.name = "first"}));
    REQUIRE_FALSE(pool.try_run([] { throw 42; }, {.name = "second"}));
    REQUIRE_FALSE(pool.try_run([&] { ++ran; }));
    CHECK(pool.drain(test::patience).clean());
    CHECK(ran == 2);
    CHECK(pool.counters().completed == 2);
    CHECK(pool.counters().failed == 2);
    check_sum(pool.counters());
    CHECK(failures == std::map<std::string, std::string>{{"first", "no such user"},
                                                         {"second", "no std::exception"}});
    CHECK(log.count({"'first' failed", "no such user", "queue default"}) == 1);
    CHECK(log.count({"'second' failed", "no std::exception"}) == 1);
    CHECK(log.count({"the error hook failed", "the hook throws as well"}) == 2);
}

TEST_CASE("a task that does not end is named while it runs, and is asked to stop") {
    const test::captured_log log;
    thread_pool pool({.threads = 2,
                      .default_queue = {.name = "default", .run_limit = 80ms},
                      .logger = log.logger()});
    test::door door;
    const test::door_opener opener(door);
    std::atomic<bool> token_stopped{false};
    REQUIRE_FALSE(pool.try_run(
        [&, door](task_context& context) {
            const std::stop_callback on_stop(context.stop_token(), [&] { token_stopped = true; });
            door.wait();
            context.checkpoint();
        },
        {.name = "stuck"}));

    REQUIRE(test::eventually([&] { return pool.counters().overrunning == 1; }));
    CHECK(pool.counters().overran == 1);
    CHECK(test::eventually([&] { return log.count({"'stuck' is still running", "80 ms"}) >= 1; }));
    CHECK(test::eventually([&] { return token_stopped.load(); }));
    const auto running = pool.running();
    REQUIRE(running.size() == 1);
    CHECK(running[0].name == "stuck");
    CHECK(running[0].state == task_report::where::running);
    CHECK(running[0].running_for >= 80ms);

    // Its sibling runs meanwhile, with a stop token of its own.
    std::promise<bool> sibling;
    REQUIRE_FALSE(
        pool.try_run([&](task_context& c) { sibling.set_value(c.stop_requested()); },
                     {.run_limit = std::chrono::duration<std::uint32_t, std::milli>(3'600'000)}));
    CHECK_FALSE(sibling.get_future().get());

    door.open();
    CHECK(pool.drain(test::patience).clean());
    CHECK(pool.counters().failed == 1);
    CHECK(pool.counters().completed == 1);
    CHECK(log.count({"'stuck' failed", "stopped when it was asked to"}) == 1);
    CHECK(test::eventually([&] { return pool.counters().overrunning == 0; }));
    check_sum(pool.counters());
}

TEST_CASE("a task's own limit counts before its queue's") {
    thread_pool pool({.threads = 1, .default_queue = {.name = "default", .run_limit = 0ms}});
    std::atomic<bool> stopped_early{true};
    REQUIRE_FALSE(pool.try_run(
        [&](task_context& context) {
            stopped_early = context.stop_requested();
            test::eventually([&] { return context.stop_requested(); });
            context.checkpoint();
        },
        {.name = "short", .run_limit = std::chrono::duration<std::uint32_t, std::milli>(10)}));
    CHECK(test::eventually([&] { return pool.counters().failed == 1; }));
    CHECK_FALSE(stopped_early);
}

TEST_CASE("a queue never has more workers than its limit, and leaves the others to the rest") {
    thread_pool pool({.threads = 3, .queues = {{.name = "mail", .workers = 2}}});
    const auto mail = pool.queue("mail");
    test::door door;
    const test::door_opener opener(door);
    std::atomic<int> running{0};
    std::atomic<int> most{0};
    for (int i = 0; i < 20; ++i) {
        REQUIRE_FALSE(pool.try_run(
            [&, door] {
                const int now = ++running;
                int seen = most.load();
                while (now > seen && !most.compare_exchange_weak(seen, now)) {
                }
                door.wait();
                --running;
            },
            {.queue = mail}));
    }
    REQUIRE(door.wait_for_waiters(2));
    // 18 mails wait and two workers are held; the third one serves everybody else.
    std::atomic<int> others{0};
    for (int i = 0; i < 100; ++i) {
        REQUIRE_FALSE(pool.try_run([&] { ++others; }));
    }
    CHECK(test::eventually([&] { return others == 100; }));
    CHECK(running == 2);
    door.open();
    CHECK(pool.drain(test::patience).clean());
    CHECK(most == 2);
    CHECK(pool.counters(mail).completed == 20);
    CHECK(pool.counters(postlude::queue_id{}).completed == 100);
}

TEST_CASE("one wake-up for many tasks is handed on until every worker has one") {
    constexpr unsigned workers = 4;
    thread_pool pool({.threads = workers});
    test::door door;
    const test::door_opener opener(door);
    // A chain of four is submitted with one wake-up, again and again from a sleeping pool.
    for (int round = 0; round < 200; ++round) {
        test::door round_door;
        const test::door_opener round_opener(round_door);
        std::vector<postlude::detail::record*> records;
        postlude::detail::task_slot* chain = nullptr;
        for (unsigned i = 0; i < workers; ++i) {
            REQUIRE(pool.reserve({}) == errc{});
            auto* record = pool.records().take();
            record->list.now = postlude::detail::list_state::phase::ended;
            auto& slot = record->slots[0];
            postlude::detail::construct(slot, [round_door] { round_door.wait(); });
            postlude::detail::describe(slot, {}, std::source_location::current());
            slot.next = std::exchange(chain, &slot);
        }
        pool.submit(chain);
        REQUIRE(round_door.wait_for_waiters(workers));
        round_door.open();
        REQUIRE(test::eventually([&] { return pool.counters().left == 0; }));
    }
}

TEST_CASE("a task can register more work, which is refused once the pool drains") {
    thread_pool pool({.threads = 1});
    test::door door;
    const test::door_opener opener(door);
    std::atomic<int> generations{0};
    struct again {
        std::atomic<int>* count;
        void operator()(task_context& context) const {
            if (++*count < 5 && context.try_run(again{count})) {
                *count = -1;
            }
        }
    };
    REQUIRE_FALSE(pool.try_run(again{&generations}));
    REQUIRE(test::eventually([&] { return generations == 5; }));

    std::atomic<bool> refused{false};
    REQUIRE_FALSE(pool.try_run([&, door](task_context& context) {
        door.wait();
        refused = context.try_run([] {}) == errc::stopped;
    }));
    REQUIRE(door.wait_for_waiters(1));
    pool.close();
    door.open();
    CHECK(pool.drain(test::patience).clean());
    CHECK(refused);
    check_sum(pool.counters());
}

TEST_CASE("a drain names every task that it gives up: waiting, running, and stopped") {
    const test::captured_log log;
    std::atomic<bool> endless_ended{false};
    thread_pool pool({.threads = 2, .logger = log.logger()});
    test::door door;
    const test::door_opener opener(door);
    REQUIRE_FALSE(pool.try_run(
        [door, end = std::shared_ptr<void>(nullptr, [&](void*) { endless_ended = true; })] {
            door.wait();
        },
        {.name = "endless"}));
    std::atomic<bool> polite_runs{false};
    REQUIRE_FALSE(pool.try_run(
        [&](task_context& context) {
            polite_runs = true;
            while (!context.stop_requested()) {
                std::this_thread::yield();
            }
            context.checkpoint();
        },
        {.name = "polite"}));
    REQUIRE(door.wait_for_waiters(1));
    REQUIRE(test::eventually([&] { return polite_runs.load(); }));
    REQUIRE_FALSE(pool.try_run([](task_context& c) { c.checkpoint(); }, {.name = "queued"}));

    // The polite one stops at four fifths of the time; then the queued one gets its worker.
    const auto report = pool.drain(5s);
    std::map<std::string, task_report::where> lost;
    for (const auto& task : report.lost) {
        lost[task.name] = task.state;
        CHECK(log.count({"'" + task.name + "' is lost", "queue default"}) == 1);
    }
    REQUIRE(lost.size() == 3);
    CHECK(lost["endless"] == task_report::where::running);
    CHECK(lost["polite"] == task_report::where::stopped);
    CHECK(lost.contains("queued"));
    CHECK(pool.counters().lost == 3);
    CHECK(pool.counters().left == 0);
    check_sum(pool.counters());

    // What ends later changes no count.
    door.open();
    REQUIRE(test::eventually([&] { return endless_ended.load(); }));
    CHECK(pool.drain(1s).lost.empty());
    CHECK(pool.counters().lost == 3);
    CHECK(pool.counters().completed == 0);
}

TEST_CASE("work that waits when the drain's time is over is lost by name, without being run") {
    const test::captured_log log;
    std::atomic<int> ran{0};
    {
        thread_pool pool({.threads = 1, .logger = log.logger()});
        test::door door;
        const test::door_opener opener(door);
        REQUIRE_FALSE(pool.try_run([door] { door.wait(); }, {.name = "holder"}));
        for (int i = 0; i < 10; ++i) {
            REQUIRE_FALSE(pool.try_run([&] { ++ran; }, {.name = "waiting"}));
        }
        REQUIRE(door.wait_for_waiters(1));
        const auto report = pool.drain(20ms);
        CHECK(report.lost.size() == 11);
        CHECK(log.count({"'waiting' is lost", "had not started"}) == 10);
        CHECK(pool.counters().lost == 11);
        check_sum(pool.counters());
    }
    CHECK(ran == 0);
}

TEST_CASE("the destructor runs what was accepted") {
    std::atomic<int> ran{0};
    {
        thread_pool pool({.threads = 1});
        for (int i = 0; i < 1'000; ++i) {
            REQUIRE_FALSE(pool.try_run([&] { ++ran; }));
        }
    }
    CHECK(ran == 1'000);
}

TEST_CASE("options out of range are refused with a sentence that names them") {
    CHECK_THAT(message_of({.threads = 5'000}), Catch::Matchers::Contains("threads is 5000"));
    CHECK_THAT(message_of({.default_queue = {.name = ""}}), Catch::Matchers::Contains("name"));
    CHECK_THAT(message_of({.default_queue = {.name = "default", .capacity = 0}}),
               Catch::Matchers::Contains("capacity of 'default' is 0"));
    CHECK_THAT(message_of({.queues = {{.name = "mail"}, {.name = "mail"}}}),
               Catch::Matchers::Contains("two queues are named 'mail'"));
    CHECK_THAT(message_of({.queues = {{.name = "mail", .run_limit = -1ms}}}),
               Catch::Matchers::Contains("run_limit of 'mail'"));
    CHECK_THAT(message_of({.queues = std::vector<postlude::queue_options>(64, {.name = "q"})}),
               Catch::Matchers::Contains("63"));
    CHECK_THAT(message_of({.drain = -1ms}), Catch::Matchers::Contains("drain"));
}

TEST_CASE("an unknown queue is an error that names it, also as an id of another pool") {
    thread_pool pool({.threads = 1});
    try {
        pool.queue("mial");
        FAIL("found a queue that is not there");
    } catch (const boost::system::system_error& e) {
        CHECK(e.code() == errc::unknown_queue);
        CHECK_THAT(e.what(), Catch::Matchers::Contains("'mial'"));
    }
    CHECK(pool.try_run([] {}, {.queue = postlude::queue_id{7}}) == errc::unknown_queue);
}

TEST_CASE("workers run under SCHED_BATCH unless told otherwise, and take no signals") {
    for (const auto& [option, policy] : {std::pair{postlude::scheduling::batch, SCHED_BATCH},
                                         std::pair{postlude::scheduling::inherit, SCHED_OTHER},
                                         std::pair{postlude::scheduling::idle, SCHED_IDLE}}) {
        thread_pool pool({.threads = 1, .schedule = option});
        std::promise<int> seen;
        REQUIRE_FALSE(pool.try_run([&] { seen.set_value(sched_getscheduler(0)); }));
        CHECK(seen.get_future().get() == policy);
        std::promise<int> blocked;
        REQUIRE_FALSE(pool.try_run([&] {
            sigset_t mask;
            pthread_sigmask(SIG_BLOCK, nullptr, &mask);
            blocked.set_value(sigismember(&mask, SIGTERM));
        }));
        CHECK(blocked.get_future().get() == 1);
    }
}

namespace {

/// How often the threads of a pool have gone to sleep, by the system's count.
std::map<std::string, std::string> switches_of_pool_threads() {
    std::map<std::string, std::string> found;
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
        std::ifstream comm(task.path() / "comm");
        std::string name;
        if (!std::getline(comm, name) || !name.starts_with("postlude-")) {
            continue;
        }
        std::ifstream status(task.path() / "status");
        for (std::string line; std::getline(status, line);) {
            if (line.find("voluntary_ctxt_switches") != std::string::npos) {
                found[task.path().filename().string()] += line;
            }
        }
    }
    return found;
}

}  // namespace

TEST_CASE("an idle pool does not wake up at all") {
    thread_pool pool({.threads = 2});
    REQUIRE_FALSE(pool.try_run([] {}));
    REQUIRE(test::eventually([&] { return pool.counters().completed == 1; }));
    // Until the monitor has seen that nothing runs; then not one switch in two of its looks.
    std::promise<void> never;
    const auto pause = never.get_future();
    REQUIRE(test::eventually([&] {
        const auto before = switches_of_pool_threads();
        pause.wait_for(2'500ms);
        return switches_of_pool_threads() == before && before.size() == 3;
    }));
}
