// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
//
// A server that has lost its latest seconds (a failover, a power failure) may have lost lanes that
// processes know, and has still the owners that know them.
#include "redis_support.hpp"

#include <iterator>
#include <map>
#include <sstream>

using namespace postlude;
using namespace test;

namespace {

struct losing {
    losing() {
        store.add(store.job());
        keep();
    }

    /// All keys of the store, as they are now.
    void keep() { copy(prefix, "kept-" + prefix); }
    /// The server is as it was then.
    void restore() { copy("kept-" + prefix, prefix); }

    std::unique_ptr<backend> serving(std::vector<std::string> kinds) {
        auto made = redis_backend({.url = url, .timeout = patience});
        open_options asked;
        for (std::size_t i = 0; i < kinds.size(); ++i) {
            asked.kinds.push_back({kinds[i], i});
        }
        made->open(asked);
        return made;
    }
    /// What is ready of each of so many kinds.
    std::vector<claimed_job> take_all(backend& by, std::size_t kinds = 1) {
        return by.claim(std::vector<std::size_t>(kinds, 100), 0ms);
    }
    std::string prefix = new_prefix();
    std::string url = shared_redis().url() + "?prefix=" + prefix;
    redis_store store{url};
    redis_admin admin;

private:
    std::vector<std::string> keys_of(const std::string& of) {
        std::istringstream all(admin({"KEYS", "{" + of + "}:*"}));
        return {std::istream_iterator<std::string>(all), {}};
    }
    void copy(const std::string& from, const std::string& to) {
        for (const auto& key : keys_of(to)) {
            admin({"DEL", key});
        }
        for (const auto& key : keys_of(from)) {
            REQUIRE(admin({"COPY", key, "{" + to + key.substr(key.find('}'))}) == "1");
        }
    }
};

}  // namespace

TEST_CASE_METHOD(losing,
                 "redis: what is stored after the server has lost its lane, others can claim") {
    store.add(store.job("news"));
    restore();
    auto next = store.job("news");
    SECTION("ready at once") { store.add(next); }
    SECTION("in a commit with a job whose lane is there") {
        const auto result = store->commit(std::vector{store.job(), next}, {});
        CHECK(result.puts.at(0).what == put_result::outcome::stored);
        CHECK(result.puts.at(1).what == put_result::outcome::stored);
    }
    SECTION("a suspect") {
        next.job.crashes = 1;
        store.add(next);
    }
    SECTION("claimed, and given back or tried again") {
        next.claimed = true;
        const auto held = store.commit(next).puts.at(0).held;
        const auto what = GENERATE(verdict::give_back, verdict::retry);
        CHECK(store.settle(held, what) == settled::accepted);
    }
    SECTION("as a follow-up") {
        const settlement done{store.take().at(0).held, verdict::done, {}, {}, {next}};
        CHECK(store->commit({}, {&done, 1}).settlements.at(0) == settled::accepted);
    }
    SECTION("beside the end of a run") {
        const settlement done{store.take().at(0).held, verdict::done, {}, {}, {store.job("news")}};
        const auto result = store->commit({&next, 1}, {&done, 1});
        CHECK(result.puts.at(0).what == put_result::outcome::stored);
        CHECK(result.settlements.at(0) == settled::accepted);
        CHECK(store->find({.kind = "news"}).size() == 2);
    }
    const auto taken = take_all(*serving({"news"}));
    REQUIRE_FALSE(taken.empty());
    CHECK(taken[0].job.id == next.job.id);
    CHECK(taken[0].job.kind == "news");
    CHECK(store.view(next.job.id).job.kind == "news");
}

TEST_CASE_METHOD(losing,
                 "redis: a job never becomes one of the kind that has got its lane's number") {
    store.add(store.job("news"));
    restore();
    redis_store other(url);
    const auto bill = other.add(other.job("bill"));
    const auto news = store.add(store.job("news"));
    const auto bills = take_all(*serving({"bill"}));
    REQUIRE(bills.size() == 1);
    CHECK(bills[0].job.id == bill);
    CHECK(bills[0].job.kind == "bill");
    const auto others = take_all(*serving({"news"}));
    REQUIRE(others.size() == 1);
    CHECK(others[0].job.id == news);
    CHECK(others[0].job.kind == "news");
}

TEST_CASE_METHOD(losing, "redis: a claim that knows lanes by the numbers of others learns better") {
    const std::vector<std::string> kinds{"news", "bill", "call"};
    const auto claimer = serving(kinds);
    keep();
    for (const auto& kind : kinds) {
        store.add(store.job(kind));
    }
    CHECK(take_all(*claimer, 3).size() == 3);
    restore();
    // As many as before, and the same is the last.
    redis_store other(url);
    std::map<job_id, std::string> stored;
    for (const auto* const kind : {"bill", "news", "call"}) {
        stored[other.add(other.job(kind))] = kind;
    }
    std::map<job_id, std::string> taken;
    for (const auto& one : take_all(*claimer, 3)) {
        taken[one.job.id] = one.job.kind;
    }
    CHECK(taken == stored);
}

TEST_CASE_METHOD(losing, "redis: a claim that knows more lanes than there are does not go round") {
    const auto claimer = serving({"mail", "news"});
    keep();
    store.add(store.job("news"));
    CHECK(take_all(*claimer, 2).size() == 2);
    restore();
    const auto before = scripts_run();
    CHECK(what_fails([&] { CHECK(take_all(*claimer, 2).size() == 1); }).second.empty());
    CHECK(scripts_run() - before <= 3);
    CHECK(what_fails([&] { CHECK(take_all(*claimer, 2).empty()); }).second.empty());
}

TEST_CASE_METHOD(losing, "redis: when the lanes alone are lost, they are made anew") {
    const auto claimer = serving({"mail"});
    CHECK(take_all(*claimer).size() == 1);
    admin({"DEL", "{" + prefix + "}:lanes"});
    CHECK(take_all(*claimer).empty());
    const auto next = store.add(store.job());
    const auto taken = take_all(*claimer);
    REQUIRE(taken.size() == 1);
    CHECK(taken[0].job.id == next);
}
