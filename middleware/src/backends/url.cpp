// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/backends/url.hpp"

#include "postlude/core/error.hpp"

#include <boost/system/system_error.hpp>

#include <algorithm>
#include <cctype>

namespace postlude {

namespace {

[[noreturn]] void bad_url(const std::string& why) {
    throw boost::system::system_error(make_error_code(errc::bad_option), why);
}

std::string lower(std::string_view text) {
    std::string result(text);
    std::ranges::transform(result, result.begin(), [](unsigned char c) { return std::tolower(c); });
    return result;
}

/// As RFC 3986 has it.
bool is_scheme(std::string_view name) {
    return !name.empty() && name[0] >= 'a' && name[0] <= 'z' &&
           std::ranges::all_of(name, [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '.' ||
                      c == '-';
           });
}

}  // namespace

std::unique_ptr<backend> backend_from_url(std::string_view url,
                                          std::initializer_list<backend_scheme> schemes) {
    const auto colon = url.find(':');
    // What has no scheme may be a password in the wrong place: it is not shown.
    auto name = colon == url.npos ? std::string() : lower(url.substr(0, colon));
    if (!is_scheme(name)) {
        name.clear();
    }
    std::string examples;
    for (const auto& scheme : schemes) {
        if (std::ranges::find(scheme.names, name) != scheme.names.end()) {
            return scheme.make(url);
        }
        examples.append(examples.empty() ? "" : ", ").append(scheme.example);
    }
    if (name.empty()) {
        bad_url("the job store's URL has no scheme; it begins like one of " + examples);
    }
    bad_url("this program has no job store for a URL that begins with \"" + name + ":\"; it has " +
            examples);
}

std::string without_password(std::string_view url) {
    std::string shown(url);
    const auto hide = [&](std::size_t begin, std::size_t end) {
        shown.replace(begin, end - begin, "***");
    };
    if (const auto slashes = shown.find("://"); slashes != shown.npos) {
        const auto begin = slashes + 3;
        // Passwords that nobody has encoded may hold any of these, so the last @ of all counts.
        const auto at = shown.rfind('@');
        const auto colon = shown.find(':', begin);
        if (at != shown.npos && at >= begin && colon < at) {
            hide(colon + 1, at);
        }
    } else if (const auto end = shown.rfind('@'); end != shown.npos) {
        hide(0, end);  // which part of it the password is, nobody can tell
    }
    for (auto found = shown.find("password="); found != shown.npos;
         found = shown.find("password=", found)) {
        found += 9;
        hide(found, std::min(shown.find_first_of("& ", found), shown.size()));
    }
    return shown;
}

}  // namespace postlude
