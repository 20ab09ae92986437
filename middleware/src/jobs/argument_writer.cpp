// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/jobs/detail/argument_writer.hpp"

#include "core/utf8.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace postlude::detail {

namespace {

bool stands_for_itself(char c) noexcept {
    const auto byte = static_cast<unsigned char>(c);
    return byte >= ' ' && byte < 0x80 && c != '"' && c != '\\';
}

void append_escaped(std::string& to, char c) {
    switch (c) {
    case '"': to += "\\\""; return;
    case '\\': to += "\\\\"; return;
    case '\b': to += "\\b"; return;
    case '\f': to += "\\f"; return;
    case '\n': to += "\\n"; return;
    case '\r': to += "\\r"; return;
    case '\t': to += "\\t"; return;
    default: break;
    }
    constexpr std::string_view digits = "0123456789abcdef";
    const auto byte = static_cast<unsigned char>(c);
    to += "\\u00";
    to += digits[byte >> 4];
    to += digits[byte & 15];
}

template <class T>
void append_floating(std::string& to, T value, const argument_path& path) {
    if (!std::isfinite(value)) {
        fail_argument(path, std::isnan(value) ? "NaN is no JSON" : "infinity is no JSON");
    }
    std::array<char, 32> digits;
    const auto* end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
    const std::string_view text(digits.data(), static_cast<std::size_t>(end - digits.data()));
    to += text;
    to += text.find_first_of(".e") == text.npos ? ".0" : "";
}

template <class T>
void append_whole(std::string& to, T value) {
    std::array<char, 24> digits;
    to.append(digits.data(),
              std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr);
}

void append_array(std::string& to, const boost::json::array& array, const argument_path& path) {
    check_depth(path);
    to += '[';
    for (std::size_t i = 0; i < array.size(); ++i) {
        to += i == 0 ? "" : ",";
        append_json(to, array[i], path.item(i));
    }
    to += ']';
}

void append_object(std::string& to, const boost::json::object& object, const argument_path& path) {
    check_depth(path);
    to += '{';
    const char* before = "";
    for (const auto& [key, value] : object) {
        to += before;
        before = ",";
        append_string(to, key, path);
        to += ':';
        append_json(to, value, path.member(key));
    }
    to += '}';
}

}  // namespace

void append_string(std::string& to, std::string_view text, const argument_path& path) {
    to += '"';
    while (!text.empty()) {
        const auto* stop = std::ranges::find_if_not(text, stands_for_itself);
        to.append(text.begin(), stop);
        text.remove_prefix(static_cast<std::size_t>(stop - text.begin()));
        if (text.empty()) {
            break;
        }
        const auto length = utf8_character(text);
        if (length == 0) {
            fail_argument(path, "a string that is not UTF-8");
        }
        if (length == 1) {
            append_escaped(to, text[0]);
        } else {
            to += text.substr(0, length);
        }
        text.remove_prefix(length);
    }
    to += '"';
}

void append_integer(std::string& to, std::int64_t value) { append_whole(to, value); }
void append_integer(std::string& to, std::uint64_t value) { append_whole(to, value); }

void append_double(std::string& to, double value, const argument_path& path) {
    append_floating(to, value, path);
}

void append_double(std::string& to, float value, const argument_path& path) {
    append_floating(to, value, path);
}

void append_json(std::string& to, const boost::json::value& value, const argument_path& path) {
    using boost::json::kind;
    switch (value.kind()) {
    case kind::null: to += "null"; break;
    case kind::bool_: to += value.get_bool() ? "true" : "false"; break;
    case kind::int64: append_integer(to, value.get_int64()); break;
    case kind::uint64: append_integer(to, value.get_uint64()); break;
    case kind::double_: append_double(to, value.get_double(), path); break;
    case kind::string: append_string(to, value.get_string(), path); break;
    case kind::array: append_array(to, value.get_array(), path); break;
    case kind::object: append_object(to, value.get_object(), path); break;
    }
}

void append_sorted(std::string& to, std::vector<std::string>& parts) {
    std::ranges::sort(parts);
    for (std::size_t i = 0; i < parts.size(); ++i) {
        to += i == 0 ? "" : ",";
        to += parts[i];
    }
}

}  // namespace postlude::detail
