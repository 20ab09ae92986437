// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
//
// A commit's transaction: what it writes beside its script is there if and only if the script
// found a place for it.
#include "redis_support.hpp"

#include "backends/redis/store.hpp"

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
    std::string keys(const std::string& pattern) { return admin({"KEYS", key(pattern)}); }

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
    // To be tried again, as its caller does.
    CHECK(result.settlements.at(0) == settled::unknown);
    CHECK(store.view(taken[0].job.id).state == job_state::claimed);
    const auto last = job("3");
    CHECK(store->commit({&last, 1}, {&done, 1}).settlements.at(0) == settled::accepted);
    CHECK(store.take(9).size() == 2);
}

TEST_CASE("redis: a commit whose transaction was not begun is in doubt") {
    const redis_user user("cut", {"~*", "&*", "+@all"});
    redis_store store(with_user("cut", "user-secret"));
    store.add(store.job());
    redis_admin()({"ACL", "SETUSER", "cut", "-multi"});
    const auto p = store.job();
    CHECK(store.commit(p).puts.at(0).what == outcome::unknown);
    redis_admin()({"ACL", "SETUSER", "cut", "+multi"});
    // Each of its commands was done by itself.
    CHECK(store.commit(p).puts.at(0).what == outcome::refused);
    CHECK(store.take(9).size() == 2);
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
    clock.learn(5'000'000);
    CHECK(clock.now() < 5'000'000 + std::chrono::microseconds(patience).count());
}
