// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "http/route_table.hpp"

#include "postlude/core/error.hpp"

#include <boost/system/system_error.hpp>

#include <algorithm>

namespace postlude::http::detail {

namespace {

/// What is between the slashes; "/" has one empty segment.
std::vector<std::string_view> split(std::string_view path) {
    std::vector<std::string_view> segments;
    path.remove_prefix(1);
    for (;;) {
        const auto end = path.find('/');
        segments.push_back(path.substr(0, end));
        if (end == path.npos) {
            return segments;
        }
        path.remove_prefix(end + 1);
    }
}

/// A segment `.` or `..`, also behind a slash that was percent-encoded.
bool has_dots(std::string_view segment) noexcept {
    for (;;) {
        const auto end = segment.find('/');
        const auto part = segment.substr(0, end);
        if (part == "." || part == "..") {
            return true;
        }
        if (end == segment.npos) {
            return false;
        }
        segment.remove_prefix(end + 1);
    }
}

[[noreturn]] void bad_pattern(std::string_view pattern, const char* why) {
    throw boost::system::system_error(errc::bad_option,
                                      "the route '" + std::string(pattern) + "' " + why);
}

/// The name of a segment in braces, without "..."; empty for a literal.
std::string_view name_of(std::string_view pattern, std::string_view segment, bool& rest) {
    rest = false;
    if (segment.find_first_of("{}") == segment.npos) {
        return {};
    }
    if (!segment.starts_with('{') || !segment.ends_with('}')) {
        bad_pattern(pattern, "has braces that do not hold a whole segment");
    }
    auto name = segment.substr(1, segment.size() - 2);
    if (name.ends_with("...")) {
        rest = true;
        name.remove_suffix(3);
    }
    if (name.empty() || name.find_first_of("{}") != name.npos) {
        bad_pattern(pattern, "has a name in braces that is empty or has braces itself");
    }
    return name;
}

template <class Entries>
auto find_method(Entries& entries, verb method) {
    return std::ranges::find(entries, method, &route_entry::method);
}

void list(std::string& allow, std::string_view method) {
    allow += allow.empty() ? "" : ", ";
    allow += method;
}

/// The methods that the entries answer, as Allow has them.
std::string allowed(const std::vector<route_entry>& entries) {
    std::string allow;
    for (const auto& entry : entries) {
        list(allow, to_string(entry.method));
    }
    if (find_method(entries, verb::get) != entries.end() &&
        find_method(entries, verb::head) == entries.end()) {
        list(allow, "HEAD");
    }
    if (find_method(entries, verb::options) == entries.end()) {
        list(allow, "OPTIONS");
    }
    return allow;
}

response no_content(const std::string& allow) {
    response answer(status::no_content, 11);
    answer.set(field::allow, allow);
    return answer;
}

/// Whoever sends that is no client to go on with.
response bad_path() {
    auto answer = text(status::bad_request, "This is no path of this server.\n");
    answer.keep_alive(false);
    return answer;
}

}  // namespace

void route_table::add(verb method, std::string_view pattern, endpoint handler) {
    if (!pattern.starts_with('/')) {
        bad_pattern(pattern, "does not begin with '/'");
    }
    route_entry entry{method, std::string(pattern), {}, std::move(handler)};
    auto* at = &root_;
    auto* into = &at->here;
    const auto segments = split(pattern);
    for (std::size_t i = 0; i < segments.size(); ++i) {
        bool rest = false;
        const auto name = name_of(pattern, segments[i], rest);
        auto literal = percent_decoded(segments[i]);
        if (!literal) {
            bad_pattern(pattern, "has a malformed percent-encoding");
        }
        if (has_dots(*literal)) {
            bad_pattern(pattern, "has a segment '.' or '..', which no request can have");
        }
        if (rest && i + 1 != segments.size()) {
            bad_pattern(pattern, "goes on after '{name...}', which stands for all that follows");
        }
        if (!name.empty()) {
            if (std::ranges::find(entry.names, name) != entry.names.end()) {
                bad_pattern(pattern, "has the same name in braces twice");
            }
            entry.names.emplace_back(name);
        }
        if (rest) {
            into = &at->rest;
            break;
        }
        auto& next = name.empty() ? at->literals[*std::move(literal)] : at->one;
        if (!next) {
            next = std::make_unique<node>();
        }
        at = next.get();
        into = &at->here;
    }
    if (std::ranges::find(all_methods_, method) == all_methods_.end()) {
        all_methods_.push_back(method);
    }
    if (const auto found = find_method(*into, method); found != into->end()) {
        *found = std::move(entry);
    } else {
        into->push_back(std::move(entry));
    }
    // Where the entries are, and their patterns, may have changed.
    literal_paths_.clear();
    const auto note = [this](const node& n, const auto& again) -> void {
        for (const auto& [segment, child] : n.literals) {
            // A path that is written like a pattern with a '%' is, decoded, another one.
            if (segment.find('%') != segment.npos) {
                continue;
            }
            if (!child->here.empty()) {
                literal_paths_[child->here.front().pattern] = &child->here;
            }
            again(*child, again);
        }
    };
    note(root_, note);
}

const route_table::methods* route_table::walk(const node& at, const segments& path, std::size_t i,
                                              std::vector<std::string>& values) {
    if (i == path.size()) {
        return at.here.empty() ? nullptr : &at.here;
    }
    if (const auto child = at.literals.find(path[i]); child != at.literals.end()) {
        if (const auto* found = walk(*child->second, path, i + 1, values)) {
            return found;
        }
    }
    if (at.one && !path[i].empty()) {
        values.push_back(path[i]);
        if (const auto* found = walk(*at.one, path, i + 1, values)) {
            return found;
        }
        values.pop_back();
    }
    if (at.rest.empty()) {
        return nullptr;
    }
    std::string rest = path[i];
    while (++i < path.size()) {
        rest += '/' + path[i];
    }
    values.push_back(std::move(rest));
    return &at.rest;
}

route_match route_table::find(verb method, std::string_view path, route_params& params) const {
    params.clear();
    if (path == "*" && method == verb::options) {
        return {.refusal = no_content(allowed_anywhere())};
    }
    if (!path.starts_with('/')) {
        return {.refusal = bad_path()};
    }
    const methods* found = nullptr;
    std::vector<std::string> values;
    if (const auto literal = literal_paths_.find(path); literal != literal_paths_.end()) {
        found = literal->second;
    } else {
        segments decoded;
        for (const auto segment : split(path)) {
            auto text = percent_decoded(segment);
            if (!text || has_dots(*text)) {
                return {.refusal = bad_path()};
            }
            decoded.push_back(*std::move(text));
        }
        found = walk(root_, decoded, 0, values);
    }
    if (!found) {
        return {.refusal = text(status::not_found, "There is nothing at this path.\n")};
    }
    auto entry = find_method(*found, method);
    if (entry == found->end() && method == verb::head) {
        entry = find_method(*found, verb::get);
    }
    if (entry == found->end()) {
        const auto allow = allowed(*found);
        if (method == verb::options) {
            return {.refusal = no_content(allow)};
        }
        auto refusal = text(status::method_not_allowed, "This path takes " + allow + ".\n");
        refusal.set(field::allow, allow);
        return {.refusal = std::move(refusal)};
    }
    for (std::size_t i = 0; i < values.size(); ++i) {
        params.emplace_back(entry->names[i], std::move(values[i]));
    }
    return {.entry = &*entry};
}

std::string route_table::allowed_anywhere() const {
    std::vector<route_entry> entries;
    entries.reserve(all_methods_.size());
    for (const auto method : all_methods_) {
        entries.push_back({method, {}, {}, {}});
    }
    return allowed(entries);
}

}  // namespace postlude::http::detail
