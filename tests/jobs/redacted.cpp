// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/jobs/arguments.hpp"

#include "support/catch.hpp"

#include <initializer_list>
#include <string>
#include <string_view>

namespace {

std::string hidden(std::string_view text, std::initializer_list<std::string_view> secret) {
    return postlude::redacted(text, std::span(secret.begin(), secret.size()));
}

}  // namespace

TEST_CASE("what is not secret is shown as it is") {
    CHECK(hidden(R"({"b":1,"a":[null,true,"x",1.5]})", {}) == R"({"b":1,"a":[null,true,"x",1.5]})");
    CHECK(hidden(R"({"a":1})", {"", "", ""}) == R"({"a":1})");
    CHECK(hidden(R"({"to":1,"token":2})", {"token"}) == R"({"to":1,"token":"[secret]"})");
    CHECK(hidden(R"({"token_kind":1,"Token":2})", {"token"}) == R"({"token_kind":1,"Token":2})");
}

TEST_CASE("a secret member is replaced, whatever it holds") {
    CHECK(hidden(R"({"a":1,"token":"abc"})", {"token"}) == R"({"a":1,"token":"[secret]"})");
    CHECK(hidden(R"({"token":null})", {"token"}) == R"({"token":"[secret]"})");
    CHECK(hidden(R"({"token":{"a":[1]}})", {"token"}) == R"({"token":"[secret]"})");
    CHECK(hidden(R"({"token":["abc","def"]})", {"token"}) == R"({"token":"[secret]"})");
    CHECK(hidden(R"({"t\u006fken":"abc"})", {"token"}) == R"({"token":"[secret]"})");
}

TEST_CASE("a dotted path leads into structs and through arrays") {
    CHECK(hidden(R"({"user":{"name":"n","pin":1}})", {"user.pin"}) ==
          R"({"user":{"name":"n","pin":"[secret]"}})");
    CHECK(hidden(R"({"items":[{"card":1},{"card":2,"n":3},{}]})", {"items.card"}) ==
          R"({"items":[{"card":"[secret]"},{"card":"[secret]","n":3},{}]})");
    CHECK(hidden(R"({"a":[[{"b":{"c":1,"d":2}}]]})", {"a.b.c"}) ==
          R"({"a":[[{"b":{"c":"[secret]","d":2}}]]})");
    CHECK(hidden(R"({"a":{"b":1,"c":2},"d":3})", {"a.b", "d", "a.c"}) ==
          R"({"a":{"b":"[secret]","c":"[secret]"},"d":"[secret]"})");
    CHECK(hidden(R"({"a":{"b":1}})", {"b"}) == R"({"a":{"b":1}})");
}

TEST_CASE("keys with points in them are found") {
    CHECK(hidden(R"({"h":{"x.y":1}})", {"h.x.y"}) == R"({"h":{"x.y":"[secret]"}})");
    CHECK(hidden(R"({"h.x":{"y":1}})", {"h.x.y"}) == R"({"h.x":{"y":"[secret]"}})");
}

TEST_CASE("what stands where a path should go on is replaced: it may be the secret's old form") {
    CHECK(hidden(R"({"card":"4111"})", {"card.number"}) == R"({"card":"[secret]"})");
    CHECK(hidden(R"({"cards":["4111",{"number":1}]})", {"cards.number"}) ==
          R"({"cards":["[secret]",{"number":"[secret]"}]})");
    CHECK(hidden(R"("4111")", {"card"}) == R"("[secret]")");
}

TEST_CASE("of members with the same name none is shown") {
    CHECK(hidden(R"({"t":"abc","t":"def"})", {"t"}) == R"({"t":"[secret]"})");
}

TEST_CASE("what is no JSON is not shown at all") {
    for (const auto* text : {"", "token=abc", R"({"token":"abc")", R"({"token":"abc"} x)",
                             "{\"token\":\"abc\xff\"}", R"({"token":1e999})"}) {
        CAPTURE(text);
        CHECK(hidden(text, {"token"}) == "[unreadable]");
        CHECK(hidden(text, {}) == "[unreadable]");
    }
    CHECK(hidden(std::string(33, '[').append(33, ']'), {}) == "[unreadable]");
}
