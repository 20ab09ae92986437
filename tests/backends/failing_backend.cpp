// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "support/failing_backend.hpp"

#include "conformance.hpp"
#include "postlude/backends/memory.hpp"

#include <atomic>
#include <thread>

using namespace postlude;
using namespace test;
using std::chrono::milliseconds;
using outcome = put_result::outcome;

namespace {

struct troubled {
    memory_store store;
    std::shared_ptr<store_trouble> trouble = std::make_shared<store_trouble>();
    failing_backend b{store.connect(), trouble};

    troubled() { b.open({.kinds = {{"a", 0}}, .lease = milliseconds(1'000)}); }
};

/// The error that the call throws, or none.
template <class Call>
boost::system::error_code error_of(Call call) {
    try {
        call();
    } catch (const boost::system::system_error& e) {
        return e.code();
    }
    return {};
}

}  // namespace

TEST_CASE("a failing backend fails the nth call of one kind, which then has changed nothing") {
    troubled t;
    t.trouble->fail(call::commit, 2);
    t.trouble->fail(call::commit, 3, errc::bad_store);
    CHECK(put_one(t.b, a_job(1)).what == outcome::stored);
    CHECK(error_of([&] { put_one(t.b, a_job(2)); }) == errc::store_unavailable);
    CHECK(error_of([&] { put_one(t.b, a_job(3)); }) == errc::bad_store);
    CHECK_FALSE(exists(t.b, 2));
    CHECK(put_one(t.b, a_job(2)).what == outcome::stored);
    CHECK(t.trouble->count(call::commit) == 4);
    CHECK(t.trouble->count(call::find) == 1);
    t.trouble->fail(call::commit);
    CHECK(error_of([&] { put_one(t.b, a_job(4)); }) == errc::store_unavailable);
}

TEST_CASE("while its store is gone, a failing backend fails all calls") {
    troubled t;
    put_jobs(t.b, {1});
    t.trouble->gone();
    const std::size_t credits[] = {1};
    const receipt held;
    const job_id id = 1;
    const auto unavailable = [](auto call) { return error_of(call) == errc::store_unavailable; };
    CHECK(unavailable([&] { t.b.open({}); }));
    CHECK(unavailable([&] { t.b.commit({}, {}); }));
    CHECK(unavailable([&] { t.b.claim(credits, {}); }));
    CHECK(unavailable([&] { t.b.renew(std::span(&held, 1)); }));
    CHECK(unavailable([&] { t.b.rescue(1); }));
    CHECK(unavailable([&] { t.b.stats(); }));
    CHECK(unavailable([&] { t.b.find({}); }));
    CHECK(unavailable([&] { t.b.history(1); }));
    CHECK(unavailable([&] { t.b.amend(std::span(&id, 1), amendment::erase); }));
    CHECK(unavailable([&] { t.b.prune({}); }));
    t.trouble->gone(false);
    CHECK(t.b.claim(credits, {}).size() == 1);
}

TEST_CASE("a failing backend holds calls of a kind until it is told to release them") {
    troubled t;
    const releaser at_the_end(t.trouble);
    t.trouble->hold(call::commit);
    std::atomic<bool> stored{false};
    std::jthread thread([&] { stored = put_one(t.b, a_job(1)).what == outcome::stored; });
    CHECK(t.trouble->wait_for_held(call::commit));
    CHECK_FALSE(stored);
    CHECK_FALSE(exists(t.b, 1));
    t.trouble->release(call::commit);
    thread.join();
    CHECK(stored);
    CHECK(exists(t.b, 1));
}

TEST_CASE("a call that was held when the store went away fails when it is released") {
    troubled t;
    const releaser at_the_end(t.trouble);
    t.trouble->hold_all();
    boost::system::error_code error;
    std::jthread thread([&] { error = error_of([&] { put_one(t.b, a_job(1)); }); });
    CHECK(t.trouble->wait_for_held(call::commit));
    t.trouble->gone();
    t.trouble->release_all();
    thread.join();
    CHECK(error == errc::store_unavailable);
    t.trouble->gone(false);
    CHECK_FALSE(exists(t.b, 1));
}

TEST_CASE("a failing backend can lose a commit's answer, or the commit") {
    troubled t;
    t.trouble->lose_answer();
    t.trouble->lose_answer(2, false);
    CHECK(put_one(t.b, a_job(1)).what == outcome::unknown);
    CHECK(put_one(t.b, a_job(2)).what == outcome::unknown);
    CHECK(exists(t.b, 1));
    CHECK_FALSE(exists(t.b, 2));
    const auto held = claim_one(t.b).held;
    t.trouble->lose_answer();
    CHECK(settle(t.b, held, verdict::done) == settled::unknown);
    CHECK(settle(t.b, held, verdict::done) == settled::lost_lease);
}

TEST_CASE("interrupt passes through a failing backend, and is counted") {
    troubled t;
    t.trouble->gone();
    t.b.interrupt();
    t.trouble->gone(false);
    const std::size_t credits[] = {1};
    const auto begin = std::chrono::steady_clock::now();
    CHECK(t.b.claim(credits, patience).empty());
    CHECK(std::chrono::steady_clock::now() - begin < patience);
    CHECK(t.trouble->interrupts() == 1);
}
