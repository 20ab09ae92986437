// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/jobs/arguments.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include <vector>

namespace postlude {

namespace {

using paths = std::vector<std::string_view>;

/// What is left of the paths behind this member; one of them is empty where it is secret itself.
paths behind(const paths& secret, std::string_view member) {
    paths left;
    for (const auto path : secret) {
        if (path == member) {
            left.emplace_back();
        } else if (path.starts_with(member) && path[member.size()] == '.') {
            left.push_back(path.substr(member.size() + 1));
        }
    }
    return left;
}

bool names_all_of_it(const paths& secret) {
    for (const auto path : secret) {
        if (path.empty()) {
            return true;
        }
    }
    return false;
}

void redact(boost::json::value& value, const paths& secret) {
    if (secret.empty()) {
        return;
    }
    auto* object = value.if_object();
    auto* array = value.if_array();
    if ((!object && !array) || names_all_of_it(secret)) {
        value = "[secret]";
    } else if (object) {
        for (auto& [key, member] : *object) {
            redact(member, behind(secret, key));
        }
    } else {
        for (auto& item : *array) {
            redact(item, secret);
        }
    }
}

}  // namespace

std::string redacted(std::string_view text, std::span<const std::string_view> secret) try {
    const detail::argument_document document(text);
    paths named;
    for (const auto path : secret) {
        if (!path.empty()) {
            named.push_back(path);
        }
    }
    auto value = document.root();
    redact(value, named);
    std::string made;
    detail::append_json(made, value, detail::argument_path());
    return made;
} catch (const arguments_error&) {
    return "[unreadable]";
}

}  // namespace postlude
