// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
// Any bytes as the arguments of a job that has a member of every type. What is read must come back
// from what is written of it, and a secret must not be in what is shown.
#include "postlude/core/error.hpp"
#include "postlude/jobs/arguments.hpp"
#include "postlude/jobs/traits.hpp"

#include "check.hpp"

#include <boost/describe/class.hpp>
#include <boost/describe/enum.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace {

namespace chrono = std::chrono;

enum class colour { red, green };
BOOST_DESCRIBE_ENUM(colour, red, green)
enum class level : std::int8_t {};

struct card {
    std::string number;
    std::uint16_t pin = 0;
    bool operator==(const card&) const = default;
};
BOOST_DESCRIBE_STRUCT(card, (), (number, pin))

struct base {
    std::string token;
    bool b = true;
    bool operator==(const base&) const = default;
};
BOOST_DESCRIBE_STRUCT(base, (), (token, b))

struct every : base {
    std::int8_t i8 = 1;
    std::uint8_t u8 = 2;
    std::int64_t i64 = 3;
    std::uint64_t u64 = 4;
    float f = 5;
    double d = 6;
    std::string s = "s";
    colour c = colour::green;
    level l{};
    std::optional<int> o = 7;
    std::vector<card> cards;
    std::vector<bool> bits;
    std::array<int, 2> two{};
    std::pair<int, std::string> pair;
    std::tuple<bool, std::optional<card>> tuple;
    std::set<std::string> set;
    std::unordered_set<int> bag;
    std::map<std::string, card> map;
    std::unordered_map<std::string, double> hash;
    chrono::sys_time<chrono::nanoseconds> ns{};
    chrono::sys_seconds sec{};
    chrono::sys_days day{};
    chrono::nanoseconds short_span{};
    chrono::hours long_span{};
    boost::json::value any;
    std::vector<every> more;
    bool operator==(const every&) const = default;

    static constexpr std::array<std::string_view, 6> secret{
        "token", "cards.number", "tuple.number", "map.k.number", "more.token", ""};
};
BOOST_DESCRIBE_STRUCT(every, (base),
                      (i8, u8, i64, u64, f, d, s, c, l, o, cards, bits, two, pair, tuple, set, bag,
                       map, hash, ns, sec, day, short_span, long_span, any, more))

constexpr std::string_view mark = "TOPSECRET";

/// Puts a string into every secret member that there is.
void mark_secrets(every& value, std::string_view text) {
    value.token = text;
    for (auto& c : value.cards) {
        c.number = text;
    }
    if (auto& c = std::get<1>(value.tuple)) {
        c->number = text;
    }
    if (const auto found = value.map.find("k"); found != value.map.end()) {
        found->second.number = text;
    }
    for (auto& inner : value.more) {
        inner.token = text;
    }
}

void check_redacted(every value, std::string_view input) {
    mark_secrets(value, "");
    const auto without = postlude::to_text(value);
    mark_secrets(value, mark);
    const auto shown = postlude::redacted(postlude::to_text(value), every::secret);
    fuzz::check(shown != "[unreadable]", "what was written is not shown", input);
    // It may be elsewhere, where it is no secret.
    fuzz::check(without.find(mark) != without.npos || shown.find(mark) == shown.npos,
                "a secret is shown", input);
}

/// Nothing for what the arguments can't be read from.
std::optional<every> read(std::string_view text) {
    try {
        return postlude::from_text<every>(text);
    } catch (const postlude::arguments_error& e) {
        const std::string_view what = e.what();
        fuzz::check(e.code() == postlude::errc::bad_arguments, "another code", text);
        fuzz::check(what.starts_with("member \"") || what.starts_with("the arguments: "),
                    "an error that names no member", text);
        fuzz::check(what.size() < 1000, "an error without end", text);
        return std::nullopt;
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view input(reinterpret_cast<const char*>(data), size);
    const auto value = read(input);
    const auto shown = postlude::redacted(input, every::secret);
    if (!value) {
        return 0;
    }
    fuzz::check(shown != "[unreadable]", "what can be read is not shown", input);
    const auto text = postlude::to_text(*value);
    const auto again = read(text);
    fuzz::check(again.has_value(), "what was written is not read", text);
    fuzz::check(*again == *value, "another value came back", text);
    fuzz::check(postlude::to_text(*again) == text, "another text came back", text);
    check_redacted(*value, input);
    return 0;
}
