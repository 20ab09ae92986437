// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "conformance.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <mutex>
#include <numeric>
#include <thread>

using namespace postlude;
using namespace test;
using std::chrono::milliseconds;

namespace {

using credits = std::vector<std::size_t>;

put urgent(job_id id, std::uint8_t priority, std::string kind = "a") {
    auto one = a_job(id, std::move(kind));
    one.job.priority = priority;
    return one;
}

void put_all(backend& b, const std::vector<put>& puts) {
    for (const auto& result : b.commit(puts, {}).puts) {
        REQUIRE(result.what == put_result::outcome::stored);
    }
}

/// What waits for a job for as long as the test has patience, and whether it waited to the end.
struct waiting_claim {
    std::vector<claimed_job> jobs;
    bool in_time = false;

    void run(backend& b) {
        const auto begin = std::chrono::steady_clock::now();
        jobs = b.claim(credits{10, 0}, patience);
        in_time = std::chrono::steady_clock::now() - begin < patience;
    }
};

}  // namespace

TEST_CASE_METHOD(every_backend, "kinds that nobody here knows are not claimed, nor in the way") {
    const auto b = open();
    std::vector<put> puts;
    for (job_id id = 1; id <= 300; ++id) {
        puts.push_back(urgent(id, 0, "unknown"));
    }
    puts.push_back(a_job(301));
    puts.push_back(a_job(302, "b"));
    put_all(*b, puts);
    CHECK(are(ids_of(claim(*b, 2)), {301, 302}));
    CHECK(claim(*b).empty());

    const auto newer = open({.kinds = {{"unknown", 0}}, .groups = 1, .lease = store->lease()});
    CHECK(newer->claim(credits{1'000}, {}).size() == 300);
}

TEST_CASE_METHOD(every_backend, "a job is claimed under its kind's former name") {
    const auto b =
        open({.kinds = {{"mail", 0}, {"letter", 0}}, .groups = 1, .lease = store->lease()});
    put_one(*b, a_job(1, "letter"));
    put_one(*b, a_job(2, "mail"));
    const auto claimed = b->claim(credits{10}, {});
    REQUIRE(are(ids_of(claimed), {1, 2}));
    for (const auto& one : claimed) {
        CHECK(one.job.kind == (one.job.id == 1 ? "letter" : "mail"));
    }
}

TEST_CASE_METHOD(every_backend, "a job is claimed by its kind, whatever queue it was stored for") {
    const auto b = open();
    auto moved = a_job(1);
    moved.job.queue = "a queue of last year's";
    put_one(*b, moved);
    CHECK(claim_one(*b).job.queue == moved.job.queue);
}

TEST_CASE_METHOD(every_backend, "what came first is claimed first, across the kinds of a group") {
    const auto b = open();
    put_all(*b, {a_job(9), a_job(3, "b"), a_job(7)});
    store->pass(std::max(store->grain(), milliseconds(1)));
    put_all(*b, {a_job(1, "b"), a_job(2)});
    if (!store->can().exact_order) {
        // Then that is so within a kind.
        std::map<std::string, ids> of_kind;
        for (const std::size_t n : {1, 3, 1}) {
            for (const auto& one : claim(*b, n)) {
                of_kind[one.job.kind].push_back(one.job.id);
            }
        }
        CHECK(of_kind == std::map<std::string, ids>{{"a", {9, 7, 2}}, {"b", {3, 1}}});
        return;
    }
    CHECK(ids_of(claim(*b, 1)) == ids{3});
    CHECK(ids_of(claim(*b, 3)) == ids{7, 9, 1});
    CHECK(ids_of(claim(*b)) == ids{2});
}

TEST_CASE_METHOD(every_backend, "a lower priority number goes first, then the older job") {
    const auto b = open();
    put_all(*b, {urgent(1, 3), urgent(2, 1, "b"), urgent(3, 0), urgent(4, 1), urgent(5, 2),
                 urgent(6, 0, "b")});
    CHECK(store->can().priorities);
    CHECK(are(ids_of(claim(*b, 2)), {3, 6}));
    CHECK(are(ids_of(claim(*b, 2)), {2, 4}));
    CHECK(ids_of(claim(*b)) == ids{5, 1});
}

TEST_CASE_METHOD(every_backend, "a job that waits for its time holds up none that is ready") {
    const auto b = open();
    auto later = urgent(1, 0);
    later.delay = std::chrono::hours(1);
    put_all(*b, {later, urgent(2, 3)});
    CHECK(ids_of(claim(*b, 1)) == ids{2});
}

TEST_CASE_METHOD(every_backend, "delayed jobs come in the order of their times") {
    const auto b = open();
    const auto unit = store->lease() / 10;
    auto third = a_job(1);
    auto first = a_job(2);
    auto second = a_job(3);
    third.delay = 3 * unit;
    first.delay = unit;
    second.delay = 2 * unit;
    put_all(*b, {third, first, second});
    store->pass(3 * unit + store->grain());
    if (store->can().exact_order) {
        CHECK(ids_of(claim(*b)) == ids{2, 3, 1});
        return;
    }
    ids all;
    CHECK(eventually([&] {
        std::ranges::copy(ids_of(claim(*b)), std::back_inserter(all));
        return all.size() == 3;
    }));
    CHECK(are(all, {2, 3, 1}));
}

TEST_CASE_METHOD(every_backend, "a claim stays within the credits of each group") {
    const auto b = open();
    std::vector<put> puts;
    for (job_id id = 1; id <= 20; ++id) {
        puts.push_back(a_job(id, id % 2 != 0 ? "a" : "b"));
        puts.push_back(a_job(100 + id, "c"));
    }
    put_all(*b, puts);
    const auto take = [&](std::size_t first, std::size_t second) {
        const auto claimed = b->claim(credits{first, second}, {});
        const auto of_second =
            std::ranges::count_if(claimed, [](const auto& one) { return one.job.kind == "c"; });
        CHECK(static_cast<std::size_t>(of_second) == second);
        CHECK(claimed.size() == first + second);
    };
    take(3, 1);
    take(0, 4);
    take(5, 0);
    take(0, 0);
    take(12, 15);
    CHECK(b->claim(credits{10, 10}, {}).empty());
}

TEST_CASE_METHOD(every_backend, "a claim that waits is woken by what another process stores") {
    const auto b = open();
    const auto other = open();
    waiting_claim waiting;
    std::jthread thread([&] { waiting.run(*b); });
    put_jobs(*other, {1});
    thread.join();
    CHECK(waiting.in_time);
    CHECK(ids_of(waiting.jobs) == ids{1});
}

TEST_CASE_METHOD(every_backend, "a claim that waits is woken when a scheduled job is due") {
    const auto b = open();
    auto later = a_job(1);
    later.delay = store->lease() / 4;
    put_one(*b, later);
    waiting_claim waiting;
    std::jthread thread([&] { waiting.run(*b); });
    store->pass(later.delay);
    thread.join();
    CHECK(waiting.in_time);
    CHECK(ids_of(waiting.jobs) == ids{1});
}

TEST_CASE_METHOD(every_backend, "a claim that waits is woken by what is given back") {
    const auto b = open();
    const auto other = open();
    put_jobs(*other, {1});
    const auto held = claim_one(*other).held;
    waiting_claim waiting;
    std::jthread thread([&] { waiting.run(*b); });
    settle(*other, held, verdict::give_back);
    thread.join();
    CHECK(waiting.in_time);
    CHECK(ids_of(waiting.jobs) == ids{1});
}

TEST_CASE_METHOD(every_backend, "interrupt ends the claim that waits, or the next, and only one") {
    const auto b = open();
    waiting_claim waiting;
    std::jthread thread([&] { waiting.run(*b); });
    b->interrupt();
    thread.join();
    CHECK(waiting.in_time);
    CHECK(waiting.jobs.empty());

    b->interrupt();
    waiting.run(*b);
    CHECK(waiting.in_time);

    const auto begin = std::chrono::steady_clock::now();
    CHECK(b->claim(credits{1, 1}, milliseconds(30)).empty());
    CHECK(std::chrono::steady_clock::now() - begin >= milliseconds(30));
}

TEST_CASE_METHOD(every_backend, "text in any language and a megabyte of it are kept") {
    const auto b = open();
    auto one = a_job(1);
    one.job.arguments = "{\"text\":\"Grüße, こんにちは, \\u0000, 'quoted' \\\" %s 🙂\"}";
    one.job.tags = {"Straße:ß", "a,b", "{}", "\"'\\"};
    one.job.request_id = "ü";
    one.job.queue = "Größe";
    auto big = a_job(2);
    big.job.arguments = "{\"text\":\"";
    big.job.arguments.append(1 << 20, 'x').append("\"}");
    put_all(*b, {one, big});
    const auto claimed = claim(*b);
    REQUIRE(claimed.size() == 2);
    CHECK(claimed[0].job.arguments == one.job.arguments);
    CHECK(claimed[0].job.tags == one.job.tags);
    CHECK(claimed[0].job.request_id == one.job.request_id);
    CHECK(claimed[0].job.queue == one.job.queue);
    CHECK((claimed[1].job.arguments == big.job.arguments));
    const std::string reason = "Fehler: größer als 1 \"MB\" – 'zu groß'";
    settle(*b, claimed[0].held, verdict::dead, reason);
    check_view(*b, 1, [&](const job_view& view) { CHECK(view.reason == reason); });
}

TEST_CASE_METHOD(every_backend, "10,000 jobs drain in their order") {
    constexpr job_id count = 10'000;
    const auto b = open();
    ids all(count);
    std::iota(all.begin(), all.end(), job_id{1});
    for (auto begin = all.begin(); begin != all.end(); begin += 1'000) {
        put_jobs(*b, ids(begin, begin + 1'000));
    }
    ids drained;
    while (drained.size() < count) {
        const auto claimed = claim(*b, 256);
        REQUIRE_FALSE(claimed.empty());
        std::vector<settlement> settlements;
        for (const auto& one : claimed) {
            drained.push_back(one.job.id);
            settlements.push_back(is_done(one.held));
        }
        const auto result = b->commit({}, settlements);
        CHECK(std::ranges::count(result.settlements, settled::accepted) ==
              std::ranges::ssize(claimed));
    }
    CHECK((drained == all));
    CHECK(claim(*b).empty());
}

TEST_CASE_METHOD(every_backend, "of 2,000 jobs and 4 processes none is lost, none goes to two") {
    constexpr job_id count = 2'000;
    std::vector<std::unique_ptr<backend>> owners;
    for (int i = 0; i < 4; ++i) {
        owners.push_back(open());
    }
    std::mutex mutex;
    ids done;
    int refused = 0;
    const auto have_all = [&] {
        const std::lock_guard lock(mutex);
        return done.size() >= count;
    };
    const auto deadline = std::chrono::steady_clock::now() + patience;
    const auto work = [&](backend& b) {
        while (!have_all() && std::chrono::steady_clock::now() < deadline) {
            const auto claimed = b.claim(credits{7, 0}, milliseconds(5));
            std::vector<settlement> settlements;
            for (const auto& one : claimed) {
                settlements.push_back(is_done(one.held));
            }
            const auto result = b.commit({}, settlements);
            const std::lock_guard lock(mutex);
            refused +=
                static_cast<int>(std::ranges::count(result.settlements, settled::lost_lease));
            std::ranges::copy(ids_of(claimed), std::back_inserter(done));
        }
    };
    {
        std::vector<std::jthread> threads;
        for (const auto& b : owners) {
            threads.emplace_back([&] { work(*b); });
        }
        const auto producer = open();
        for (job_id begin = 1; begin <= count; begin += 50) {
            ids some(50);
            std::iota(some.begin(), some.end(), begin);
            put_jobs(*producer, some);
        }
    }
    std::ranges::sort(done);
    ids all(count);
    std::iota(all.begin(), all.end(), job_id{1});
    CHECK(refused == 0);
    CHECK((done == all));
}
