// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/rabbitmq/address.hpp"

#include "backends/rabbitmq/failure.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

namespace postlude::detail::rabbitmq {

namespace {

constexpr std::size_t longest_prefix = 60;
constexpr std::string_view form = "amqp://user:password@host:5672/vhost";

[[noreturn]] void refuse_url(const address& a, std::string_view why) {
    fail(errc::bad_option, a.shown, why);
}

template <class Number>
std::optional<Number> number(std::string_view text) {
    Number value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc() && end == text.data() + text.size() ? std::optional(value)
                                                                    : std::nullopt;
}

std::string decoded(const address& a, std::string_view text) {
    std::string result;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            result.push_back(text[i]);
            continue;
        }
        unsigned value = 0;
        const auto digits = text.substr(i + 1, 2);
        const auto [end, error] =
            std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
        if (digits.size() != 2 || error != std::errc() || end != digits.data() + 2 || value == 0) {
            refuse_url(a,
                       "a % in the URL has to be followed by two hexadecimal digits; write %25 "
                       "for the character itself");
        }
        result.push_back(static_cast<char>(value));
        i += 2;
    }
    return result;
}

std::chrono::milliseconds milliseconds_of(const address& a, std::string_view name,
                                          std::string_view value) {
    const auto found = number<std::uint32_t>(value);
    if (!found) {
        refuse_url(
            a,
            std::string("the parameter ").append(name).append(" takes a number of milliseconds"));
    }
    return std::chrono::milliseconds(*found);
}

void read_parameter(address& a, std::string_view text) {
    const auto equals = std::min(text.find('='), text.size());
    const auto name = text.substr(0, equals);
    const auto value = decoded(a, text.substr(std::min(equals + 1, text.size())));
    auto& o = a.options;
    if (name == "prefix") {
        o.prefix = value;
    } else if (name == "timeout") {
        o.timeout = milliseconds_of(a, name, value);
    } else if (name == "poll") {
        o.poll = milliseconds_of(a, name, value);
    } else if (name == "ca_file") {
        o.ca_file = value;
    } else if (name == "verify" && (value == "true" || value == "false")) {
        o.verify = value == "true";
    } else {
        refuse_url(a,
                   "its parameters are prefix, timeout, poll, ca_file, and verify=true or "
                   "verify=false; another one is there");
    }
}

/// user:password@host:port, all of it but the host optional.
void read_authority(address& a, std::string_view text) {
    a.user = a.password = "guest";
    if (const auto at = text.rfind('@'); at != text.npos) {
        const auto who = text.substr(0, at);
        const auto colon = std::min(who.find(':'), who.size());
        a.user = decoded(a, who.substr(0, colon));
        a.password = decoded(a, who.substr(std::min(colon + 1, who.size())));
        text.remove_prefix(at + 1);
    }
    const auto bracket = text.find(']');
    auto colon = text.find(':', bracket == text.npos ? 0 : bracket);
    colon = std::min(colon, text.size());
    a.host = decoded(a, text.substr(0, colon));
    if (a.host.starts_with('[') && a.host.ends_with(']')) {
        a.host = a.host.substr(1, a.host.size() - 2);
    }
    a.port = a.tls ? 5671 : 5672;
    if (colon != text.size()) {
        a.port = number<std::uint16_t>(text.substr(colon + 1)).value_or(0);
    }
    if (a.host.empty() || a.port == 0) {
        refuse_url(a, std::string("the URL names no host, or no port from 1 to 65535; it has the "
                                  "form ")
                          .append(form));
    }
}

void check_options(const address& a) {
    const auto& o = a.options;
    const auto good = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '_' || c == '-';
    };
    using namespace std::chrono_literals;
    if (o.prefix.empty() || o.prefix.size() > longest_prefix ||
        !std::ranges::all_of(o.prefix, good)) {
        refuse_url(a, "the prefix takes 1 to 60 letters, digits, _ and -");
    }
    if (o.timeout < 100ms || o.timeout > 10min) {
        refuse_url(a, "the timeout takes 100 ms to 10 min");
    }
    if (o.poll < 1ms || o.poll > 1h) {
        refuse_url(a, "poll takes 1 ms to 1 h");
    }
}

}  // namespace

address read_address(rabbitmq_options options) {
    address a;
    a.options = std::move(options);
    a.shown = without_password(a.options.url);
    std::string_view rest = a.options.url;
    const auto slashes = std::min(rest.find("://"), rest.size());
    std::string scheme(rest.substr(0, slashes));
    std::ranges::transform(scheme, scheme.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    if (slashes == rest.size() || (scheme != "amqp" && scheme != "amqps")) {
        refuse_url(a, std::string("the URL has the form ").append(form).append(", or amqps://..."));
    }
    a.tls = scheme == "amqps";
    const std::string text(rest.substr(slashes + 3));  // the options change below
    rest = text;
    // A password that nobody has encoded may hold any of these.
    const auto host = rest.rfind('@') == rest.npos ? 0 : rest.rfind('@');
    const auto question = std::min(rest.find('?', host), rest.size());
    auto parameters = rest.substr(std::min(question + 1, rest.size()));
    rest = rest.substr(0, question);
    const auto slash = std::min(rest.find('/', host), rest.size());
    read_authority(a, rest.substr(0, slash));
    const auto path = rest.substr(std::min(slash + 1, rest.size()));
    if (path.find('/') != path.npos && path != "/") {
        refuse_url(a, "a / in the virtual host's name is written %2F");
    }
    a.vhost = path.empty() ? "/" : decoded(a, path);
    while (!parameters.empty()) {
        const auto end = std::min(parameters.find('&'), parameters.size());
        read_parameter(a, parameters.substr(0, end));
        parameters.remove_prefix(std::min(end + 1, parameters.size()));
    }
    check_options(a);
    return a;
}

}  // namespace postlude::detail::rabbitmq
