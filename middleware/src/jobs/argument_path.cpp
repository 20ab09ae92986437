// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/jobs/detail/argument_path.hpp"

#include "postlude/jobs/arguments.hpp"
#include "postlude/jobs/detail/argument_writer.hpp"

#include <boost/json/kind.hpp>
#include <boost/json/value.hpp>

#include <algorithm>
#include <vector>

namespace postlude::detail {

namespace {

constexpr std::size_t longest_name = 64;
constexpr std::size_t longest_path = 256;

std::string_view name_of(boost::json::kind found) noexcept {
    using boost::json::kind;
    switch (found) {
    case kind::null: return "null";
    case kind::bool_: return "a boolean";
    case kind::int64:
    case kind::uint64:
    case kind::double_: return "a number";
    case kind::string: return "a string";
    case kind::array: return "an array";
    case kind::object: return "an object";
    }
    return "something else";
}

/// A map's key may be anything; what is not plain in a line of a log is left out.
void append_name_part(std::string& to, std::string_view name) {
    for (const char c : name.substr(0, longest_name)) {
        to += c < ' ' || c > '~' || c == '"' || c == '\\' ? '?' : c;
    }
    to += name.size() > longest_name ? "..." : "";
}

}  // namespace

argument_path::description argument_path::describe() const {
    std::vector<const argument_path*> parts;
    const auto* root = this;
    for (; root->parent_; root = root->parent_) {
        parts.push_back(root);
    }
    std::string dotted;
    std::string text;
    for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
        if ((*part)->is_item_) {
            text += '[';
            append_integer(text, std::uint64_t{(*part)->index_});
            text += ']';
            continue;
        }
        dotted += dotted.empty() ? "" : ".";
        dotted += (*part)->name_;
        text += text.empty() ? "" : ".";
        append_name_part(text, (*part)->name_);
        if (std::ranges::find(root->secret_, dotted) != root->secret_.end()) {
            return {text.insert(0, "member \"").append("\""), true};
        }
    }
    if (text.empty()) {
        return {"the arguments", false};
    }
    if (text.size() > longest_path) {
        text.resize(longest_path);
        text += "...";
    }
    return {text.insert(0, "member \"").append("\""), false};
}

void fail_argument(const argument_path& path, std::string_view sentence) {
    throw arguments_error(path.describe().text.append(": ").append(sentence));
}

void fail_kind(const argument_path& path, std::string_view expected,
               const boost::json::value& found) {
    std::string sentence = "expected ";
    sentence += expected;
    sentence += ", found ";
    sentence += name_of(found.kind());
    fail_argument(path, sentence);
}

void fail_string(const argument_path& path, std::string_view expected) {
    std::string sentence = "expected ";
    sentence += expected;
    sentence += ", found another string";
    fail_argument(path, sentence);
}

void fail_number(const argument_path& path, std::string_view expected,
                 const boost::json::value& found) {
    std::string sentence = "expected ";
    sentence += expected;
    sentence += ", found ";
    if (path.describe().secret) {
        sentence += "another";
    } else {
        append_json(sentence, found, path);
    }
    fail_argument(path, sentence);
}

void check_depth(const argument_path& path) {
    if (path.depth() >= most_argument_depth) {
        fail_argument(path, "nested deeper than 32 objects and arrays");
    }
}

}  // namespace postlude::detail
