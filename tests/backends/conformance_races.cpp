// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
// People change jobs while others claim and finish them.
#include "conformance.hpp"

#include <algorithm>
#include <atomic>
#include <thread>

using namespace postlude;
using namespace test;
using credits = std::vector<std::size_t>;
using std::chrono::milliseconds;

namespace {

constexpr job_id count = 400;

/// Claims and finishes until it is destroyed.
class finisher {
public:
    explicit finisher(backend& b)
        : thread_([this, &b](const std::stop_token& stop) {
              while (!stop.stop_requested()) {
                  std::vector<settlement> ends;
                  for (const auto& one : b.claim(credits{3, 0}, milliseconds(0))) {
                      ends.push_back(is_done(one.held));
                  }
                  for (const auto what : b.commit({}, ends).settlements) {
                      (what == settled::accepted ? accepted : refused) += 1;
                  }
              }
          }) {}

    std::atomic<std::size_t> accepted{0}, refused{0};

private:
    std::jthread thread_;
};

std::size_t number_in(backend& b, job_state state) {
    job_query query;
    query.state = state;
    query.limit = 10'000;
    return b.find(query).size();
}

}  // namespace

TEST_CASE_METHOD(every_backend, "a job is cancelled or done, and never both nor neither") {
    const auto people = open();
    if (!can_be_asked(*people)) {
        return;
    }
    const auto what = GENERATE(amendment::cancel, amendment::erase);
    for (job_id id = 1; id <= count; ++id) {
        put_one(*people, a_job(id));
    }
    const auto worker = open();
    std::size_t changed = 0;
    std::size_t done = 0;
    {
        finisher others(*worker);
        // Those that are far from being claimed, and those that are being claimed right now.
        for (job_id i = 0; i < count / 2; ++i) {
            const auto far = people->amend(std::vector<job_id>{count - i, i + 1}, what);
            changed += static_cast<std::size_t>(std::ranges::count(far, amended::changed));
        }
        REQUIRE(eventually([&] {
            return number_in(*people, job_state::ready) == 0 &&
                   number_in(*people, job_state::claimed) == 0 &&
                   number_in(*people, job_state::done) <= others.accepted;
        }));
        done = others.accepted;
    }
    if (what == amendment::cancel) {
        CHECK(done + changed == count);
        CHECK(number_in(*people, job_state::cancelled) == changed);
        CHECK(number_in(*people, job_state::done) == done);
    } else {
        CHECK(changed == count);  // each, in whatever state it was
        CHECK(number_in(*people, job_state::done) == 0);
    }
}

TEST_CASE_METHOD(every_backend, "a job that is retried while others claim it is in one state") {
    const auto people = open();
    if (!can_be_asked(*people)) {
        return;
    }
    for (job_id id = 1; id <= count; ++id) {
        put_one(*people, a_job(id));
    }
    const auto worker = open();
    std::size_t changed = 0;
    const finisher others(*worker);
    for (job_id i = 0; i < count; ++i) {
        changed += amend(*people, 1 + i % 20, amendment::retry) == amended::changed ? 1 : 0;
    }
    REQUIRE(eventually([&] { return number_in(*people, job_state::done) == count; }));
    CHECK(changed > 0);
    CHECK(others.refused == 0);
    CHECK(others.accepted <= count + changed);
    CHECK(number_in(*people, job_state::ready) == 0);
    CHECK(number_in(*people, job_state::claimed) == 0);
}
