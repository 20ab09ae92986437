// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "redis_support.hpp"

#include <algorithm>

using namespace postlude;
using namespace test;

namespace {

std::vector<job_id> ids_of(const std::vector<claimed_job>& jobs) {
    std::vector<job_id> ids;
    for (const auto& one : jobs) {
        ids.push_back(one.job.id);
    }
    return ids;
}

}  // namespace

TEST_CASE(
    "redis: jobs that are taken from the middle of a lane are skipped, and the rest counted") {
    redis_store store(new_redis_url());
    std::vector<put> puts;
    std::vector<job_id> ids;
    for (int i = 0; i < 8; ++i) {
        puts.push_back(store.job());
        ids.push_back(puts.back().job.id);
    }
    store->commit(puts, {});
    const std::vector<job_id> cancelled{ids[0], ids[1], ids[3]};
    const std::vector<job_id> erased{ids[5], ids[7]};
    store->amend(cancelled, amendment::cancel);
    store->amend(erased, amendment::erase);
    store->amend(std::span(&ids[3], 1), amendment::retry);
    CHECK(store->stats().at(0).ready == 4);
    CHECK(store->stats().at(0).oldest_ready);
    CHECK(store->find({.state = job_state::ready}).size() == 4);

    CHECK(ids_of(store.take(1)) == std::vector{ids[2]});
    CHECK(ids_of(store.take(2)) == std::vector{ids[4], ids[6]});
    // Its old place is there still, in a lane that ends with an erased one.
    store.add(puts[7]);
    CHECK(ids_of(store.take(9)) == std::vector{ids[3], ids[7]});
    CHECK(store.take(9).empty());
    CHECK(store->stats().at(0).ready == 0);
}

TEST_CASE("redis: a retry by hand leaves a job that is ready already in its place") {
    redis_store store(new_redis_url());
    const auto first = store.add(store.job());
    const auto second = store.add(store.job());
    CHECK(store->amend(std::span(&first, 1), amendment::retry).at(0) == amended::changed);
    CHECK(ids_of(store.take(9)) == std::vector{first, second});
}

TEST_CASE("redis: the history of a job keeps its latest 100 runs") {
    redis_store store(new_redis_url());
    const auto id = store.add(store.job());
    for (int i = 0; i < 120; ++i) {
        const auto taken = store.take();
        REQUIRE(taken.size() == 1);
        store.settle(taken[0].held, verdict::give_back, "reason " + std::to_string(i));
    }
    const auto way = store->history(id);
    REQUIRE(way.size() == 201);
    CHECK(way[0].what == "enqueued");
    CHECK(way[1].attempt == 21);
    CHECK(way[2].reason == "reason 20");
    CHECK(way[200].attempt == 120);
    CHECK(way[200].reason == "reason 119");
    CHECK(store->claim(std::vector<std::size_t>{1}, 0ms).size() == 1);
}

TEST_CASE("redis: a batch of thousands, with tags, goes through whole") {
    redis_store store(new_redis_url());
    std::vector<put> puts;
    for (int i = 0; i < 5'000; ++i) {
        puts.push_back(store.job());
        puts.back().job.tags = {"all", "tag" + std::to_string(i % 7)};
    }
    store->commit(puts, {});
    const auto taken = store.take(5'000);
    REQUIRE(taken.size() == 5'000);
    CHECK(std::ranges::is_sorted(ids_of(taken)));
    CHECK(store->find({.tag = "all", .limit = 10'000}).size() == 5'000);
    CHECK(store->find({.tag = "tag3", .limit = 10'000}).size() == 714);
    std::vector<settlement> done;
    for (const auto& one : taken) {
        done.push_back({one.held, verdict::done, {}, {}, {}});
    }
    const auto result = store->commit({}, done);
    CHECK(std::ranges::count(result.settlements, settled::accepted) == 5'000);
    std::size_t pruned = 0;
    while (const auto some = store->prune({.done_count = 0})) {
        pruned += some;
    }
    CHECK(pruned == 5'000);
    CHECK(store->find({}).empty());
    CHECK(store->find({.tag = "all"}).empty());
}

TEST_CASE("redis: nothing is left under the prefix of what has ended and was pruned") {
    const auto prefix = new_prefix();
    {
        redis_store store(shared_redis().url() + "?prefix=" + prefix);
        auto p = store.job();
        p.job.tags = {"t"};
        store.add(p);
        store.settle(store.take().at(0).held, verdict::retry, "no");
        store.settle(store.take().at(0).held, verdict::dead, "no");
        while (store->prune({.dead_age = std::chrono::seconds(0)}) > 0) {
        }
    }
    auto keys = redis_admin()({"KEYS", "{" + prefix + "}:*"});
    for (const auto* const name : {"meta", "lanes", "lane_numbers", "gave_up"}) {
        const auto key = "{" + prefix + "}:" + name;
        const auto at = keys.find(key);
        if (at != keys.npos) {
            keys.erase(at, key.size());
        }
    }
    CHECK(keys.find_first_not_of("_numbers ") == keys.npos);
}
