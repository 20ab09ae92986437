// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/jobs/arguments.hpp"

#include "support/catch.hpp"

#include <boost/describe/class.hpp>
#include <boost/describe/enum.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <limits>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using postlude::from_text;
using postlude::to_text;

namespace {

namespace json = boost::json;
namespace chrono = std::chrono;

/// One member of any type, so that each type is tried alone.
template <class T>
struct holder {
    T v{};
    friend bool operator==(const holder&, const holder&) = default;
    BOOST_DESCRIBE_CLASS(holder, (), (v), (), ())
};

template <class T>
std::string text_of(const T& value) {
    const auto text = to_text(holder<T>{value});
    REQUIRE(text.starts_with("{\"v\":"));
    return text.substr(5, text.size() - 6);
}

template <class T>
T read(std::string_view text) {
    return from_text<holder<T>>(std::string("{\"v\":").append(text).append("}")).v;
}

/// The text, and that it is read as the same value.
template <class T>
std::string round_trip(const T& value) {
    auto text = text_of(value);
    CHECK(read<T>(text) == value);
    // What Boost.JSON understands is JSON.
    CHECK_NOTHROW(json::parse(text));
    return text;
}

template <class T>
void check_extremes() {
    using limits = std::numeric_limits<T>;
    CHECK(round_trip(limits::min()) == std::to_string(limits::min()));
    CHECK(round_trip(limits::max()) == std::to_string(limits::max()));
    CHECK(round_trip(T(0)) == "0");
}

enum class colour { red, green = 7, blue };
BOOST_DESCRIBE_ENUM(colour, red, green, blue)
enum class level : std::int8_t { low = -3, high = 120 };
enum class letter : char { a = 'a' };
enum class answer : bool { no, yes };
enum plain { plain_one = 1 };

struct point {
    int x = 1;
    int y = 2;
    friend bool operator==(const point&, const point&) = default;
};
BOOST_DESCRIBE_STRUCT(point, (), (x, y))

struct named {
    std::string name;
    friend bool operator==(const named&, const named&) = default;
};
BOOST_DESCRIBE_STRUCT(named, (), (name))

struct place : point, named {
    std::string street;
    friend bool operator==(const place&, const place&) = default;
};
BOOST_DESCRIBE_STRUCT(place, (point, named), (street))

class closed {
public:
    explicit closed(int inner = 0) : inner_(inner) {}
    friend bool operator==(const closed&, const closed&) = default;

private:
    int inner_;
    static inline int count = 0;
    BOOST_DESCRIBE_CLASS(closed, (), (), (), (inner_, count))
};

struct tree {
    std::vector<tree> children;
    friend bool operator==(const tree&, const tree&) = default;
};
BOOST_DESCRIBE_STRUCT(tree, (), (children))

struct empty {};
BOOST_DESCRIBE_STRUCT(empty, (), ())

tree nested_tree(std::size_t depth) {
    tree made;
    for (std::size_t i = 1; i < depth; ++i) {
        tree outer;
        outer.children.push_back(std::move(made));
        made = std::move(outer);
    }
    return made;
}

using nanoseconds_time = chrono::sys_time<chrono::nanoseconds>;

}  // namespace

TEST_CASE("integers of all sizes come back, with their extremes") {
    check_extremes<std::int8_t>();
    check_extremes<std::uint8_t>();
    check_extremes<short>();
    check_extremes<unsigned short>();
    check_extremes<int>();
    check_extremes<unsigned>();
    check_extremes<long>();
    check_extremes<unsigned long>();
    check_extremes<long long>();
    check_extremes<unsigned long long>();
}

TEST_CASE("booleans come back, in vectors as well") {
    CHECK(round_trip(true) == "true");
    CHECK(round_trip(false) == "false");
    CHECK(round_trip(std::vector<bool>{true, false}) == "[true,false]");
}

TEST_CASE("doubles come back exactly, by their fewest digits") {
    CHECK(round_trip(0.1) == "0.1");
    CHECK(round_trip(-1.5) == "-1.5");
    CHECK(round_trip(3.0) == "3.0");
    CHECK(round_trip(1e300) == "1e+300");
    CHECK(round_trip(5e-324) == "5e-324");
    round_trip(std::numeric_limits<double>::max());
    round_trip(std::numeric_limits<double>::min());
    round_trip(-std::numeric_limits<double>::denorm_min());
    // Those that Boost.JSON 1.81 alone reads as a neighbour.
    for (const double d : {2.2250738585072011e-308, 9007199254740993e10, 1.7976931348623157e308,
                           0.3000000000000000444, 123456789.123456789e-20, 8.988465674311581e307}) {
        round_trip(d);
        round_trip(-d);
    }
    std::uint64_t bits = 1;
    for (int i = 0; i < 2000; ++i) {
        bits = bits * 6364136223846793005U + 1442695040888963407U;
        const auto d = std::bit_cast<double>(bits);
        if (std::isfinite(d)) {
            CAPTURE(d);
            round_trip(d);
        }
    }
}

TEST_CASE("a negative zero keeps its sign") {
    CHECK(text_of(-0.0) == "-0.0");
    CHECK(std::signbit(read<double>("-0.0")));
}

TEST_CASE("floats come back by the digits of a float") {
    CHECK(round_trip(0.1F) == "0.1");
    CHECK(round_trip(16777216.0F) == "16777216.0");
    round_trip(std::numeric_limits<float>::max());
    round_trip(std::numeric_limits<float>::denorm_min());
    std::uint32_t bits = 1;
    for (int i = 0; i < 2000; ++i) {
        bits = bits * 1664525U + 1013904223U;
        const auto f = std::bit_cast<float>(bits);
        if (std::isfinite(f)) {
            CAPTURE(f);
            round_trip(f);
        }
    }
}

TEST_CASE("strings come back whatever is in them") {
    CHECK(round_trip(std::string()) == R"("")");
    CHECK(round_trip(std::string(R"(a"b\c/d)")) == R"("a\"b\\c/d")");
    CHECK(round_trip(std::string("\b\f\n\r\t")) == R"("\b\f\n\r\t")");
    CHECK(round_trip(std::string("a\0b", 3)) == R"("a\u0000b")");
    CHECK(round_trip(std::string("\x1f\x7f")) == "\"\\u001f\x7f\"");
    CHECK(round_trip(std::string("Gr\u00fc\u00dfe \u20ac \U0001F680")) ==
          "\"Gr\u00fc\u00dfe \u20ac \U0001F680\"");
    std::string all;
    for (char c = 1; c > 0; ++c) {
        all += c;
    }
    round_trip(all);
    round_trip(std::string(100'000, '"'));
}

TEST_CASE("escapes are read, surrogate pairs as well") {
    CHECK(read<std::string>(R"("\u0041\/\ud83d\ude80")") == "A/\U0001F680");
}

TEST_CASE("a described enum is the name of its enumerator, another one its number") {
    CHECK(round_trip(colour::green) == R"("green")");
    CHECK(round_trip(std::vector{colour::red, colour::blue}) == R"(["red","blue"])");
    CHECK(round_trip(level::low) == "-3");
    CHECK(round_trip(letter::a) == "97");
    CHECK(round_trip(answer::yes) == "1");
    CHECK(round_trip(plain_one) == "1");
    CHECK(round_trip(std::byte(200)) == "200");
}

TEST_CASE("an optional is null or its value") {
    CHECK(round_trip(std::optional<int>()) == "null");
    CHECK(round_trip(std::optional(5)) == "5");
    CHECK(round_trip(std::optional(point{3, 4})) == R"({"x":3,"y":4})");
    CHECK(round_trip(std::vector<std::optional<bool>>{true, std::nullopt}) == "[true,null]");
}

TEST_CASE("sequences and sets are arrays") {
    CHECK(round_trip(std::vector<int>()) == "[]");
    CHECK(round_trip(std::vector{1, 2, 3}) == "[1,2,3]");
    CHECK(round_trip(std::deque<std::string>{"a", "b"}) == R"(["a","b"])");
    CHECK(round_trip(std::list{1.5, 2.5}) == "[1.5,2.5]");
    CHECK(round_trip(std::set{3, 1, 2}) == "[1,2,3]");
    CHECK(round_trip(std::multiset{3, 1, 3}) == "[1,3,3]");
    CHECK(round_trip(std::vector<std::vector<int>>{{}, {1}}) == "[[],[1]]");
}

TEST_CASE("arrays, pairs and tuples are arrays of their size") {
    CHECK(round_trip(std::array{1, 2}) == "[1,2]");
    CHECK(round_trip(std::array<int, 0>()) == "[]");
    CHECK(round_trip(std::pair(1, std::string("one"))) == R"([1,"one"])");
    CHECK(round_trip(std::tuple(true, 2, point{})) == R"([true,2,{"x":1,"y":2}])");
    CHECK(round_trip(std::tuple<>()) == "[]");
}

TEST_CASE("maps of strings are objects") {
    CHECK(round_trip(std::map<std::string, int>{{"b", 2}, {"a", 1}, {"", 0}}) ==
          R"({"":0,"a":1,"b":2})");
    CHECK(round_trip(std::map<std::string, std::vector<int>>{{"a\"\n", {1}}}) ==
          R"({"a\"\n":[1]})");
}

TEST_CASE("equal values have equal texts, also where a container has no order") {
    CHECK(round_trip(std::unordered_map<std::string, int>{{"b", 2}, {"a", 1}, {"c", 3}}) ==
          R"({"a":1,"b":2,"c":3})");
    CHECK(round_trip(std::unordered_set<std::string>{"c", "a", "b"}) == R"(["a","b","c"])");
    CHECK(round_trip(std::unordered_map<std::string, int>()) == "{}");
}

TEST_CASE("a struct is an object of its described members, those of its bases first") {
    place p;
    p.x = -1;
    p.name = "here";
    p.street = "there";
    CHECK(round_trip(p) == R"({"x":-1,"y":2,"name":"here","street":"there"})");
    CHECK(to_text(p) == text_of(p));
    CHECK(to_text(empty()) == "{}");
    CHECK(round_trip(closed(5)) == R"({"inner_":5})");
}

TEST_CASE("JSON stays what it is") {
    const auto any =
        json::parse(R"({"z":[1,-2.0,null,true,"\u0000"],"a":{},"u":18446744073709551615})");
    CHECK(round_trip(any) ==
          R"({"z":[1,-2.0,null,true,"\u0000"],"a":{},"u":18446744073709551615})");
    CHECK(round_trip(json::value()) == "null");
    CHECK(round_trip(std::map<std::string, json::value>{{"a", nullptr}}) == R"({"a":null})");
}

TEST_CASE("what is read outlives the text it was read from") {
    json::value any;
    {
        std::string text = R"({"v":{"a":["a text that is longer than what fits in a value"]}})";
        any = from_text<holder<json::value>>(text).v;
        text.assign(text.size(), 'x');
    }
    CHECK(json::serialize(any) == R"({"a":["a text that is longer than what fits in a value"]})");
}

TEST_CASE("times are those of RFC 3339, with as many digits as it takes") {
    const chrono::sys_seconds start = chrono::sys_days(2026y / 11 / 24) + 14h + 30min;
    CHECK(round_trip(start) == R"("2026-11-24T14:30:00Z")");
    CHECK(round_trip(chrono::sys_time<chrono::milliseconds>(start + 250ms)) ==
          R"("2026-11-24T14:30:00.25Z")");
    CHECK(round_trip(nanoseconds_time(start + 1ns)) == R"("2026-11-24T14:30:00.000000001Z")");
    CHECK(round_trip(chrono::sys_days(2026y / 1 / 2)) == R"("2026-01-02T00:00:00Z")");
    CHECK(round_trip(chrono::system_clock::time_point()) == R"("1970-01-01T00:00:00Z")");
}

TEST_CASE("times before 1970, leap days and the ends of the calendar come back") {
    CHECK(round_trip(nanoseconds_time(-1ns)) == R"("1969-12-31T23:59:59.999999999Z")");
    CHECK(round_trip(chrono::sys_time<chrono::milliseconds>(-1500ms)) ==
          R"("1969-12-31T23:59:58.5Z")");
    CHECK(round_trip(chrono::sys_days(2024y / 2 / 29)) == R"("2024-02-29T00:00:00Z")");
    CHECK(round_trip(chrono::sys_days(2000y / 2 / 29)) == R"("2000-02-29T00:00:00Z")");
    CHECK(round_trip(chrono::sys_days(0y / 1 / 1)) == R"("0000-01-01T00:00:00Z")");
    CHECK(round_trip(chrono::sys_days(9999y / 12 / 31) + 86399s) == R"("9999-12-31T23:59:59Z")");
    CHECK(round_trip(nanoseconds_time::min()) == R"("1677-09-21T00:12:43.145224192Z")");
    CHECK(round_trip(nanoseconds_time::max()) == R"("2262-04-11T23:47:16.854775807Z")");
}

TEST_CASE("times are read with any offset and more digits than there are") {
    const chrono::sys_seconds expected = chrono::sys_days(2026y / 11 / 24) + 14h + 30min;
    for (const auto* text : {R"("2026-11-24T16:30:00+02:00")", R"("2026-11-24T09:00:00-05:30")",
                             R"("2026-11-24t14:30:00z")", R"("2026-11-25T00:29:00.9+09:59")",
                             R"("2026-11-24T14:30:00.00000000099999Z")"}) {
        CAPTURE(text);
        CHECK(chrono::floor<chrono::minutes>(read<chrono::sys_seconds>(text)) >= expected - 1min);
        CHECK(read<chrono::sys_seconds>(text) <= expected);
    }
    CHECK(read<chrono::sys_seconds>(R"("2026-11-24T16:30:00+02:00")") == expected);
    CHECK(read<chrono::sys_seconds>(R"("2026-11-24T09:00:00-05:30")") == expected);
    CHECK(read<nanoseconds_time>(R"("1970-01-01T00:00:00.1234567899Z")") ==
          nanoseconds_time(123456789ns));
}

TEST_CASE("what is finer than a type's ticks is rounded down") {
    CHECK(read<chrono::sys_seconds>(R"("1969-12-31T23:59:58.5Z")") == chrono::sys_seconds(-2s));
    CHECK(read<chrono::sys_days>(R"("1969-12-31T23:59:58.5Z")") ==
          chrono::sys_days(-chrono::days(1)));
    CHECK(read<chrono::milliseconds>(R"("0.0019s")") == 1ms);
    CHECK(read<chrono::milliseconds>(R"("-0.0011s")") == -2ms);
    CHECK(read<chrono::hours>(R"("5400s")") == 1h);
}

TEST_CASE("durations are seconds, whatever their unit is") {
    CHECK(round_trip(1500ms) == R"("1.5s")");
    CHECK(round_trip(-250ms) == R"("-0.25s")");
    CHECK(round_trip(-1250ms) == R"("-1.25s")");
    CHECK(round_trip(2h) == R"("7200s")");
    CHECK(round_trip(0s) == R"("0s")");
    CHECK(round_trip(1ns) == R"("0.000000001s")");
    CHECK(round_trip(chrono::days(90)) == R"("7776000s")");
    CHECK(round_trip(chrono::duration<std::uint8_t, std::deci>(255)) == R"("25.5s")");
    CHECK(read<chrono::milliseconds>(text_of(30s)) == 30s);
    CHECK(round_trip(chrono::nanoseconds::min()) == R"("-9223372036.854775808s")");
    CHECK(round_trip(chrono::nanoseconds::max()) == R"("9223372036.854775807s")");
    CHECK(round_trip(chrono::seconds::min()) == R"("-9223372036854775808s")");
    CHECK(round_trip(chrono::seconds::max()) == R"("9223372036854775807s")");
}

TEST_CASE("a whole number may be written as a double, and a double as a whole number") {
    CHECK(read<int>("3.0") == 3);
    CHECK(read<int>("-3e2") == -300);
    CHECK(read<std::uint8_t>("2.55e2") == 255);
    CHECK(read<std::uint64_t>("1.8446744073709549568e19") == 18446744073709549568U);
    CHECK(read<std::int64_t>("-9223372036854775808.0") == std::numeric_limits<std::int64_t>::min());
    CHECK(read<double>("3") == 3.0);
    CHECK(read<double>("18446744073709551615") == 18446744073709551616.0);
    CHECK(read<double>("-5") == -5.0);
    CHECK(read<double>("100000000000000000000000") == 1e23);
    CHECK(read<double>("1e-400") == 0.0);
}

TEST_CASE("arguments may be nested 32 deep, and what is written can be read") {
    // A tree is an object and an array, the last one of which is empty.
    const auto deepest = nested_tree(16);
    CHECK(from_text<tree>(to_text(deepest)) == deepest);
    CHECK_THROWS_AS(to_text(nested_tree(17)), postlude::arguments_error);
    std::string deeper;
    for (int i = 0; i < 17; ++i) {
        deeper.insert(0, R"({"children":[)").append("]}");
    }
    CHECK_THROWS_AS(from_text<tree>(deeper), postlude::arguments_error);
}
