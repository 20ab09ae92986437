// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/redis/location.hpp"

#include "redis_support.hpp"

using namespace postlude;
using namespace test;
using Catch::Matchers::Contains;
using detail::redis::location;

namespace {

location read(const std::string& url) { return location(redis_options{.url = url}); }

}  // namespace

TEST_CASE("a Redis URL names host, port, user, password, database and parameters") {
    const auto least = read("redis://db.example.org");
    CHECK(least.host == "db.example.org");
    CHECK(least.port == "6379");
    CHECK(least.user.empty());
    CHECK(least.password.empty());
    CHECK(least.database == 0);
    CHECK(least.base == "{postlude}:");
    CHECK_FALSE(least.tls);
    CHECK(least.verify);

    const auto all = read(
        "REDISS://app:p%40ss%2Fw%25:rd@10.0.0.7:7000/3?prefix=shop&ca_file=/etc/ca.pem"
        "&timeout=1500");
    CHECK(all.tls);
    CHECK(all.user == "app");
    CHECK(all.password == "p@ss/w%:rd");
    CHECK(all.host == "10.0.0.7");
    CHECK(all.port == "7000");
    CHECK(all.database == 3);
    CHECK(all.base == "{shop}:");
    CHECK(all.ca_file == "/etc/ca.pem");
    CHECK(all.timeout == 1'500ms);
    CHECK_THAT(all.shown, !Contains("p%40ss"));

    const auto six = read("redis://:secret@[::1]:7000/");
    CHECK(six.host == "::1");
    CHECK(six.port == "7000");
    CHECK(six.user.empty());
    CHECK(six.password == "secret");
}

TEST_CASE("a wrong Redis URL is refused in a sentence that says how, without its password") {
    struct {
        const char* url;
        const char* says;
    } const cases[] = {
        {"redis:host", "does not begin with redis://"},
        {"redis://", "names no host"},
        {"redis://host:0", "port"},
        {"redis://host:99999", "port"},
        {"redis://host:abc", "port"},
        {"redis://[::1", "["},
        {"redis://host/jobs", "database"},
        {"redis://host?colour=red", "\"colour\""},
        {"redis://host?timeout=soon", "timeout"},
        {"redis://host?prefix=", "prefix"},
        {"redis://host?prefix={a}", "prefix"},
        {"redis://secret@host", "without a password"},
        {"redis://user:secret%zz@host", "%"},
        {"redis://user:secret/x@host", "password"},
        {"redis://user:secret@host:no", "port"},
        {"redis:user:secret@host", "does not begin with redis://"},
        {"user:secret@host:6379", "does not begin with redis://"},
        {"redis://user:7?secret@host", "password"},
        {"redis://user:7?secret=secret@host", "password"},
    };
    for (const auto& [url, says] : cases) {
        CAPTURE(url);
        const auto [code, text] = what_fails([&] { redis_backend({.url = url}); });
        CHECK(code == errc::bad_option);
        CHECK_THAT(text, Contains(says) && Contains("the job store's URL"));
        CHECK_THAT(text, !Contains("secret"));
    }
    using std::chrono::milliseconds;
    const auto no_time = [] { redis_backend({.url = "redis://h", .timeout = milliseconds(0)}); };
    CHECK(what_fails(no_time).first == errc::bad_option);
    const auto no_pause = [] { redis_backend({.url = "redis://h", .poll = milliseconds(0)}); };
    CHECK(what_fails(no_pause).first == errc::bad_option);
}

TEST_CASE("the scheme of Redis makes a store of its URLs, with TLS or without") {
    const auto scheme = redis_scheme();
    CHECK(scheme.names == std::vector<std::string>{"redis", "rediss"});
    CHECK(backend_from_url("rediss://host", {scheme}));
    CHECK(backend_from_url(scheme.example, {scheme}));
}
