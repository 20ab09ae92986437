// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/sqlite_support.hpp"

#include "backends/sqlite/claimer.hpp"
#include "backends/sqlite/job_table.hpp"

#include <algorithm>
#include <filesystem>
#include <thread>

using namespace test;
using postlude::amended;
using postlude::amendment;
using postlude::job_state;
using postlude::settled;
using postlude::settlement;
using postlude::verdict;
namespace inner = postlude::detail::sqlite;

namespace {

std::vector<settlement> all_done(const std::vector<postlude::claimed_job>& jobs) {
    std::vector<settlement> settlements(jobs.size());
    for (std::size_t i = 0; i < jobs.size(); ++i) {
        settlements[i].of = jobs[i].held;
    }
    return settlements;
}

void finish_all(open_store& store) {
    for (;;) {
        const auto some = store.take(500);
        if (some.empty()) {
            return;
        }
        store->commit({}, all_done(some));
    }
}

/// What SQLite's virtual machine does, in calls of 1 step each.
std::size_t steps_of_a_claim(const std::string& file) {
    inner::connection db(file, 1s);
    inner::lane_table lanes(db);
    inner::claimer claims(db, lanes, open_store::mail_options());
    std::size_t steps = 0;
    inner::transaction t(db, false);
    const std::vector<std::size_t> credits{10};
    const inner::claimer::allowance may{credits};
    claims.next(may);  // what is prepared once
    const auto count = [](void* n) {
        ++*static_cast<std::size_t*>(n);
        return 0;
    };
    sqlite3_progress_handler(db.handle(), 1, count, &steps);
    REQUIRE(claims.next(may));
    REQUIRE(claims.take(may, inner::now(), 999, 1).size() == 10);
    return steps;
}

}  // namespace

TEST_CASE("one question in SQL tells where a request's job failed, or that there was none") {
    temporary_directory directory;
    const auto file = directory.file("jobs.db");
    open_store store(file);
    auto p = store.job();
    p.job.request_id = "req-17";
    p.job.tags = {"customer:7", R"(a "quoted" one)"};
    const auto id = store.add(p);
    store.settle(store.take()[0].held, verdict::retry, "550 no such mailbox");
    store.settle(store.take()[0].held, verdict::give_back);
    store.settle(store.take()[0].held, verdict::dead, "550 still none");
    const auto owner = std::to_string(store.info.owner);
    const std::string way =
        "mail|enqueued|0||\n"
        "mail|claimed|1|" +
        owner +
        "|\n"
        "mail|failed|1|" +
        owner +
        "|550 no such mailbox\n"
        "mail|claimed|2|" +
        owner +
        "|\n"
        "mail|given back|2|" +
        owner +
        "|\n"
        "mail|claimed|3|" +
        owner +
        "|\n"
        "mail|failed|3|" +
        owner +
        "|550 still none\n"
        "mail|dead|3|" +
        owner + "|\n";
    CHECK(sql(file,
              "SELECT kind, what, attempt, owner, reason FROM job_history"
              " WHERE request_id = 'req-17' ORDER BY job, step") == way);
    CHECK(sql(file,
              "SELECT kind, what, attempt, owner, reason FROM job_tags JOIN job_history"
              " USING (job) WHERE tag = 'customer:7' ORDER BY job, step") == way);
    CHECK(sql(file, "SELECT * FROM job_history WHERE request_id = 'req-18'").empty());
    CHECK(sql(file,
              "SELECT state, failures, reason, tags FROM job_list WHERE request_id = 'req-17'") ==
          "dead|2|550 still none|[\"customer:7\",\"a \\\"quoted\\\" one\"]\n");
    CHECK(sql(file,
              "SELECT at GLOB '20[0-9][0-9]-[01][0-9]-*T*.[0-9][0-9][0-9]Z' FROM job_history"
              " WHERE request_id = 'req-17' LIMIT 1") == "1\n");
    // The same by the interface.
    const auto events = store->history(id);
    REQUIRE(events.size() == 8);
    CHECK(events[2].reason == "550 no such mailbox");
    CHECK(events[7].what == "dead");
    CHECK(std::ranges::is_sorted(events, {}, &postlude::job_event::at));
    CHECK(store.view(id).job.tags == p.job.tags);
}

TEST_CASE("a job that is done leaves its way, without a row of history") {
    temporary_directory directory;
    const auto file = directory.file("jobs.db");
    open_store store(file);
    const auto id = store.add(store.job());
    CHECK(store.steps(id) == std::vector<std::string>{"enqueued"});
    const auto held = store.take()[0].held;
    CHECK(store.steps(id) == std::vector<std::string>{"enqueued", "claimed"});
    CHECK(store.settle(held, verdict::done) == settled::accepted);
    CHECK(store.steps(id) == std::vector<std::string>{"enqueued", "claimed", "done"});
    CHECK(sql(file, "SELECT count(*) FROM runs") == "0\n");
    CHECK(store->amend(std::vector{id}, amendment::retry)[0] == amended::changed);
    CHECK(store.settle(store.take()[0].held, verdict::done) == settled::accepted);
    CHECK(store.steps(id) == std::vector<std::string>{"enqueued", "claimed", "done",
                                                      "retried by hand", "claimed", "done"});
    CHECK(store->history(id).back().attempt == 2);
}

TEST_CASE("a hundred thousand jobs of an unknown kind cost a claim nothing") {
    temporary_directory directory;
    const auto file = directory.file("jobs.db");
    open_store store(file);
    store->commit(store.jobs(50), {});
    const auto alone = steps_of_a_claim(file);
    for (int i = 0; i < 10; ++i) {
        store->commit(store.jobs(10'000, "unknown"), {});
    }
    store->commit(store.jobs(10'000), {});
    const auto crowded = steps_of_a_claim(file);
    CHECK(alone < 1500);
    CHECK(crowded <= alone + alone / 20);
}

TEST_CASE("a kind whose queue has changed is claimed from its old queue, too, in order of time") {
    temporary_directory directory;
    open_store store(directory.file("jobs.db"));
    std::vector<postlude::job_id> order;
    for (const auto* queue : {"old", "new", "old", "new", "new"}) {
        auto p = store.job();
        p.job.queue = queue;
        order.push_back(store.add(p));
    }
    auto urgent = store.job();
    urgent.job.priority = 0;
    order.insert(order.begin(), store.add(urgent));
    std::vector<postlude::job_id> got;
    for (const auto n : {4, 4}) {
        for (const auto& c : store.take(static_cast<std::size_t>(n))) {
            got.push_back(c.job.id);
        }
    }
    CHECK(got == order);
}

TEST_CASE("an id that exists is refused, and the others of its commit are stored") {
    temporary_directory directory;
    open_store store(directory.file("jobs.db"));
    auto puts = store.jobs(3);
    puts[1].job.id = puts[0].job.id;
    puts.push_back(store.job());
    puts[3].job.id = 0;
    const auto result = store->commit(puts, {});
    using postlude::put_result;
    CHECK(result.puts[0].what == put_result::outcome::stored);
    CHECK(result.puts[1].what == put_result::outcome::refused);
    CHECK(result.puts[2].what == put_result::outcome::stored);
    CHECK(result.puts[3].what == put_result::outcome::refused);
    CHECK(store.take(10).size() == 2);
}

TEST_CASE("of a settlement that lost its lease no follow-up is stored, and the others proceed") {
    temporary_directory directory;
    const auto file = directory.file("jobs.db");
    open_store store(file);
    store->commit(store.jobs(2), {});
    const auto held = store.take(2);
    auto settlements = all_done(held);
    settlements[0].follow_ups = store.jobs(1);
    settlements[1].follow_ups = store.jobs(2);
    CHECK(store->amend(std::vector{held[0].job.id}, amendment::cancel)[0] == amended::changed);
    const auto result = store->commit({}, settlements);
    CHECK(result.settlements == std::vector{settled::lost_lease, settled::accepted});
    CHECK(store.take(10).size() == 2);
}

TEST_CASE("renewal tells of a job that another process has cancelled") {
    temporary_directory directory;
    const auto file = directory.file("jobs.db");
    open_store a(file);
    open_store b(file);
    a->commit(a.jobs(2), {});
    const auto held = a.take(2);
    b->amend(std::vector{held[1].job.id}, amendment::cancel);
    const std::vector receipts{held[0].held, held[1].held};
    CHECK(a->renew(receipts) == std::vector{held[1].held});
    CHECK(a->renew(std::vector{held[0].held}).empty());
}

TEST_CASE("a claim that waits wakes for a commit, a delay's end and an interruption") {
    temporary_directory directory;
    open_store store(directory.file("jobs.db"));
    std::thread other;
    const auto waited = [&](auto f) {
        other = std::thread(f);
        const auto got = store->claim(std::vector<std::size_t>{5}, test::patience);
        other.join();
        return got.size();
    };
    CHECK(waited([&] { store.add(store.job()); }) == 1);
    CHECK(waited([&] { store->interrupt(); }) == 0);
    store->interrupt();  // before: the next one
    CHECK(waited([] {}) == 0);
    auto later = store.job();
    later.delay = 3s;  // long enough for a look before, on any machine
    store.add(later);
    CHECK(store.take().empty());
    CHECK(waited([] {}) == 1);
}

TEST_CASE("of a job that is withdrawn or erased nothing is left") {
    temporary_directory directory;
    const auto file = directory.file("jobs.db");
    open_store store(file);
    std::vector<postlude::job_id> ids;
    for (int i = 0; i < 5; ++i) {
        auto p = store.job();
        p.job.tags = {"x", "y"};
        ids.push_back(store.add(p));
    }
    const auto held = store.take(4);
    store.settle(held[0].held, verdict::withdrawn);
    store.settle(held[1].held, verdict::done);
    store.settle(held[2].held, verdict::dead, "no");
    CHECK(store->amend(ids, amendment::erase) == std::vector{amended::not_found, amended::changed,
                                                             amended::changed, amended::changed,
                                                             amended::changed});
    for (const auto* table : {"jobs", "ready", "claimed", "ended", "runs", "job_tags"}) {
        INFO(table);
        CHECK(sql(file, std::string("SELECT count(*) FROM ") + table) == "0\n");
    }
    CHECK(store->history(ids[0]).empty());
    CHECK(store.settle(held[3].held, verdict::done) == settled::lost_lease);
}

TEST_CASE("a job that is stored as claimed is done without having been ready") {
    temporary_directory directory;
    const auto file = directory.file("jobs.db");
    open_store store(file);
    auto puts = store.jobs(2);
    puts[0].claimed = true;
    const auto result = store->commit(puts, {});
    CHECK(store.view(puts[0].job.id).state == job_state::claimed);
    CHECK(store.take(10).size() == 1);
    CHECK(store.settle(result.puts[0].held, verdict::done) == settled::accepted);
    CHECK(store.steps(puts[0].job.id) == std::vector<std::string>{"enqueued", "claimed", "done"});
}

TEST_CASE("ended jobs over either limit are pruned, oldest first, with all that belongs to them") {
    temporary_directory directory;
    const auto file = directory.file("jobs.db");
    open_store store(file);
    auto tagged = store.job();
    tagged.job.tags = {"x"};
    store.add(tagged);
    store.settle(store.take()[0].held, verdict::retry);
    store->commit(store.jobs(3000), {});
    finish_all(store);
    auto dead = store.job();
    const auto dead_id = store.add(dead);
    store.settle(store.take()[0].held, verdict::dead);
    postlude::retention keep;
    CHECK(store->prune(keep) == 0);
    keep.done_count = 100;
    std::size_t pruned = 0;
    while (const auto n = store->prune(keep)) {
        pruned += n;
    }
    CHECK(pruned == 2901);
    CHECK(sql(file, "SELECT count(*) FROM jobs") == "101\n");
    CHECK(sql(file, "SELECT count(*) FROM job_tags") == "0\n");
    CHECK(sql(file, "SELECT count(*) FROM runs") == "1\n");
    CHECK(store.view(dead_id).state == job_state::dead);
    keep.done_age = 0s;
    keep.dead_age = 0s;
    CHECK(store->prune(keep) == 101);
    CHECK(sql(file, "SELECT count(*) FROM jobs") == "0\n");
}

TEST_CASE("the log is bounded while commits go on") {
    temporary_directory directory;
    const auto file = directory.file("jobs.db");
    postlude::sqlite_options options;
    options.longest_wal = 1024 * 1024;
    options.synced = false;
    open_store store(file, open_store::mail_options(), options);
    std::uintmax_t longest = 0;
    for (int i = 0; i < 400; ++i) {
        store->commit(store.jobs(200), {});  // some 30 KB, 12 MB in all
        longest = std::max(longest, std::filesystem::file_size(file + "-wal"));
    }
    CHECK(longest > 200 * 1024);
    CHECK(longest < 1400 * 1024);
}

TEST_CASE(
    "a reader that stays makes commits wait a moment now and then, not each of them for ever") {
    temporary_directory directory;
    const auto file = directory.file("jobs.db");
    postlude::sqlite_options options;
    options.longest_wal = 256 * 1024;
    options.synced = false;
    open_store store(file, open_store::mail_options(), options);
    store.add(store.job());
    sqlite3* reader = nullptr;
    REQUIRE(sqlite3_open(file.c_str(), &reader) == SQLITE_OK);
    REQUIRE(sqlite3_exec(reader, "BEGIN; SELECT * FROM jobs", nullptr, nullptr, nullptr) ==
            SQLITE_OK);
    for (int i = 0; i < 100; ++i) {
        store->commit(store.jobs(200), {});
    }
    const auto long_one = std::filesystem::file_size(file + "-wal");
    CHECK(long_one > 1024 * 1024);
    sqlite3_close(reader);
    REQUIRE(eventually([&] {
        store->commit(store.jobs(200), {});
        return std::filesystem::file_size(file + "-wal") < long_one;
    }));
}

TEST_CASE("a drained file is used again and shrinks") {
    temporary_directory directory;
    const auto file = directory.file("jobs.db");
    postlude::sqlite_options options;
    options.synced = false;
    open_store store(file, open_store::mail_options(), options);
    const auto pages = [&] { return std::stol(sql(file, "PRAGMA page_count")); };
    const postlude::retention nothing{0s, 0, 0s};
    const auto load = [&] {
        auto puts = store.jobs(10'000);
        for (auto& p : puts) {
            p.job.arguments = R"({"text":")" + std::string(1000, 'x') + "\"}";
        }
        store->commit(puts, {});
        finish_all(store);
    };
    load();
    const auto full = pages();
    CHECK(full > 2500);
    // Until nothing is left to remove, and then until no page is worth giving back.
    while (store->prune(nothing) > 0) {
    }
    for (auto before = full; pages() < before;) {
        before = pages();
        store->prune(nothing);
    }
    CHECK(pages() < full / 2);
    load();
    CHECK(pages() <= full + full / 10);
    CHECK(sql(file, "PRAGMA integrity_check") == "ok\n");
}

TEST_CASE("what stands in queues is counted by queue and kind") {
    temporary_directory directory;
    open_store store(directory.file("jobs.db"));
    auto puts = store.jobs(4);
    puts[3].delay = 1h;
    store->commit(puts, {});
    store.settle(store.take()[0].held, verdict::dead);
    REQUIRE(store.take().size() == 1);
    store.add(store.job("other"));
    const auto stats = store->stats();
    REQUIRE(stats.size() == 2);
    CHECK(stats[0].kind == "mail");
    CHECK(stats[0].queue == "out");
    CHECK(stats[0].ready == 1);
    CHECK(stats[0].scheduled == 1);
    CHECK(stats[0].claimed == 1);
    CHECK(stats[0].dead == 1);
    CHECK(stats[0].oldest_ready.has_value());
    CHECK(stats[1].ready == 1);
}
