// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
// Routes and a path, against a slow matcher that tries every pattern. The input is lines, each of
// a method ('@' GET, 'A' POST, 'B' HEAD, 'C' OPTIONS) and a pattern; the last one has the path.
#include "http/route_table.hpp"

#include "check.hpp"

#include <boost/system/system_error.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace {

using postlude::http::verb;
using postlude::http::detail::route_params;
using postlude::http::detail::route_table;

struct line {
    verb method;
    std::string_view text;
};

using strings = std::vector<std::string>;

/// How a segment of a pattern matches; the better, the smaller.
enum class kind { literal, one, rest };

struct segment {
    kind how;
    std::string text;  ///< or name
};

struct pattern {
    line from;
    std::vector<segment> segments;

    /// Patterns of one shape differ in their names alone.
    bool same_shape(const pattern& other) const {
        return std::ranges::equal(segments, other.segments, [](const auto& a, const auto& b) {
            return a.how == b.how && (a.how != kind::literal || a.text == b.text);
        });
    }
    bool better_than(const pattern& other) const {
        return std::ranges::lexicographical_compare(segments, other.segments, {}, &segment::how,
                                                    &segment::how);
    }
};

std::vector<line> lines_of(std::string_view input) {
    constexpr std::array methods{verb::get, verb::post, verb::head, verb::options};
    std::vector<line> lines;
    for (;;) {
        const auto end = input.find('\n');
        const auto text = input.substr(0, end);
        if (!text.empty()) {
            lines.push_back(
                {methods[static_cast<unsigned char>(text[0]) % methods.size()], text.substr(1)});
        }
        if (end == input.npos) {
            return lines;
        }
        input.remove_prefix(end + 1);
    }
}

strings split(std::string_view text) {
    strings parts(1);
    for (const char c : text) {
        if (c == '/') {
            parts.emplace_back();
        } else {
            parts.back() += c;
        }
    }
    return parts;
}

int hex(char c) {
    const auto at = std::string_view("0123456789abcdef").find(static_cast<char>(c | 0x20));
    return (c >= '0' && c <= '9') || (c | 0x20) >= 'a' ? static_cast<int>(at) : -1;
}

/// Nothing where it is malformed, has a NUL that was encoded, or a dot segment in any spelling.
std::optional<strings> decoded_segments(std::string_view path) {
    strings all;
    for (const auto& raw : split(path.substr(1))) {
        std::string text;
        for (std::size_t i = 0; i < raw.size(); ++i) {
            if (raw[i] != '%') {
                text += raw[i];
                continue;
            }
            if (raw.size() - i < 3 || hex(raw[i + 1]) < 0 || hex(raw[i + 2]) < 0) {
                return std::nullopt;
            }
            text += static_cast<char>(16 * hex(raw[i + 1]) + hex(raw[i + 2]));
            i += 2;
            if (text.back() == '\0') {
                return std::nullopt;
            }
        }
        for (const auto& part : split(text)) {
            if (part == "." || part == "..") {
                return std::nullopt;
            }
        }
        all.push_back(text);
    }
    return all;
}

pattern parsed(const line& from) {
    pattern made{from, {}};
    for (const auto& part : split(from.text.substr(1))) {
        if (!part.starts_with('{')) {
            // The table has taken it, so that it can be decoded.
            made.segments.push_back({kind::literal, decoded_segments("/" + part)->front()});
        } else if (part.ends_with("...}")) {
            made.segments.push_back({kind::rest, part.substr(1, part.size() - 5)});
        } else {
            made.segments.push_back({kind::one, part.substr(1, part.size() - 2)});
        }
    }
    return made;
}

/// What the braces stand for, if it matches.
std::optional<route_params> match(const pattern& p, const strings& path) {
    route_params values;
    for (std::size_t i = 0; i < p.segments.size(); ++i) {
        const auto& s = p.segments[i];
        if (i >= path.size()) {
            return std::nullopt;
        }
        if (s.how == kind::rest) {
            std::string rest = path[i];
            for (auto j = i + 1; j < path.size(); ++j) {
                rest += "/" + path[j];
            }
            values.emplace_back(s.text, rest);
            return values;
        }
        if (s.how == kind::literal ? s.text != path[i] : path[i].empty()) {
            return std::nullopt;
        }
        if (s.how == kind::one) {
            values.emplace_back(s.text, path[i]);
        }
    }
    return p.segments.size() == path.size() ? std::optional(values) : std::nullopt;
}

/// What the table must find: a status where there is no route.
struct expected {
    unsigned status = 0;
    const pattern* route = nullptr;
};

expected find_slowly(const std::vector<pattern>& patterns, const line& asked) {
    if (asked.text == "*" && asked.method == verb::options) {
        return {204, nullptr};
    }
    if (!asked.text.starts_with('/')) {
        return {400, nullptr};
    }
    const auto path = decoded_segments(asked.text);
    if (!path) {
        return {400, nullptr};
    }
    const pattern* best = nullptr;
    for (const auto& p : patterns) {
        if (match(p, *path) && (!best || p.better_than(*best))) {
            best = &p;
        }
    }
    if (!best) {
        return {404, nullptr};
    }
    const auto of_method = [&](verb method) -> const pattern* {
        const pattern* last = nullptr;
        for (const auto& p : patterns) {
            if (p.same_shape(*best) && p.from.method == method) {
                last = &p;  // a later one replaces the former
            }
        }
        return last;
    };
    const auto* found = of_method(asked.method);
    if (!found && asked.method == verb::head) {
        found = of_method(verb::get);
    }
    if (!found) {
        return {asked.method == verb::options ? 204U : 405U, nullptr};
    }
    return {0, found};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto lines = lines_of({reinterpret_cast<const char*>(data), size});
    if (lines.empty()) {
        return -1;
    }
    route_table table;
    std::vector<pattern> patterns;
    for (std::size_t i = 0; i + 1 < lines.size(); ++i) {
        try {
            table.add(lines[i].method, lines[i].text,
                      [](const postlude::http::request&, postlude::deferred&) {
                          return postlude::http::response();
                      });
        } catch (const boost::system::system_error&) {
            continue;
        }
        patterns.push_back(parsed(lines[i]));
    }
    const auto& asked = lines.back();
    const auto right = find_slowly(patterns, asked);
    route_params params;
    const auto got = table.find(asked.method, asked.text, params);
    if (!right.route) {
        fuzz::check(!got.entry, "a route was found", asked.text);
        fuzz::check(got.refusal && got.refusal->result_int() == right.status, "the wrong status",
                    asked.text);
        return 0;
    }
    fuzz::check(got.entry, "no route was found", asked.text);
    fuzz::check(got.entry->pattern == right.route->from.text &&
                    got.entry->method == right.route->from.method,
                "the wrong route was found", asked.text);
    fuzz::check(params == *match(*right.route, *decoded_segments(asked.text)),
                "the wrong parameters were found", asked.text);
    for (const auto& [name, value] : params) {
        for (const auto& part : split(value)) {
            fuzz::check(part != "." && part != "..", "a dot segment in a parameter", value);
        }
        // One that comes raw is refused before the path is looked at.
        fuzz::check(value.find('\0') == value.npos || asked.text.find('\0') != asked.text.npos,
                    "a NUL in a parameter", value);
    }
    return 0;
}
