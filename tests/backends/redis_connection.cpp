// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "redis_support.hpp"

#include "backends/redis/records.hpp"
#include "backends/redis/scripts.hpp"
#include "support/tcp_proxy.hpp"

#include <future>
#include <latch>
#include <thread>

using namespace postlude;
using namespace test;
using Catch::Matchers::Contains;
using outcome = put_result::outcome;

namespace {

/// Does what may fail while the store is away, until it does not.
template <class F>
auto at_last(F f) {
    decltype(f()) result{};
    REQUIRE(eventually([&] {
        try {
            result = f();
            return true;
        } catch (const boost::system::system_error& e) {
            if (e.code() != errc::store_unavailable) {
                throw;
            }
            return false;
        }
    }));
    return result;
}

/// Stores and claims a job, and asks for it: each on a connection of its own.
void use_all_connections(redis_store& store) {
    at_last([&] { return store.commit(store.job()); });
    const auto taken =
        at_last([&] { return store->claim(std::vector<std::size_t>{100}, patience); });
    REQUIRE_FALSE(taken.empty());
    CHECK(at_last([&] { return store->find({.ids = {taken[0].job.id}}); }).size() == 1);
    for (const auto& one : taken) {
        CHECK(store.settle(one.held, verdict::done) == settled::accepted);
    }
}

/// A server that can be made to answer nothing, while the system still takes what is sent to it.
class stopped_server {
public:
    stopped_server() : server_("redis") {
        const auto info = redis_admin(server_.url())({"INFO", "server"});
        const auto at = info.find("process_id:");
        REQUIRE(at != info.npos);
        pid_ = std::stoi(info.substr(at + 11));
    }
    stopped_server(const stopped_server&) = delete;
    stopped_server& operator=(const stopped_server&) = delete;
    ~stopped_server() { thaw(); }
    void freeze() const { ::kill(pid_, SIGSTOP); }
    void thaw() const { ::kill(pid_, SIGCONT); }
    const std::string& url() const { return server_.url(); }

private:
    store_server server_;
    pid_t pid_ = 0;
};

/// Makes the shared server answer BUSY, as long as this lives.
class busy_server {
public:
    busy_server() {
        REQUIRE(eventually([this] { return admin_({"PING"}).starts_with("BUSY"); }));
    }
    busy_server(const busy_server&) = delete;
    busy_server& operator=(const busy_server&) = delete;
    ~busy_server() {
        admin_({"SCRIPT", "KILL"});
        endless_.join();
    }

private:
    redis_setting soon_{"busy-reply-threshold", "1"};
    redis_admin admin_;
    redis_admin other_;
    std::jthread endless_{[this] { other_({"EVAL", "while true do end", "0"}); }};
};

/// Kills the connections of all clients but its own.
void cut_all() { redis_admin()({"CLIENT", "KILL", "TYPE", "normal"}); }

}  // namespace

TEST_CASE("redis: while the server is away calls fail, and after its restart the store works") {
    store_server server("redis");
    redis_store store(server.url());
    const auto id = store.add(store.job());
    server.stop();
    const auto p = store.job();
    for (int i = 0; i < 2; ++i) {
        const auto [code, text] = what_fails([&] {
            if (store.commit(p).puts.at(0).what == outcome::unknown) {
                store.commit(p);
            }
        });
        CHECK(code == errc::store_unavailable);
        CHECK_THAT(text, Contains("the job store redis://") && !Contains("only-tests"));
        CHECK(what_fails([&] { store.take(); }).first == errc::store_unavailable);
        CHECK(what_fails([&] { store->stats(); }).first == errc::store_unavailable);
    }
    server.start();
    CHECK(at_last([&] { return store.view(id); }).state == job_state::ready);
    use_all_connections(store);
    CHECK(store.view(id).state == job_state::done);
}

TEST_CASE("redis: after a restart of the server a claim that waited finds what comes") {
    store_server server("redis");
    redis_store store(server.url());
    redis_store other(server.url());
    std::vector<claimed_job> taken;
    std::jthread thread([&] {
        eventually([&] {
            try {
                taken = store->claim(std::vector<std::size_t>{1}, patience);
            } catch (const boost::system::system_error&) {
                return false;
            }
            return true;
        });
    });
    server.stop();
    server.start();
    at_last([&] { return other.add(other.job()); });
    thread.join();
    CHECK(taken.size() == 1);
}

TEST_CASE("redis: connections that the server has cut are made again by the next call") {
    redis_store store(new_redis_url());
    use_all_connections(store);
    cut_all();
    // None of them was in use, so that nothing is in doubt.
    store.add(store.job());
    CHECK(store.take().size() == 1);
    CHECK(store->stats().size() == 1);
    redis_admin()({"CLIENT", "KILL", "TYPE", "pubsub"});
    use_all_connections(store);
}

TEST_CASE("redis: a server that was too busy to let a claim listen is asked again") {
    const auto prefix = new_prefix();
    const auto url = shared_redis().url() + "?prefix=" + prefix;
    redis_store store(url);
    redis_store other(url);
    redis_admin admin;
    const auto listeners = [&] { return admin({"PUBSUB", "NUMSUB", "{" + prefix + "}:wake"}); };
    store.take();
    admin({"CLIENT", "KILL", "TYPE", "pubsub"});
    {
        const busy_server busy;
        const auto [code, text] =
            what_fails([&] { store->claim(std::vector<std::size_t>{1}, patience); });
        CHECK(code == errc::store_unavailable);
    }
    auto taken = std::async(std::launch::async, [&] {
        return store->claim(std::vector<std::size_t>{1}, 2 * patience);
    });
    CHECK(eventually([&] { return listeners() == "{" + prefix + "}:wake 1"; }));
    other.add(other.job());
    CHECK(taken.get().size() == 1);
}

TEST_CASE("redis: a claim that waits looks by itself, and finds jobs that nobody told it of") {
    const redis_user user("mute", {"~*", "resetchannels", "+@all"});
    const auto prefix = new_prefix();
    redis_store store(shared_redis().url() + "?prefix=" + prefix);
    redis_store mute("redis://mute:user-secret@127.0.0.1:" + shared_redis().port() +
                     "?prefix=" + prefix);
    mute.add(mute.job());
    CHECK(store.take().size() == 1);
    const auto before = scripts_run();
    auto taken = std::async(std::launch::async,
                            [&] { return store->claim(std::vector<std::size_t>{1}, patience); });
    // From now on it waits.
    CHECK(eventually([&] { return scripts_run() > before; }));
    const auto id = mute.add(mute.job());
    const auto found = taken.get();
    REQUIRE(found.size() == 1);
    CHECK(found[0].job.id == id);
}

TEST_CASE("redis: a server that forgets its scripts is told them again") {
    redis_store store(new_redis_url());
    use_all_connections(store);
    redis_admin()({"SCRIPT", "FLUSH"});
    use_all_connections(store);
}

TEST_CASE("redis: a commit that is not answered in time is unknown, and can be withdrawn") {
    stopped_server server;
    redis_store store(server.url() + "?timeout=1500");
    use_all_connections(store);
    auto late = store.job();
    late.claimed = true;
    server.freeze();
    const auto result = store.commit(late);
    REQUIRE(result.puts.size() == 1);
    CHECK(result.puts[0].what == outcome::unknown);
    CHECK(result.puts[0].held.a == late.job.id);
    CHECK(what_fails([&] { store.add(store.job()); }).first == errc::store_unavailable);
    server.thaw();
    // As the dispatcher does, whose request was answered with an error.
    at_last([&] { return store->amend(std::span(&late.job.id, 1), amendment::erase); });
    CHECK(store->find({.ids = {late.job.id}}).empty());
    use_all_connections(store);
    CHECK(store->find({.ids = {late.job.id}}).empty());
}

TEST_CASE("redis: what was in doubt is refused when it comes late") {
    stopped_server server;
    redis_store store(server.url() + "?timeout=1500");
    redis_admin admin(server.url());
    const auto number = std::to_string(store.info.owner);
    const auto before = admin({"HGET", "{postlude}:owners", number});
    store.add(store.job());
    server.freeze();
    CHECK(store.commit(store.job()).puts.at(0).what == outcome::unknown);
    server.thaw();
    at_last([&] { return store->amend({}, amendment::erase).empty(); });
    CHECK(admin({"HGET", "{postlude}:owners", number}) == before);
    const job_id none = 1;
    at_last([&] { return store->amend(std::span(&none, 1), amendment::erase); });
    CHECK(admin({"HGET", "{postlude}:owners", number}) != before);
    const detail::redis::scripts texts;
    const auto meta = "{postlude}:meta";
    const auto created = "1000000000000000";
    const auto id = "0000000000000001";
    admin({"MULTI"});
    admin({"EVAL", texts.put, "1", meta, number, before, "1000", "1", created, "0", "", "P", "1",
           "fifo:0", "0", id});
    admin({"HSET", "{postlude}:jobs:0000000000000", id, "1000000000000000 0 0 0 0 0 {}"});
    admin({"EVAL", texts.undo, "1", meta});
    admin({"EVAL", texts.commit.text(), "1", meta, number, before, "1000", "1", created, "0", ""});
    const auto late = admin({"EXEC"});
    CHECK_THAT(late, Contains("POSTLUDEOWNER"));
    CHECK(late.find("POSTLUDEOWNER") != late.rfind("POSTLUDEOWNER"));
    CHECK(store->find({.ids = {1}}).empty());
}

TEST_CASE("redis: jobs of a claim whose answer was lost are given back, uncounted") {
    stopped_server server;
    redis_store store(server.url() + "?timeout=1500");
    const auto id = store.add(store.job());
    store.take(0);
    server.freeze();
    CHECK(what_fails([&] { store.take(); }).first == errc::store_unavailable);
    // Now the server does what it was asked, and nobody hears of it.
    server.thaw();
    redis_admin admin(server.url());
    const auto claimed = "{postlude}:claimed:" + std::to_string(store.info.owner);
    REQUIRE(eventually([&] { return admin({"EXISTS", claimed}) == "1"; }));
    const auto taken = at_last([&] { return store.take(); });
    REQUIRE(taken.size() == 1);
    CHECK(taken[0].job.id == id);
    CHECK(taken[0].job.crashes == 0);
    CHECK(store.settle(taken[0].held, verdict::done) == settled::accepted);
}

TEST_CASE("redis: a process whose entry the server has lost enters again, under its number") {
    const auto prefix = new_prefix();
    redis_store store(shared_redis().url() + "?prefix=" + prefix);
    const auto page = "jobs:" + detail::redis::page_of(store.add(store.job()));
    redis_admin admin;
    const auto all = "{" + prefix + "}:*";
    for (const auto& name :
         {std::string("meta"), std::string("owners"), std::string("leases"), std::string("lanes"),
          std::string("lane_numbers"), std::string("pages"), std::string("fifo:0"), page}) {
        admin({"DEL", "{" + prefix + "}:" + name});
    }
    CHECK(admin({"KEYS", all}).empty());
    use_all_connections(store);
    redis_store next(shared_redis().url() + "?prefix=" + prefix);
    CHECK(next.info.owner > store.info.owner);
}

TEST_CASE("redis: a process whose number was given to another one stops, and says why") {
    const auto prefix = new_prefix();
    redis_store store(shared_redis().url() + "?prefix=" + prefix);
    const auto number = std::to_string(store.info.owner);
    redis_admin()({"HSET", "{" + prefix + "}:owners", number, "another's"});
    const auto [code, text] = what_fails([&] { store.add(store.job()); });
    CHECK(code == errc::bad_store);
    CHECK_THAT(text, Contains("restart this process"));
}

TEST_CASE("redis: a question that takes its time holds up no leases") {
    const std::string text = R"(["never answered"])";
    std::latch asked{1};
    tcp_proxy proxy(static_cast<unsigned short>(std::stoi(shared_redis().port())));
    redis_store store(
        "redis://127.0.0.1:" + std::to_string(proxy.port()) + "?prefix=" + new_prefix(),
        10 * patience);
    auto p = store.job();
    p.job.arguments = text;
    store.add(p);
    proxy.pass_only([&](std::string_view answer) {
        if (answer.find(text) == answer.npos) {
            return true;
        }
        asked.count_down();
        return false;
    });
    boost::system::error_code answer;
    std::jthread person([&] { answer = what_fails([&] { store->find({}); }).first; });
    asked.wait();
    auto renewed = std::async(std::launch::async, [&] { return store->renew({}); });
    CHECK(renewed.wait_for(patience) == std::future_status::ready);
    proxy.cut();
    CHECK(renewed.get().empty());
    person.join();
    CHECK(answer == errc::store_unavailable);
}

TEST_CASE("redis: a primary that becomes a replica is unavailable until it is one again") {
    store_server server("redis");
    redis_store store(server.url());
    use_all_connections(store);
    redis_admin admin(server.url());
    REQUIRE(admin({"REPLICAOF", "127.0.0.1", shared_redis().port()}) == "OK");
    CHECK(what_fails([&] { store.add(store.job()); }).first == errc::store_unavailable);
    CHECK(what_fails([&] { store.add(store.job()); }).first == errc::store_unavailable);
}
