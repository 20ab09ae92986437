// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
//
// A server whose memory is full for long: what makes room goes on, and so does who does it.
#include "redis_support.hpp"
#include "support/tcp_proxy.hpp"

#include <optional>

using namespace postlude;
using namespace test;
using Catch::Matchers::Contains;
using outcome = put_result::outcome;

namespace {

/// A store in the shared server, whose memory can be filled.
struct filling {
    std::string key(const std::string& name) const { return "{" + prefix + "}:" + name; }
    void fill() { full.emplace("maxmemory", "1"); }
    void make_room() { full.reset(); }
    /// Of a process that has not renewed it.
    void end_lease(const redis_store& of) {
        admin({"ZADD", key("leases"), "1", std::to_string(of.info.owner)});
    }
    job_id add_suspect() {
        redis_store dead(url);
        const auto id = dead.add(dead.job());
        REQUIRE(dead.take().size() == 1);
        end_lease(dead);
        REQUIRE(store->rescue(10).size() == 1);
        return id;
    }
    job_id add_dead() {
        const auto id = store.add(store.job());
        CHECK(store.settle(take_one().held, verdict::dead, "no route") == settled::accepted);
        return id;
    }
    claimed_job take_one() {
        auto taken = store.take();
        REQUIRE(taken.size() == 1);
        return std::move(taken[0]);
    }
    amended amend(job_id id, amendment what) { return store->amend(std::span(&id, 1), what).at(0); }

    std::string prefix = new_prefix();
    std::string url = shared_redis().url() + "?prefix=" + prefix;
    redis_store store{url};
    redis_admin admin;
    std::optional<redis_setting> full;
};

}  // namespace

TEST_CASE_METHOD(filling, "redis: a server whose memory is full stores no jobs, and says so") {
    fill();
    const auto [code, text] = what_fails([&] { store.add(store.job()); });
    CHECK(code == errc::store_unavailable);
    CHECK_THAT(text, Contains("memory is full"));
}

TEST_CASE_METHOD(filling,
                 "redis: ends of runs go on while memory is full, and jobs beside them wait") {
    store.add(store.job());
    const auto taken = take_one();
    auto p = store.job();
    auto never = store.job();
    never.job.priority = 4;
    fill();
    settlement done{taken.held, verdict::done, {}, {}, {}};
    SECTION("alone") {}
    SECTION("with a follow-up of a new kind") { done.follow_ups = {store.job("news")}; }
    const auto result = store->commit(std::vector{p, never}, {&done, 1});
    REQUIRE(result.puts.size() == 2);
    CHECK(result.puts[0].what == outcome::unknown);
    CHECK(result.puts[1].what == outcome::refused);
    CHECK(result.settlements.at(0) == settled::accepted);
    make_room();
    CHECK(store->find({.ids = {p.job.id}}).empty());
    store.add(p);
    CHECK(store->find({.kind = "news"}).size() == done.follow_ups.size());
}

TEST_CASE("redis: ends of runs whose answer is lost while memory is full are in doubt") {
    tcp_proxy proxy(static_cast<unsigned short>(std::stoi(shared_redis().port())));
    redis_store store("redis://127.0.0.1:" + std::to_string(proxy.port()) +
                      "?timeout=1500&prefix=" + new_prefix());
    store.add(store.job());
    const auto taken = store.take();
    REQUIRE(taken.size() == 1);
    const auto p = store.job();
    const settlement done{taken[0].held, verdict::done, {}, {}, {}};
    {
        const redis_setting full("maxmemory", "1");
        proxy.pass_only([&](std::string_view answer) {
            return !answer.starts_with("$1\r\n");  // what the end of one run is answered
        });
        const auto result = store->commit({&p, 1}, {&done, 1});
        CHECK(result.puts.at(0).what == outcome::unknown);
        CHECK(result.settlements.at(0) == settled::unknown);
    }
    proxy.pass_only({});
    CHECK(store.settle(taken[0].held, verdict::done) == settled::lost_lease);
    CHECK(store.view(taken[0].job.id).state == job_state::done);
}

TEST_CASE_METHOD(filling, "redis: a process lives on while memory is full") {
    SECTION("it keeps its lease") {
        store.add(store.job());
        const auto taken = take_one();
        redis_store other(url);
        end_lease(store);
        fill();
        CHECK(store->renew({&taken.held, 1}).empty());
        CHECK(other->rescue(10).empty());
    }
    SECTION("it enters again") {
        admin({"HDEL", key("owners"), std::to_string(store.info.owner)});
        fill();
        CHECK(store->renew({}).empty());
    }
    SECTION("it claims") {
        store.add(store.job());
        fill();
        CHECK(store.settle(take_one().held, verdict::done) == settled::accepted);
    }
    SECTION("it claims a suspect") {
        add_suspect();
        fill();
        CHECK(store.settle(take_one().held, verdict::done) == settled::accepted);
    }
    SECTION("it gives back what it holds when it ends") {
        std::optional<redis_store> ending(url);
        const auto id = ending->add(ending->job());
        REQUIRE(ending->take().size() == 1);
        fill();
        ending.reset();
        CHECK(store.view(id).state == job_state::ready);
    }
    SECTION("it begins") {
        store.add(store.job());
        fill();
        redis_store late(url);
        CHECK(late.take().size() == 1);
    }
    SECTION("it takes over from a dead one") {
        redis_store dead(url);
        dead.add(dead.job());
        REQUIRE(dead.take().size() == 1);
        end_lease(dead);
        fill();
        CHECK(store->rescue(10).size() == 1);
    }
}

TEST_CASE_METHOD(filling, "redis: people can make room while memory is full") {
    SECTION("with a job that waits") {
        const auto id = store.add(store.job());
        fill();
        const auto what = GENERATE(amendment::retry, amendment::cancel, amendment::erase);
        CHECK(amend(id, what) == amended::changed);
        CHECK(store.take().size() == (what == amendment::retry ? 1 : 0));
    }
    SECTION("with a suspect") {
        const auto id = add_suspect();
        fill();
        CHECK(amend(id, GENERATE(amendment::retry, amendment::cancel, amendment::erase)) ==
              amended::changed);
    }
    SECTION("with a job that runs") {
        const auto id = store.add(store.job());
        take_one();
        fill();
        CHECK(amend(id, GENERATE(amendment::cancel, amendment::erase)) == amended::changed);
    }
    SECTION("with a dead job") {
        const auto id = add_dead();
        fill();
        CHECK(amend(id, GENERATE(amendment::retry, amendment::erase)) == amended::changed);
    }
    SECTION("by pruning dead jobs") {
        const auto id = add_dead();
        fill();
        CHECK(store->prune({.dead_age = std::chrono::seconds(0)}) == 1);
        CHECK(store->find({.ids = {id}}).empty());
    }
}
