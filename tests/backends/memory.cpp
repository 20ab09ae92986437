// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/backends/memory.hpp"

#include "conformance.hpp"
#include "postlude/core/error.hpp"

#include <boost/system/system_error.hpp>

#include <atomic>
#include <thread>

using namespace postlude;
using namespace test;
using std::chrono::milliseconds;

namespace {

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

TEST_CASE("a killed owner's calls fail, and its end gives nothing back") {
    memory_store store;
    const open_options options{.kinds = {{"a", 0}}};
    auto doomed = store.connect();
    const auto owner = doomed->open(options).owner;
    const auto b = store.connect();
    b->open(options);
    put_jobs(*b, {1});
    const std::size_t credits[] = {1};
    CHECK(doomed->claim(credits, {}).size() == 1);
    boost::system::error_code error;
    std::jthread waiting([&] { error = error_of([&] { doomed->claim(credits, patience); }); });
    store.kill(owner);
    waiting.join();
    CHECK(error == errc::store_unavailable);
    CHECK(error_of([&] { put_one(*doomed, a_job(2)); }) == errc::store_unavailable);
    doomed.reset();
    CHECK(state_of(*b, 1) == job_state::claimed);
    CHECK(b->rescue(10).size() == 1);
}

TEST_CASE("a store in memory goes by the system's clock where it has no other") {
    memory_store store;
    const auto b = store.connect();
    b->open({.kinds = {{"a", 0}}});
    const auto before = std::chrono::system_clock::now();
    put_jobs(*b, {1});
    const auto created = look(*b, 1).created;
    CHECK(created >= before - milliseconds(1));
    CHECK(created <= std::chrono::system_clock::now());
}

TEST_CASE("a store in memory refuses kinds of groups that there are not") {
    memory_store store;
    CHECK(error_of([&] { store.connect()->open({.kinds = {{"a", 1}}, .groups = 1}); }) ==
          errc::bad_option);
}

TEST_CASE("a backend of a store in memory outlives it") {
    std::unique_ptr<backend> b;
    {
        memory_store store;
        b = store.connect();
    }
    b->open({.kinds = {{"a", 0}}});
    put_jobs(*b, {1});
    CHECK(claim_one(*b).job.id == 1);
}

TEST_CASE("in memory each claim has a lease of its own, which its owner too may take back") {
    auto time = std::make_shared<std::atomic<std::int64_t>>(0);
    memory_store store([time] { return store_time(std::chrono::microseconds(*time)); });
    const auto b = store.connect();
    b->open({.kinds = {{"a", 0}}, .lease = milliseconds(1)});
    put_jobs(*b, {1, 2});
    const auto claimed = b->claim(std::vector<std::size_t>{2}, {});
    *time = 1'000;
    CHECK(b->renew(std::span(&claimed.at(0).held, 1)).empty());
    CHECK(ids_of(b->rescue(10)) == ids{2});
    CHECK(b->history(2).back().what == "lease ended");
    CHECK(settle(*b, claimed.at(1).held, verdict::done) == settled::lost_lease);
    CHECK(settle(*b, claimed.at(0).held, verdict::done) == settled::accepted);
}

TEST_CASE("in memory a claim that waits looks again when the next job is due") {
    memory_store store;
    const auto b = store.connect();
    b->open({.kinds = {{"a", 0}}});
    auto later = a_job(1);
    later.delay = milliseconds(20);
    put_one(*b, later);
    const auto begin = std::chrono::steady_clock::now();
    CHECK(b->claim(std::vector<std::size_t>{1}, patience).size() == 1);
    CHECK(std::chrono::steady_clock::now() - begin < patience);
}
