// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
//
// A commit's transaction: what it writes beside its script is there if and only if the script
// found a place for it.
#include "redis_support.hpp"

#include "backends/redis/records.hpp"
#include "backends/redis/store.hpp"
#include "support/tcp_proxy.hpp"

#include <array>
#include <atomic>
#include <set>
#include <sstream>
#include <thread>

using namespace postlude;
using namespace test;
using Catch::Matchers::Contains;
using outcome = put_result::outcome;

namespace {

struct committing {
    std::string key(const std::string& name) const { return "{" + prefix + "}:" + name; }
    put job(const std::string& arguments) {
        auto p = store.job();
        p.job.arguments = arguments;
        return p;
    }
    std::set<std::string> keys(const std::string& pattern) {
        std::istringstream all(admin({"KEYS", key(pattern)}));
        std::set<std::string> found;
        for (std::string one; all >> one;) {
            found.insert(one);
        }
        return found;
    }

    std::string prefix = new_prefix();
    std::string url = shared_redis().url() + "?prefix=" + prefix;
    redis_store store{url};
    redis_admin admin;
};

}  // namespace

TEST_CASE_METHOD(committing,
                 "redis: an id that is in use keeps its job, and those beside it go in") {
    const auto first = job("1");
    store.add(first);
    auto again = first;
    again.job.arguments = "2";
    auto beside = job("3");
    auto beside_again = beside;
    beside_again.job.arguments = "4";
    const auto result = store->commit(std::vector{again, beside, beside_again}, {});
    CHECK(result.puts.at(0).what == outcome::refused);
    CHECK(result.puts.at(1).what == outcome::stored);
    CHECK(result.puts.at(2).what == outcome::refused);
    CHECK(store.view(first.job.id).job.arguments == "1");
    CHECK(store.view(beside.job.id).job.arguments == "3");
    CHECK(store.take(9).size() == 2);
    CHECK(keys("before").empty());
}

TEST_CASE_METHOD(committing, "redis: a commit of ids in any order, from far apart, stores each") {
    std::vector<put> puts;
    const auto base = store.job().job.id;
    for (const job_id id : {9'000, 3, 8'999, 5'000, 2}) {
        puts.push_back(job(std::to_string(id)));
        puts.back().job.id = base + id;
        puts.back().job.tags = {"all"};
    }
    const auto result = store->commit(puts, {});
    for (const auto& one : result.puts) {
        CHECK(one.what == outcome::stored);
    }
    CHECK(store->find({}).size() == 5);
    CHECK(store->find({.tag = "all"}).size() == 5);
    const auto taken = store.take(9);
    REQUIRE(taken.size() == 5);
    for (const auto& one : taken) {
        CHECK(one.job.arguments == std::to_string(one.job.id - base));
    }
}

TEST_CASE_METHOD(committing, "redis: nothing is left of a commit that the server refuses whole") {
    const auto first = job("1");
    store.add(first);
    const auto before = keys("*");
    admin({"HSET", key("owners"), std::to_string(store.info.owner), "another's"});
    auto again = first;
    again.job.arguments = "2";
    auto far = job("3");
    far.job.id += 10'000;
    const auto [code, text] = what_fails([&] { store->commit(std::vector{again, far}, {}); });
    CHECK(code == errc::bad_store);
    CHECK(keys("*") == before);
    redis_store other(url);
    CHECK(other.view(first.job.id).job.arguments == "1");
    CHECK(other->find({}).size() == 1);
}

TEST_CASE_METHOD(committing, "redis: a commit goes on when the server was told to forget scripts") {
    store.add(job("1"));
    const auto taken = store.take();
    const settlement done{taken.at(0).held, verdict::done, {}, {}, {}};
    const auto next = job("2");
    store.settle({}, verdict::done);  // the settlements' script has been used
    REQUIRE(admin({"SCRIPT", "FLUSH"}) == "OK");
    const auto result = store->commit({&next, 1}, {&done, 1});
    CHECK(result.puts.at(0).what == outcome::stored);
    CHECK(result.settlements.at(0) == settled::accepted);
    CHECK(store.view(taken[0].job.id).state == job_state::done);
    CHECK(store.take(9).size() == 1);
}

TEST_CASE("redis: a commit whose transaction was not begun is in doubt, and the next says why") {
    const redis_user user("cut", {"~*", "&*", "+@all"});
    redis_store store(with_user("cut", "user-secret"));
    store.add(store.job());
    redis_admin()({"ACL", "SETUSER", "cut", "-multi"});
    const auto p = store.job();
    CHECK(store.commit(p).puts.at(0).what == outcome::unknown);
    redis_admin()({"ACL", "SETUSER", "cut", "+multi"});
    const auto [code, text] = what_fails([&] { store.commit(store.job()); });
    CHECK(code == errc::bad_store);
    CHECK_THAT(text, Contains("'multi'"));
    // Each of its commands was done by itself.
    CHECK(store.commit(p).puts.at(0).what == outcome::refused);
    CHECK(store.take(9).size() == 2);
}

TEST_CASE(
    "redis: a commit whose transaction may not be ended is refused, and no later one joins it") {
    const redis_user user("open", {"~*", "&*", "+@all"});
    redis_store store(with_user("open", "user-secret"));
    store.add(store.job());
    redis_admin()({"ACL", "SETUSER", "open", "-exec"});
    CHECK(what_fails([&] { store.commit(store.job()); }).first == errc::bad_store);
    redis_admin()({"ACL", "SETUSER", "open", "+exec"});
    store.add(store.job());
    CHECK(store.take(9).size() == 2);
}

TEST_CASE("redis: a commit whose script fails in the middle leaves nothing of what has no place") {
    const redis_user user("middle", {"~*", "&*", "+@all"});
    redis_store store(with_user("middle", "user-secret"));
    auto first = store.job();
    first.job.arguments = "1";
    store.add(first);
    auto again = first;
    again.job.arguments = "2";
    const auto next = store.job();
    redis_admin()({"ACL", "SETUSER", "middle", "-rpush"});
    const auto result = store->commit(std::vector{again, next}, {});
    redis_admin()({"ACL", "SETUSER", "middle", "+rpush"});
    CHECK(result.puts.at(0).what == outcome::unknown);
    CHECK(result.puts.at(1).what == outcome::unknown);
    const auto [code, text] = what_fails([&] { store.commit(next); });
    CHECK(code == errc::bad_store);
    CHECK_THAT(text, Contains("may not do what the store needs"));
    CHECK(store.view(first.job.id).job.arguments == "1");
    CHECK(store->find({}).size() == 1);
    store.add(next);
    CHECK(store.take(9).size() == 2);
}

TEST_CASE_METHOD(committing,
                 "redis: what a broken transaction has left is no part of the next one") {
    const auto first = job("1");
    store.add(first);
    const auto id = detail::redis::write_id(first.job.id);
    admin({"HSET", key("before"), id, "old text"});
    store.add(job("2"));
    CHECK(store.view(first.job.id).job.arguments == "1");
    CHECK(keys("before").empty());
}

TEST_CASE_METHOD(committing,
                 "redis: places without a text are passed over, and nothing beside them is lost") {
    const auto page = "jobs:" + detail::redis::page_of(store.job().job.id);
    const auto suspect = GENERATE(false, true);
    auto lost = job("1");
    lost.job.crashes = suspect ? 1 : 0;
    store.add(lost);
    admin({"HDEL", key(page), detail::redis::write_id(lost.job.id)});
    const auto next = job("2");
    store.add(next);
    const auto taken = store.take(9);
    REQUIRE(taken.size() == 1);
    CHECK(taken[0].job.id == next.job.id);
    CHECK(store.take(9).empty());
    CHECK(store.settle(taken[0].held, verdict::done) == settled::accepted);
}

TEST_CASE_METHOD(committing, "redis: a claim goes on behind places without a text") {
    for (int i = 0; i < 5; ++i) {
        admin({"HDEL", key("jobs:" + detail::redis::page_of(store.add(store.job()))),
               detail::redis::write_id(store.job().job.id - 1)});
    }
    const auto id = store.add(store.job());
    const auto taken = store.take(1);
    REQUIRE(taken.size() == 1);
    CHECK(taken[0].job.id == id);
}

TEST_CASE_METHOD(committing, "redis: a withdrawn job without a text ends alone") {
    auto lost = job("1");
    lost.claimed = true;
    const auto held = store.commit(lost).puts.at(0).held;
    store.add(job("2"));
    const auto other = store.take().at(0).held;
    admin({"HDEL", key("jobs:" + detail::redis::page_of(lost.job.id)),
           detail::redis::write_id(lost.job.id)});
    const std::vector<settlement> both{{held, verdict::withdrawn, {}, {}, {}},
                                       {other, verdict::done, {}, {}, {}}};
    const auto result = store->commit({}, both);
    CHECK(result.settlements.at(0) == settled::accepted);
    CHECK(result.settlements.at(1) == settled::accepted);
}

TEST_CASE_METHOD(committing,
                 "redis: jobs that came in another order than that of their times all run") {
    // Ids decide among those of one time: the lists are 9 2 4, and 6.
    const auto base = store.job().job.id;
    std::vector<put> puts;
    for (const auto& [kind, id] : {std::pair{"mail", 9}, {"news", 6}, {"mail", 4}, {"mail", 2}}) {
        puts.push_back(store.job(kind));
        puts.back().job.id = base + static_cast<job_id>(id);
    }
    const auto both = redis_backend({.url = url});
    both->open({.kinds = {{"mail", 0}, {"news", 0}}});
    store->commit(puts, {});
    const auto erased = base + 2;
    const bool with_gap = GENERATE(false, true);
    if (with_gap) {
        store->amend(std::span(&erased, 1), amendment::erase);
    }
    std::vector<job_id> ran;
    for (int i = 0; i < 9; ++i) {
        for (const auto& one : both->claim(std::vector<std::size_t>{2}, 0ms)) {
            ran.push_back(one.job.id - base);
        }
    }
    CHECK(ran == (with_gap ? std::vector<job_id>{4, 6, 9} : std::vector<job_id>{2, 6, 9, 4}));
    CHECK(keys("fifo:*").empty());
    CHECK(keys("gone:*").empty());
}

TEST_CASE_METHOD(committing, "redis: a follow-up is ready, whoever asks for it as claimed") {
    store.add(job("1"));
    settlement done{store.take().at(0).held, verdict::done, {}, {}, {job("2")}};
    done.follow_ups[0].claimed = true;
    CHECK(store->commit({}, {&done, 1}).settlements.at(0) == settled::accepted);
    CHECK(store.take(9).size() == 1);
}

TEST_CASE_METHOD(committing, "redis: a clock that is ahead of the server's stores nothing") {
    const auto number = std::to_string(store.info.owner);
    const auto token = admin({"HGET", key("owners"), number});
    const detail::redis::scripts texts;
    const auto all = keys("*");
    const auto answer =
        admin({"EVAL", texts.put, "1", key("meta"), number, token, "1000", "1", "9000000000000000",
               "0", "", "P", "1", "fifo:0", "0", "0000000000000001"});
    CHECK_THAT(answer, Catch::Matchers::StartsWith("POSTLUDECLOCK 1"));
    CHECK(admin({"HGET", key("before"), "0000000000000001"}) == "0");  // the empty text
    CHECK(admin({"EVAL", texts.undo, "1", key("meta")}) == "1");
    CHECK(keys("*") == all);
}

TEST_CASE_METHOD(committing,
                 "redis: a commit that is ahead of the server is sent again, in its time") {
    tcp_proxy proxy(static_cast<unsigned short>(std::stoi(shared_redis().port())));
    // The first digit of the seconds that TIME answers to who opens the store.
    proxy.replace("*2\r\n$10\r\n1", "*2\r\n$10\r\n2");
    redis_store early("redis://127.0.0.1:" + std::to_string(proxy.port()) + "?prefix=" + prefix);
    store.add(job("1"));
    const auto taken = early.take();
    REQUIRE(taken.size() == 1);
    const auto p = early.job();
    const settlement done{taken[0].held, verdict::done, {}, {}, {early.job()}};
    const auto result = early->commit({&p, 1}, {&done, 1});
    CHECK(result.puts.at(0).what == outcome::stored);
    CHECK(result.settlements.at(0) == settled::accepted);
    CHECK(store.view(p.job.id).created < std::chrono::system_clock::now() + patience);
    CHECK(store.take(9).size() == 2);
    CHECK(keys("before").empty());
}

TEST_CASE("redis: a question that the server refuses is an error, not an empty answer") {
    const redis_user user("asks", {"~*", "&*", "+@all"});
    redis_store store(with_user("asks", "user-secret"));
    store.add(store.job());
    REQUIRE(store->find({}).size() == 1);
    redis_admin()({"ACL", "SETUSER", "asks", "-smembers"});
    CHECK(what_fails([&] { store->find({}); }).first == errc::bad_store);
    redis_admin()({"ACL", "SETUSER", "asks", "+smembers", "-lrange"});
    CHECK(what_fails([&] { store->find({}); }).first == errc::bad_store);
}

TEST_CASE_METHOD(committing, "redis: a job is created at the server's time, and never later") {
    const auto now = [this] {
        const auto text = admin({"TIME"});
        const auto blank = text.find(' ');
        return store_time(std::chrono::seconds(std::stoll(text.substr(0, blank))) +
                          std::chrono::microseconds(std::stoll(text.substr(blank))));
    };
    for (int i = 0; i < 20; ++i) {
        const auto id = store.add(job("1"));
        const auto after = now();
        const auto taken = store.take();
        const auto view = store.view(id);
        CHECK(view.created <= after);
        CHECK(view.created > after - patience);
        CHECK(view.claimed >= view.created);
        CHECK(view.run_at == view.created);
    }
}

TEST_CASE("redis: the server's clock is taken from its answers") {
    detail::redis::server_clock clock;
    clock.learn(1'000'000'000'000);
    CHECK(clock.now() >= 1'000'000'000'000);
    CHECK(clock.now() < 1'000'000'000'000 + std::chrono::microseconds(patience).count());
    clock.learn(5'000'000);  // it came late
    CHECK(clock.now() >= 1'000'000'000'000);
    clock.correct(5'000'000);
    CHECK(clock.now() < 5'000'000 + std::chrono::microseconds(patience).count());
}

namespace {

/// Two threads that commit one job at a time, by one store.
struct committers {
    static constexpr std::size_t rounds = 100;
    explicit committers(redis_store& by) : base(by.job().job.id) {
        for (std::size_t t = 0; t != threads.size(); ++t) {
            threads[t] = std::jthread([this, &by, t] {
                for (std::size_t round = 0; round != rounds; ++round) {
                    put one;
                    one.job.id = base + t * rounds + round;
                    one.job.kind = "mail";
                    one.job.queue = "out";
                    try {
                        stored += by.commit(one).puts.at(0).what == outcome::stored ? 1 : 0;
                    } catch (const std::exception& e) {
                        errors[t] = e.what();
                    }
                    ++tried;
                }
            });
        }
    }
    void join() {
        for (auto& t : threads) {
            t.join();
        }
    }

    const job_id base;
    std::atomic<std::size_t> stored{0};
    std::atomic<std::size_t> tried{0};
    std::array<std::string, 2> errors;
    std::array<std::jthread, 2> threads;
};

}  // namespace

TEST_CASE_METHOD(committing,
                 "redis: commits at the same time outlive that the server forgets their owner") {
    const redis_setting sync("appendfsync", "everysec");
    redis_store both(url);
    REQUIRE(both.info.can.commits_at_once == 2);
    const auto owner = std::to_string(both.info.owner);
    std::size_t forgotten = 0;
    committers two(both);
    for (std::size_t next = 5; two.tried < 2 * two.rounds; std::this_thread::yield()) {
        if (two.tried >= next) {  // not again before the one that it hit is through
            forgotten += admin({"HDEL", key("owners"), owner}) == "1" ? 1 : 0;
            next = two.tried + 5;
        }
    }
    two.join();
    CHECK(two.errors == std::array<std::string, 2>{});
    CHECK(forgotten > 3);
    CHECK(two.stored == 2 * two.rounds);
    CHECK(both.take(1'000).size() == 2 * two.rounds);
}

TEST_CASE_METHOD(committing,
                 "redis: without room for a second connection, commits wait for the first one") {
    const redis_setting sync("appendfsync", "everysec");
    redis_store both(url);
    both.add(both.job());
    const redis_setting limit("maxclients", "10000");
    const auto clients = admin({"INFO", "clients"});
    const auto at = clients.find("connected_clients:") + 18;
    const auto now = clients.substr(at, clients.find('\r', at) - at);
    REQUIRE(admin({"CONFIG", "SET", "maxclients", now}) == "OK");
    committers two(both);
    two.join();
    CHECK(two.errors == std::array<std::string, 2>{});
    CHECK(two.stored == 2 * two.rounds);
}
