// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "http/request_head.hpp"

#include <boost/beast/core/string.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace postlude::http::detail {

using boost::beast::iequals;

namespace {

constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

/// Never in a header: controls but the tabulator.
constexpr bool is_control(char c) noexcept {
    const auto byte = static_cast<unsigned char>(c);
    return (byte < 0x20 && c != '\t') || byte == 0x7f;
}

/// tchar of RFC 9110, section 5.6.2.
constexpr auto tchars = [] {
    std::array<bool, 256> is{};
    for (const char c : std::string_view("!#$%&'*+-.^_`|~0123456789"
                                         "abcdefghijklmnopqrstuvwxyz"
                                         "ABCDEFGHIJKLMNOPQRSTUVWXYZ")) {
        is[static_cast<unsigned char>(c)] = true;
    }
    return is;
}();

constexpr bool is_tchar(char c) noexcept { return tchars[static_cast<unsigned char>(c)]; }

std::string_view trimmed(std::string_view value) noexcept {
    const auto is_space = [](char c) { return c == ' ' || c == '\t'; };
    while (!value.empty() && is_space(value.front())) {
        value.remove_prefix(1);
    }
    while (!value.empty() && is_space(value.back())) {
        value.remove_suffix(1);
    }
    return value;
}

/// What can stand in a target; the few that RFC 3986 forbids but browsers send are let through.
constexpr bool is_target(char c) noexcept {
    const auto byte = static_cast<unsigned char>(c);
    return byte > 0x20 && byte < 0x7f && c != '#';
}

bool is_host(std::string_view host) noexcept {
    return std::ranges::all_of(host, [](char c) {
        return is_target(c) &&
               std::string_view("/?@\\<>\"{}|^`,").find(c) == std::string_view::npos;
    });
}

bool is_target_form(verb method, std::string_view target) noexcept {
    if (!std::ranges::all_of(target, is_target)) {
        return false;
    }
    if (target.starts_with('/') || (target == "*" && method == verb::options)) {
        return true;
    }
    const auto scheme = target.find("://");
    const auto name = target.substr(0, scheme);
    return scheme != target.npos && (iequals(name, "http") || iequals(name, "https")) &&
           target.size() > scheme + 3 && target[scheme + 3] != '/' && target[scheme + 3] != '?';
}

/// The fields that matter, each counted.
struct field_counts {
    unsigned hosts = 0;
    unsigned lengths = 0;
    unsigned codings = 0;
    unsigned expectations = 0;
};

}  // namespace

bool head_scanner::good_end(std::string_view bytes, std::size_t lf) noexcept {
    return lf > line_ && bytes[lf - 1] == '\r';
}

std::size_t head_scanner::scan(std::string_view bytes) noexcept {
    for (; seen_ != bytes.size(); ++seen_) {
        const char c = bytes[seen_];
        if (!is_control(c)) [[likely]] {
            const bool folded = seen_ == line_ && (c == ' ' || c == '\t');
            // What cannot begin a request is not waited for to end.
            bad_ =
                folded || (seen_ == 0 && !is_tchar(c)) || (seen_ != 0 && bytes[seen_ - 1] == '\r');
            // Those that follow are within the line, so nothing else can be wrong with them.
            while (seen_ + 1 != bytes.size() && !is_control(bytes[seen_ + 1])) {
                ++seen_;
            }
        } else if (c == '\n') {
            bad_ = !good_end(bytes, seen_);
            if (!bad_ && seen_ == line_ + 1) {
                return ++seen_;
            }
            line_ = seen_ + 1;
            ++lines_;
        } else {
            bad_ = c != '\r' || seen_ == 0 || bytes[seen_ - 1] == '\r';
        }
        if (bad_) {
            return 0;
        }
    }
    return 0;
}

std::optional<status> check_request_line(std::string_view line) noexcept {
    const auto first = line.find(' ');
    const auto second = first == line.npos ? first : line.find(' ', first + 1);
    if (second == line.npos || first == 0 || second == first + 1 ||
        !std::ranges::all_of(line.substr(0, first), is_tchar)) {
        return status::bad_request;
    }
    const auto version = line.substr(second + 1);
    if (version.size() != 8 || !version.starts_with("HTTP/") || !is_digit(version[5]) ||
        version[6] != '.' || !is_digit(version[7])) {
        return status::bad_request;
    }
    if (version != "HTTP/1.1" && version != "HTTP/1.0") {
        return status::http_version_not_supported;
    }
    return std::nullopt;
}

bool read_plain_head(std::string_view head, request::message& into) {
    const auto line = head.substr(0, head.find('\r'));
    const auto first = line.find(' ');
    const auto second = line.find(' ', first + 1);
    const auto target = line.substr(first + 1, second - first - 1);
    const auto method = boost::beast::http::string_to_verb(line.substr(0, first));
    if (method == verb::unknown || method == verb::connect || !line.ends_with(" HTTP/1.1") ||
        !target.starts_with('/') || !is_target_form(method, target)) {
        return false;
    }
    bool host = false;
    for (auto rest = head.substr(line.size() + 2); rest.front() != '\r';) {
        const auto end = rest.find('\r');
        const auto colon = rest.find(':');
        if (colon >= end) {
            return false;
        }
        const auto name = rest.substr(0, colon);
        const auto value = trimmed(rest.substr(colon + 1, end - colon - 1));
        rest.remove_prefix(end + 2);
        if (name.empty() || !std::ranges::all_of(name, is_tchar)) {
            return false;
        }
        const auto known = boost::beast::http::string_to_field(name);
        switch (known) {
        case field::host:
            if (std::exchange(host, true) || !is_host(value)) {
                return false;
            }
            break;
        case field::connection:
        case field::content_length:
        case field::expect:
        case field::proxy_connection:
        case field::transfer_encoding:
        case field::upgrade: return false;
        default: break;
        }
        into.insert(known, name, value);
    }
    into.method(method);
    into.target(target);
    into.version(11);
    return host;
}

head_facts check_head(const boost::beast::http::request_header<>& head) noexcept {
    head_facts facts;
    field_counts counts;
    const auto refuse = [&facts](status why) {
        if (!facts.refusal) {
            facts.refusal = why;
        }
    };
    for (const auto& line : head) {
        const std::string_view value = line.value();
        switch (line.name()) {
        case field::host:
            if (++counts.hosts != 1 || !is_host(value)) {
                refuse(status::bad_request);
            }
            break;
        case field::content_length: {
            const auto* const end = value.data() + value.size();
            const auto [stop, error] = std::from_chars(value.data(), end, facts.length);
            if (++counts.lengths != 1 || error != std::errc{} || stop != end) {
                refuse(status::bad_request);
            }
            break;
        }
        case field::transfer_encoding:
            facts.chunked = iequals(value, "chunked");
            if (++counts.codings != 1 || head.version() < 11) {
                refuse(status::bad_request);
            } else if (!facts.chunked) {
                refuse(status::not_implemented);
            }
            break;
        case field::expect:
            facts.expects_continue = iequals(value, "100-continue");
            if (++counts.expectations != 1 || !facts.expects_continue) {
                refuse(status::expectation_failed);
            }
            break;
        default: break;
        }
    }
    if ((counts.hosts == 0 && head.version() >= 11) ||
        (counts.lengths != 0 && counts.codings != 0) ||
        !is_target_form(head.method(), head.target())) {
        facts.refusal = status::bad_request;
    } else if (head.method() == verb::unknown || head.method() == verb::connect) {
        refuse(status::not_implemented);
    }
    // RFC 9110, section 10.1.1: HTTP/1.0 knows no interim response.
    facts.expects_continue = facts.expects_continue && head.version() >= 11;
    return facts;
}

}  // namespace postlude::http::detail
