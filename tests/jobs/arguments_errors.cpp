// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/jobs/arguments.hpp"
#include "postlude/jobs/traits.hpp"

#include "support/catch.hpp"

#include <boost/describe/class.hpp>
#include <boost/describe/enum.hpp>

#include <array>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using postlude::from_text;
using postlude::to_text;

namespace {

enum class size { small, large };
BOOST_DESCRIBE_ENUM(size, small, large)

struct item {
    double price = 1;
    size kind = size::small;
};
BOOST_DESCRIBE_STRUCT(item, (), (price, kind))

struct card {
    std::int16_t pin = 0;
    std::map<std::string, std::uint8_t> codes;
};
BOOST_DESCRIBE_STRUCT(card, (), (pin, codes))

struct order {
    std::string name = "unnamed";
    bool paid = true;
    std::uint8_t count = 3;
    std::int64_t big = 0;
    float ratio = 0;
    std::vector<item> items;
    std::array<int, 2> two{};
    std::map<std::string, std::optional<int>> options;
    std::chrono::sys_time<std::chrono::nanoseconds> when{};
    std::chrono::minutes wait{5};
    card paid_by;
    boost::json::value any;

    static constexpr postlude::job_traits job{.kind = "order",
                                              .secret = {"paid_by.pin", "paid_by.codes"}};
};
BOOST_DESCRIBE_STRUCT(order, (),
                      (name, paid, count, big, ratio, items, two, options, when, wait, paid_by,
                       any))

struct second_version {
    std::string name = "default";
    int added = 42;
    item nested{.price = 7, .kind = size::large};
    std::optional<int> maybe = 9;
    std::vector<int> list{1, 2};
};
BOOST_DESCRIBE_STRUCT(second_version, (), (name, added, nested, maybe, list))

struct distant {
    std::chrono::sys_seconds when{};
    std::chrono::duration<std::uint64_t> wait{};
};
BOOST_DESCRIBE_STRUCT(distant, (), (when, wait))

/// The sentence, without what Boost.System adds.
template <class F>
std::string sentence(F f) {
    try {
        f();
    } catch (const postlude::arguments_error& e) {
        CHECK(e.code() == postlude::errc::bad_arguments);
        const std::string what = e.what();
        return what.substr(0, what.find(": the arguments of a job"));
    }
    return "nothing was thrown";
}

std::string unreadable(std::string_view text) {
    return sentence([&] { from_text<order>(text); });
}

std::string unwritable(const order& value) {
    return sentence([&] { to_text(value); });
}

}  // namespace

TEST_CASE("a missing member keeps its initialiser, in a nested struct as well") {
    const auto read = from_text<second_version>(R"({"nested":{"price":8}})");
    CHECK(read.name == "default");
    CHECK(read.added == 42);
    CHECK(read.nested.price == 8);
    CHECK(read.nested.kind == size::large);
    CHECK(read.maybe == 9);
    CHECK(read.list == std::vector{1, 2});
}

TEST_CASE("what is there replaces the initialiser") {
    const auto read = from_text<second_version>(R"({"maybe":null,"list":[],"name":""})");
    CHECK(read.name.empty());
    CHECK_FALSE(read.maybe);
    CHECK(read.list.empty());
}

TEST_CASE("an unknown member is ignored, whatever it holds") {
    const auto read = from_text<second_version>(
        R"({"old_name":{"a":[null,{"b":1e9}]},"added":1,"Name":"x","":0,"job":1})");
    CHECK(read.added == 1);
    CHECK(read.name == "default");
}

TEST_CASE("the order of members and the space between them do not matter") {
    const auto read = from_text<second_version>(" {\t\"added\" : 1 ,\r\n \"name\" : \"x\" } \n");
    CHECK(read.added == 1);
    CHECK(read.name == "x");
}

TEST_CASE("of members with the same name the last one counts") {
    CHECK(from_text<second_version>(R"({"added":1,"added":2,"added":3})").added == 3);
}

TEST_CASE("an error says which member it is, what was expected and what was found") {
    CHECK(unreadable(R"({"name":1})") == R"(member "name": expected a string, found a number)");
    CHECK(unreadable(R"({"name":null})") == R"(member "name": expected a string, found null)");
    CHECK(unreadable(R"({"paid":"yes"})") ==
          R"(member "paid": expected a boolean, found a string)");
    CHECK(unreadable(R"({"count":true})") ==
          R"(member "count": expected a number, found a boolean)");
    CHECK(unreadable(R"({"items":{}})") == R"(member "items": expected an array, found an object)");
    CHECK(unreadable(R"({"paid_by":[]})") ==
          R"(member "paid_by": expected an object, found an array)");
    CHECK(unreadable(R"({"items":[{},{},{},{"price":"4"}]})") ==
          R"(member "items[3].price": expected a number, found a string)");
    CHECK(unreadable(R"({"options":{"a":{}}})") ==
          R"(member "options.a": expected a number, found an object)");
    CHECK(unreadable("[]") == "the arguments: expected an object, found an array");
    CHECK(unreadable("null") == "the arguments: expected an object, found null");
}

TEST_CASE("an error never shows a string that was found") {
    CHECK(unreadable(R"({"items":[{"kind":"huge"}]})") ==
          R"(member "items[0].kind": expected one of "small", "large", found another string)");
    CHECK(unreadable(R"({"items":[{"kind":2}]})") ==
          R"(member "items[0].kind": expected one of "small", "large", found a number)");
    CHECK(
        unreadable(R"({"when":"today"})") ==
        "member \"when\": expected a time like \"2026-11-24T14:30:00.25Z\", found another string");
    CHECK(unreadable(R"({"wait":"5 min"})") ==
          "member \"wait\": expected a duration in seconds like \"0.25s\", found another string");
    CHECK(unreadable(R"({"wait":5})") ==
          "member \"wait\": expected a duration in seconds like \"0.25s\", found a number");
}

TEST_CASE("a number out of its range is shown, with the range") {
    CHECK(unreadable(R"({"count":300})") ==
          R"(member "count": expected a whole number from 0 to 255, found 300)");
    CHECK(unreadable(R"({"count":-1})") ==
          R"(member "count": expected a whole number from 0 to 255, found -1)");
    CHECK(unreadable(R"({"count":1.5})") ==
          R"(member "count": expected a whole number from 0 to 255, found 1.5)");
    CHECK(unreadable(R"({"big":9223372036854775808})") ==
          "member \"big\": expected a whole number from -9223372036854775808 to "
          "9223372036854775807, found 9223372036854775808");
    CHECK(unreadable(R"({"big":-1e300})") ==
          "member \"big\": expected a whole number from -9223372036854775808 to "
          "9223372036854775807, found -1e+300");
    CHECK(unreadable(R"({"ratio":1e39})") ==
          R"(member "ratio": expected a number that a float can hold, found 1e+39)");
    CHECK(unreadable(R"({"two":[1]})") ==
          R"(member "two": expected an array of 2 items, found one of 1)");
    CHECK(unreadable(R"({"two":[1,2,3]})") ==
          R"(member "two": expected an array of 2 items, found one of 3)");
}

TEST_CASE("a secret number out of its range is not shown, nor what is in a secret map") {
    CHECK(unreadable(R"({"paid_by":{"pin":99999}})") ==
          R"(member "paid_by.pin": expected a whole number from -32768 to 32767, found another)");
    CHECK(unreadable(R"({"paid_by":{"codes":{"hunter2":256}}})") ==
          R"(member "paid_by.codes": expected a whole number from 0 to 255, found another)");
}

TEST_CASE("keys of a map are shown in plain letters, and not without end") {
    CHECK(unreadable("{\"options\":{\"a\\nb\\\"\\u001b\":true}}") ==
          R"(member "options.a?b??": expected a number, found a boolean)");
    std::string text = R"({"options":{")";
    text.append(100'000, 'k').append(R"(":true}})");
    CHECK(unreadable(text).size() < 200);
}

TEST_CASE("times and durations that do not exist are refused") {
    for (const auto* text :
         {"", "2026-11-24", "2026-11-24T14:30:00", "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z",
          "2026-00-01T00:00:00Z", "2026-11-31T00:00:00Z", "2026-11-24T24:00:00Z",
          "2026-11-24T14:60:00Z", "2026-11-24T14:30:60Z", "2026-11-24T14:30:00.Z",
          "2026-11-24T14:30:00+24:00", "2026-11-24T14:30:00+0200", "2026-11-24 14:30:00Z",
          "2026-11-24T14:30:00Z ", "-026-11-24T14:30:00Z", "+026-11-24T14:30:00Z",
          "1900-02-29T00:00:00Z"}) {
        CAPTURE(text);
        CHECK(unreadable(std::string(R"({"when":")").append(text).append("\"}"))
                  .ends_with("found another string"));
    }
    for (const auto* text :
         {"", "s", "1", "1 s", "1.s", ".5s", "--1s", "+1s", "1e3s", "1s ", "9223372036854775808s",
          "-9223372036854775808.5s", "18446744073709551616s", "0x1s"}) {
        CAPTURE(text);
        CHECK(unreadable(std::string(R"({"wait":")").append(text).append("\"}"))
                  .ends_with("found another string"));
    }
}

TEST_CASE("a time outside of the range of its type is refused") {
    CHECK(unreadable(R"({"when":"2300-01-01T00:00:00Z"})") ==
          R"(member "when": expected a time in the range of its type, found one outside of it)");
    CHECK(unreadable(R"({"when":"1677-09-21T00:12:43.145224191Z"})") ==
          R"(member "when": expected a time in the range of its type, found one outside of it)");
    CHECK(unreadable(R"({"when":"9999-12-31T23:30:00-01:00"})").ends_with("another string"));
    CHECK(unreadable(R"({"when":"0000-01-01T00:30:00+01:00"})").ends_with("another string"));
}

TEST_CASE("what is no JSON is refused with the offset where it stops being any") {
    CHECK(unreadable("") == "the arguments: not JSON: incomplete JSON at offset 0");
    CHECK(unreadable("{") == "the arguments: not JSON: incomplete JSON at offset 1");
    CHECK(unreadable("{} x") == "the arguments: not JSON: extra data at offset 3");
    CHECK(unreadable(R"({"name":'x'})") == "the arguments: not JSON: syntax error at offset 8");
    CHECK(unreadable(R"({"a":1,})") == "the arguments: not JSON: syntax error at offset 7");
    for (const auto* text : {"\"\\ud800\"", "\"\\udc00\\ud800\"", "\"\xff\"", "\"\xc0\x80\"",
                             "\"\xed\xa0\x80\"", "\"\n\"", "01", "NaN", "Infinity", "1e400",
                             "-1e400", "// no\n1", "[1,]", "\"\xf4\x90\x80\x80\""}) {
        CAPTURE(text);
        CHECK(unreadable(std::string(R"({"any":)").append(text).append("}"))
                  .starts_with("the arguments: not JSON: "));
    }
}

TEST_CASE("text is not read beyond 32 objects and arrays within each other") {
    std::string deepest = R"({"any":)";
    deepest.append(31, '[').append(31, ']').append("}");
    CHECK(unreadable(deepest) == "nothing was thrown");
    std::string deeper = R"({"any":)";
    deeper.append(32, '[').append(32, ']').append("}");
    CHECK(unreadable(deeper).find("too deep") != std::string::npos);
    std::string bomb(1'000'000, '[');
    CHECK(unreadable(bomb).find("too deep") != std::string::npos);
}

TEST_CASE("what could not be read again is not written") {
    order bad;
    bad.items.resize(2);
    bad.items[1].price = std::nan("");
    CHECK(unwritable(bad) == R"(member "items[1].price": NaN is no JSON)");
    bad.items[1].price = -std::numeric_limits<double>::infinity();
    CHECK(unwritable(bad) == R"(member "items[1].price": infinity is no JSON)");
    bad.items[1].price = 0;
    bad.items[1].kind = static_cast<size>(9);
    CHECK(unwritable(bad) == R"(member "items[1].kind": its value has no name)");
    bad.items.clear();
    bad.any = {1, std::nan("")};
    CHECK(unwritable(bad) == R"(member "any[1]": NaN is no JSON)");
    bad.any = nullptr;
    bad.options["\xff"] = 1;
    CHECK(unwritable(bad) == R"(member "options": a string that is not UTF-8)");
}

TEST_CASE("text that is not UTF-8 is not written") {
    order bad;
    for (const auto* text :
         {"\xff", "a\xc3", "\xc0\xaf", "\xe2\x82", "\xed\xa0\x80", "\xf5\x80\x80\x80", "\x80",
          "\xe0\x80\x80", "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xc3("}) {
        CAPTURE(text);
        bad.name = text;
        CHECK(unwritable(bad) == R"(member "name": a string that is not UTF-8)");
    }
}

TEST_CASE("a time outside of the calendar is not written") {
    const std::chrono::sys_seconds beyond = std::chrono::sys_days(10'000y / 1 / 1);
    for (const auto when :
         {beyond, std::chrono::sys_seconds::max(), std::chrono::sys_seconds::min(),
          std::chrono::sys_seconds(std::chrono::sys_days(0y / 1 / 1)) - 1s}) {
        CHECK(sentence([&] { to_text(distant{when}); }) ==
              R"(member "when": a time outside of the years 0 to 9999)");
    }
    CHECK(sentence([&] {
              to_text(distant{{}, std::chrono::duration<std::uint64_t>(UINT64_MAX)});
          }) == R"(member "wait": a duration of more than 2^63 seconds)");
}

TEST_CASE("what JSON holds beyond 32 levels is not written") {
    order deep;
    boost::json::value any = boost::json::array();
    for (int i = 1; i < 31; ++i) {
        any = boost::json::array{any};
    }
    deep.any = any;
    CHECK(from_text<order>(to_text(deep)).any == any);
    deep.any = boost::json::array{any};
    CHECK(unwritable(deep).ends_with("nested deeper than 32 objects and arrays"));
}
