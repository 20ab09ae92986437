// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/backends/url.hpp"

#include "postlude/backends/memory.hpp"
#include "postlude/core/error.hpp"
#include "support/catch.hpp"

#include <boost/system/system_error.hpp>

using namespace postlude;

namespace {

backend_scheme scheme(std::string name, std::string& got) {
    return {.names = {name, name + "s"},
            .example = name + "://host",
            .make = [&got](std::string_view url) {
                got = url;
                return memory_store().connect();
            }};
}

std::string refusal(std::string_view url) {
    std::string got;
    try {
        backend_from_url(url, {scheme("one", got), scheme("two", got)});
    } catch (const boost::system::system_error& error) {
        CHECK(error.code() == errc::bad_option);
        CHECK(got.empty());
        return error.what();
    }
    FAIL("it was not refused");
    return {};
}

}  // namespace

TEST_CASE("a store is made by the scheme that its URL names") {
    std::string one;
    std::string two;
    const auto get = [&](std::string_view url) {
        return backend_from_url(url, {scheme("one", one), scheme("two", two)});
    };
    CHECK(get("two://a"));
    CHECK(two == "two://a");
    CHECK(one.empty());
    CHECK(get("ONEs:b"));
    CHECK(one == "ONEs:b");
}

TEST_CASE("a URL of no known store is refused by naming those that there are, and no password") {
    using Catch::Matchers::Contains;
    const auto unknown = refusal("three://user:secret@host");
    CHECK_THAT(unknown, Contains("\"three:\"") && Contains("one://host, two://host"));
    CHECK_THAT(unknown, !Contains("secret"));
    const auto none = refusal("secret");
    CHECK_THAT(none, Contains("no scheme") && Contains("one://host, two://host"));
    CHECK_THAT(none, !Contains("secret"));
    CHECK_THAT(refusal(""), Contains("no scheme"));
    for (const auto* text : {"password=secret hostaddr=::1", "host=db password=se:secret"}) {
        const auto other_form = refusal(text);
        CHECK_THAT(other_form, Contains("no scheme"));
        CHECK_THAT(other_form, !Contains("password=") && !Contains("secret"));
    }
}

TEST_CASE("a URL is shown without its passwords") {
    struct {
        std::string_view url;
        std::string_view shown;
    } const cases[] = {
        {"postgresql://user:secret@host/db", "postgresql://user:***@host/db"},
        {"redis://:secret@host:6379/0", "redis://:***@host:6379/0"},
        {"amqp://u:a@b/c:d@host/v", "amqp://u:***@host/v"},
        {"postgresql://host/db?user=a&password=secret&x=1",
         "postgresql://host/db?user=a&password=***&x=1"},
        {"postgresql://user@host:5432/db", "postgresql://user@host:5432/db"},
        {"redis://host:6379", "redis://host:6379"},
        {"sqlite:jobs.db", "sqlite:jobs.db"},
        {"redis:app:secret@host", "***@host"},
        {"redis:/app:secret@host", "***@host"},
        {"app:secret@host:6379", "***@host:6379"},
        {"", ""},
    };
    for (const auto& [url, shown] : cases) {
        CHECK(without_password(url) == shown);
    }
}
