// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/backends/redis.hpp"

#include "backends/redis/checks.hpp"
#include "backends/redis/store.hpp"
#include "redis_support.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>

#include <fstream>
#include <thread>

using namespace postlude;
using namespace test;
using Catch::Matchers::Contains;

namespace {

/// What opening this says; nothing when it opens.
std::pair<boost::system::error_code, std::string> opening(const std::string& url) {
    return what_fails([&] { redis_store store(url); });
}

/// Answers whatever one client sends first with a text, and then closes.
class false_server {
public:
    explicit false_server(std::string answer)
        : acceptor_(context_, {boost::asio::ip::address_v4::loopback(), 0}),
          thread_([this, text = std::move(answer)] {
              boost::system::error_code error;
              boost::asio::ip::tcp::socket socket(context_);
              acceptor_.accept(socket, error);
              std::string sent;
              boost::asio::read_until(socket, boost::asio::dynamic_buffer(sent), "\r\n", error);
              boost::asio::write(socket, boost::asio::buffer(text), error);
              socket.shutdown(boost::asio::ip::tcp::socket::shutdown_send, error);
              while (!error) {
                  socket.read_some(boost::asio::buffer(sent), error);
              }
          }) {}
    std::string url() const {
        return "redis://127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port());
    }

private:
    boost::asio::io_context context_;
    boost::asio::ip::tcp::acceptor acceptor_;
    std::jthread thread_;
};

std::string tls_url(const std::string& rest) {
    std::ifstream file(shared_redis().directory() / "tls_port");
    std::string port;
    file >> port;
    return "rediss://tests:only-tests@127.0.0.1:" + port + "/0?prefix=" + new_prefix() + rest;
}

std::string certificate() { return (shared_redis().directory() / "certificate.pem").string(); }

}  // namespace

TEST_CASE("redis: a wrong user or password is refused in a sentence without it") {
    for (const auto& url : {with_user("tests", "wrong-secret"), with_user("nobody", "secret")}) {
        const auto [code, text] = opening(url);
        CHECK(code == errc::bad_store);
        CHECK_THAT(text, Contains("the job store redis://") && Contains("user and password"));
        CHECK_THAT(text, !Contains("secret"));
    }
    const redis_user none("default", {"resetpass"});
    const auto [code, text] = opening("redis://127.0.0.1:" + shared_redis().port());
    CHECK(code == errc::bad_store);
    CHECK_THAT(text, Contains("wants a password"));
    redis_admin()({"ACL", "SETUSER", "default", "on", "nopass", "~*", "&*", "+@all"});
}

TEST_CASE("redis: a wrong port or host is unavailable, and says what to correct") {
    const auto [code, text] = opening("redis://127.0.0.1:1");
    CHECK(code == errc::store_unavailable);
    CHECK_THAT(text, Contains("nobody accepts connections there") && Contains("127.0.0.1:1"));
    const auto [no_host, what] = opening("redis://no-such-host.invalid");
    CHECK(no_host == errc::store_unavailable);
    CHECK_THAT(what, Contains("name can't be found"));
}

TEST_CASE("redis: what is no Redis, or too old, is refused") {
    const auto array = [](const std::string& version) {
        return "*6\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$" +
               std::to_string(version.size()) + "\r\n" + version +
               "\r\n$4\r\nrole\r\n$6\r\nmaster\r\n";
    };
    const auto refused = [](const std::string& answer, const std::string& says) {
        const false_server server(answer);
        const auto [code, text] = opening(server.url());
        CHECK(code == errc::bad_store);
        CHECK_THAT(text, Contains(says));
    };
    refused(array("6.2.14"), "it is Redis 6.2.14; Postlude needs version 7");
    refused("-ERR unknown command `HELLO`, with args beginning with: \r\n", "Redis 5 or older");
    refused("HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak Redis's protocol");
}

TEST_CASE("redis: a database that is not there is refused") {
    const auto url =
        "redis://tests:only-tests@127.0.0.1:" + shared_redis().port() + "/999?prefix=x";
    const auto [code, text] = opening(url);
    CHECK(code == errc::bad_store);
    CHECK_THAT(text, Contains("no database of that number"));
}

TEST_CASE("redis: stores of other databases and prefixes are strangers to each other") {
    const auto prefix = new_prefix();
    const auto host = "redis://tests:only-tests@127.0.0.1:" + shared_redis().port();
    redis_store first(host + "/0?prefix=" + prefix);
    redis_store second(host + "/3?prefix=" + prefix);
    redis_store third(host + "/0?prefix=" + new_prefix());
    first.add(first.job());
    CHECK(second.take().empty());
    CHECK(third.take().empty());
    CHECK(first.take().size() == 1);
}

TEST_CASE("redis: a user that may not do what the store needs is told so when it opens") {
    const auto refused = [](std::initializer_list<std::string_view> rules, const char* says) {
        const redis_user user("limited", rules);
        const auto [code, text] = opening(with_user("limited", "user-secret"));
        CHECK(code == errc::bad_store);
        CHECK_THAT(text, Contains("may not do what the store needs") && Contains(says));
        CHECK_THAT(text, !Contains("user-secret"));
    };
    refused({"~*", "&*", "+@all", "-@scripting"}, "script|load");
    refused({"~*", "&*", "+@all", "-evalsha"}, "evalsha");
    refused({"~*", "&*", "+@all", "-zadd"}, "ZADD");
    refused({"~*", "&*", "+@all", "-multi"}, "multi");
    refused({"~*", "&*", "+@all", "-eval"}, "eval");
    refused({"~*", "&*", "+@all", "-smembers"}, "smembers");
    refused({"~other:*", "&*", "+@all"}, "key");
}

TEST_CASE("redis: a user with the documented permissions works, and without the channel polls") {
    const auto works = [](redis_store& store) {
        store.add(store.job());
        CHECK(store->claim(std::vector<std::size_t>{1}, patience).size() == 1);
    };
    const redis_user user("app",
                          {"~{test*", "&{test*", "+@all", "-@admin", "-@dangerous", "+config|get"});
    redis_store store(with_user("app", "user-secret"));
    CHECK(store.info.warnings.empty());
    works(store);
    redis_admin()({"ACL", "SETUSER", "app", "resetchannels", "-config|get"});
    const redis_setting sync("appendfsync", "everysec");
    redis_store deaf(with_user("app", "user-secret"));
    CHECK(deaf.info.can.commits_at_once == 1);  // as if each commit were synced, for all it knows
    REQUIRE(deaf.info.warnings.size() == 2);
    CHECK_THAT(deaf.info.warnings[0], Contains("CONFIG GET"));
    CHECK_THAT(deaf.info.warnings[1], Contains("may not listen"));
    works(deaf);
}

TEST_CASE("redis: TLS works with the authority's file, by option or by URL") {
    redis_store store(tls_url("&ca_file=" + certificate()));
    auto big = store.job();
    big.job.arguments = "{\"x\":\"" + std::string(3'000'000, 'x') + "\"}";
    store.add(big);
    const auto taken = store->claim(std::vector<std::size_t>{1}, patience);
    REQUIRE(taken.size() == 1);
    CHECK((taken[0].job.arguments == big.job.arguments));
    CHECK_NOTHROW(redis_store(redis_options{.url = tls_url(""), .ca_file = certificate()}));
    CHECK_NOTHROW(redis_store(redis_options{.url = tls_url(""), .verify_certificate = false}));
}

TEST_CASE("redis: a claim that waits is woken over TLS too") {
    const auto url = tls_url("&ca_file=" + certificate());
    redis_store waiting(redis_options{.url = url, .timeout = 60s, .poll = std::chrono::hours(1)});
    redis_store other(url);
    std::jthread thread([&] { other.add(other.job()); });
    CHECK(waiting->claim(std::vector<std::size_t>{1}, patience).size() == 1);
}

TEST_CASE("redis: a certificate that nobody vouches for is refused") {
    const auto [code, text] = opening(tls_url(""));
    CHECK(code == errc::bad_store);
    CHECK_THAT(text, Contains("certificate is not trusted") && Contains("ca_file"));
    const auto [missing, what] = opening(tls_url("&ca_file=/nowhere/ca.pem"));
    CHECK(missing == errc::bad_store);
    CHECK_THAT(what, Contains("/nowhere/ca.pem"));
}

TEST_CASE("redis: TLS to a port without it, and none to one with it, say so") {
    const auto [code, text] =
        opening("rediss://tests:only-tests@127.0.0.1:" + shared_redis().port() + "?timeout=300");
    CHECK(code == errc::store_unavailable);
    CHECK_THAT(text, Contains("does not begin TLS") && Contains("use redis://"));
    auto plain = tls_url("");
    plain.erase(5, 1);
    const auto [closed, what] = opening(plain);
    CHECK(closed == errc::store_unavailable);
    CHECK_THAT(what, Contains("rediss://"));
}

TEST_CASE("redis: a replica is refused by name") {
    const redis_configuration lines("replicaof 127.0.0.1 " + shared_redis().port());
    const store_server replica("redis");
    const auto [code, text] = opening(replica.url());
    CHECK(code == errc::bad_store);
    CHECK_THAT(text, Contains("is a replica") && Contains("name the primary"));
}

TEST_CASE("redis: another program's data under the prefix is left alone") {
    redis_admin admin;
    for (const auto* const name : {"meta", "pages"}) {
        const auto prefix = new_prefix();
        const auto key = "{" + prefix + "}:" + name;
        REQUIRE(admin({"SET", key, "precious"}) == "OK");
        const auto [code, text] = opening(shared_redis().url() + "?prefix=" + prefix);
        CHECK(code == errc::bad_store);
        CHECK_THAT(text, Contains("another program's data") && Contains(key));
        CHECK(admin({"GET", key}) == "precious");
    }
}

TEST_CASE("redis: a store of a newer format is opened only if that allows it") {
    const auto url = new_redis_url();
    const auto open_as = [&](detail::redis::format known) {
        detail::redis::store store({.url = url}, known);
        store.open({});
    };
    open_as({.version = 3, .min_reader = 2});
    CHECK_NOTHROW(open_as({.version = 3, .min_reader = 2}));
    CHECK_NOTHROW(open_as({.version = 2, .min_reader = 2}));
    const auto [code, text] = what_fails([&] { open_as({.version = 1, .min_reader = 1}); });
    CHECK(code == errc::bad_store);
    CHECK_THAT(
        text, Contains("version 3") && Contains("knows version 2") && Contains("this one knows 1"));
}

TEST_CASE("redis: when the owners' numbers are used up, the store says so") {
    const auto prefix = new_prefix();
    const auto url = shared_redis().url() + "?prefix=" + prefix;
    {
        redis_store store(url);
    }
    redis_admin()({"HSET", "{" + prefix + "}:meta", "next_owner", "8388607"});
    {
        CHECK(redis_store(url).info.owner == 8'388'607);
    }
    const auto [code, text] = opening(url);
    CHECK(code == errc::bad_store);
    CHECK_THAT(text, Contains("8 million times"));
}

TEST_CASE("redis: a server that is set up well has no warnings, an unwise one a sentence each") {
    CHECK(redis_store(new_redis_url()).info.warnings.empty());
    const redis_setting memory("maxmemory", "1000000000");
    const redis_setting policy("maxmemory-policy", "allkeys-lru");
    const redis_setting sync("appendfsync", "everysec");
    const auto warnings = redis_store(new_redis_url()).info.warnings;
    REQUIRE(warnings.size() == 2);
    CHECK_THAT(warnings[0], Contains("allkeys-lru") && Contains("noeviction"));
    CHECK_THAT(warnings[1], Contains("everysec") && Contains("second"));
}

TEST_CASE("redis: what is unwise in the settings of a server") {
    using settings = std::map<std::string, std::string>;
    const settings good{{"maxmemory", "0"},    {"maxmemory-policy", "noeviction"},
                        {"appendonly", "yes"}, {"appendfsync", "always"},
                        {"save", "3600 1"},    {"no-appendfsync-on-rewrite", "no"}};
    const auto with = [&](const settings& other) {
        auto all = good;
        for (const auto& [name, value] : other) {
            all[name] = value;
        }
        const auto found = detail::redis::unwise(all);
        return found.empty() ? std::string() : found.at(0);
    };
    CHECK(detail::redis::unwise(good).empty());
    CHECK(with({{"maxmemory-policy", "allkeys-lru"}}).empty());
    CHECK_THAT(with({{"maxmemory", "5"}, {"maxmemory-policy", "volatile-ttl"}}),
               Contains("volatile-ttl"));
    CHECK(with({{"maxmemory", "5"}}).empty());
    CHECK_THAT(with({{"appendonly", "no"}}), Contains("snapshots"));
    CHECK_THAT(with({{"appendonly", "no"}, {"save", ""}}), Contains("nothing on disk"));
    CHECK_THAT(with({{"appendfsync", "no"}}), Contains("half minute"));
    CHECK_THAT(with({{"no-appendfsync-on-rewrite", "yes"}}), Contains("rewritten"));
}
