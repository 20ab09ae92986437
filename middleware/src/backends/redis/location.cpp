// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/redis/location.hpp"

#include <boost/system/system_error.hpp>

#include <algorithm>
#include <charconv>
#include <optional>

namespace postlude::detail::redis {

namespace {

constexpr std::string_view form = "redis://user:password@host:6379/0?prefix=postlude";

/// Cut off at the first of these, which is left out; nothing when there is none.
std::optional<std::string_view> cut_after(std::string_view& text, std::string_view any_of) {
    const auto at = text.find_first_of(any_of);
    if (at == text.npos) {
        return std::nullopt;
    }
    const auto rest = text.substr(at + 1);
    text = text.substr(0, at);
    return rest;
}

template <class Number>
std::optional<Number> number(std::string_view text, Number least, Number most) {
    Number value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const auto whole = error == std::errc() && end == text.data() + text.size();
    return whole && value >= least && value <= most ? std::optional(value) : std::nullopt;
}

std::optional<std::string> decoded(std::string_view text) {
    std::string result;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            result += text[i];
            continue;
        }
        unsigned value = 0;
        const auto* const begin = text.data() + i + 1;
        if (text.size() - i < 3 || std::from_chars(begin, begin + 2, value, 16).ptr != begin + 2) {
            return std::nullopt;
        }
        result += static_cast<char>(value);
        i += 2;
    }
    return result;
}

class url_reader {
public:
    url_reader(const redis_options& options, location& into)
        : url_(options.url), to_(into), prefix_(options.prefix) {}

    void read() {
        auto rest = std::string_view(url_);
        const auto scheme = rest.substr(0, std::min(rest.find("://"), rest.size()));
        std::string name(scheme);
        std::ranges::transform(name, name.begin(),
                               [](char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; });
        to_.tls = name == "rediss";
        if ((name != "redis" && !to_.tls) || scheme.size() == rest.size()) {
            refuse("does not begin with redis:// or rediss://");
        }
        rest.remove_prefix(scheme.size() + 3);
        read_user(rest);
        const auto parameters = cut_after(rest, "?");
        read_database(cut_after(rest, "/"));
        read_host(rest);
        if (parameters) {
            read_parameters(*parameters);
        }
        read_prefix();
    }

private:
    [[noreturn]] void refuse(std::string_view why) const {
        std::string text = "the job store's URL ";
        text.append(to_.shown).append(" ").append(why).append("; it has the form ").append(form);
        throw boost::system::system_error(make_error_code(errc::bad_option), text);
    }
    std::string decode(std::string_view text, std::string_view what) const {
        auto result = decoded(text);
        if (!result) {
            refuse(std::string(what).append(" has a % that no two hexadecimal digits follow"));
        }
        return std::move(*result);
    }

    void read_user(std::string_view& rest) {
        // An @ may stand in a parameter as well.
        const auto at = rest.substr(0, rest.find_first_of("/?")).rfind('@');
        if (at == rest.npos) {
            if (rest.find('@') != rest.npos && rest.find('@') < rest.find('?')) {
                refuse("has a / or ? in its password, which is written as %2F or %3F");
            }
            return;
        }
        auto user = rest.substr(0, at);
        const auto password = cut_after(user, ":");
        rest.remove_prefix(at + 1);
        if (!password || password->empty()) {
            // It may be the password: it is not shown.
            to_.shown = to_.tls ? "rediss://***@" : "redis://***@";
            refuse("has a user without a password (a password alone is :password@)");
        }
        to_.user = decode(user, "has a user that");
        to_.password = decode(*password, "has a password that");
    }
    void read_database(std::optional<std::string_view> text) {
        if (text && !text->empty()) {
            const auto found = number<unsigned>(*text, 0, 1'000'000);
            if (!found) {
                refuse("has a database that is no number");
            }
            to_.database = *found;
        }
    }
    void read_host(std::string_view text) {
        if (text.starts_with('[')) {
            text.remove_prefix(1);
            const auto rest = cut_after(text, "]");
            if (!rest || (!rest->empty() && !rest->starts_with(':'))) {
                refuse("has a [ before its host and no ] after it");
            }
            to_.host = text;
            read_port(rest->empty() ? std::nullopt : std::optional(rest->substr(1)));
        } else {
            const auto port = cut_after(text, ":");
            to_.host = decode(text, "has a host that");
            read_port(port);
        }
        if (to_.host.empty()) {
            refuse("names no host");
        }
    }
    void read_port(std::optional<std::string_view> text) {
        if (text) {
            if (!number<unsigned>(*text, 1, 65'535)) {
                refuse("has a port that is no number from 1 to 65535");
            }
            to_.port = *text;
        }
    }
    void read_parameters(std::string_view all) {
        for (auto more = std::optional(all); more;) {
            auto name = *more;
            more = cut_after(name, "&");
            const auto value = decode(cut_after(name, "=").value_or(""), "has a parameter that");
            if (name == "prefix") {
                prefix_ = value;
            } else if (name == "ca_file") {
                to_.ca_file = value;
            } else if (name == "timeout") {
                const auto time = number<unsigned>(value, 1, 3'600'000);
                if (!time) {
                    refuse("has a timeout that is no number of milliseconds");
                }
                to_.timeout = std::chrono::milliseconds(*time);
            } else if (all.find('@') != all.npos) {
                // It may be a password: it is not shown.
                refuse("has a / or ? in its password, which is written as %2F or %3F");
            } else {
                refuse(std::string("has a parameter \"")
                           .append(name)
                           .append("\" that is none of prefix, ca_file and timeout"));
            }
        }
    }
    void read_prefix() {
        if (prefix_.empty() || prefix_.find_first_of("{}") != prefix_.npos) {
            refuse("has a prefix that is empty or has braces, which are put around it anyway");
        }
        // In braces, so that a cluster keeps all keys in one place: scripts need that.
        to_.base = std::string("{").append(prefix_).append("}:");
    }

    std::string url_;
    location& to_;
    std::string prefix_;
};

struct meaning {
    std::string_view begins;
    errc code;
    std::string_view means;
};

constexpr meaning meanings[] = {
    {"WRONGPASS", errc::bad_store, "it does not take this user and password; correct the URL"},
    {"NOAUTH", errc::bad_store,
     "it wants a password; name it in the URL: redis://:password@host, or user:password@host"},
    {"LOADING", errc::store_unavailable, "the server is reading its data; it needs a moment"},
    {"READONLY", errc::store_unavailable,
     "the server has become a replica; a later try may find the new primary"},
    {"MASTERDOWN", errc::store_unavailable, "the server has no connection to its primary"},
    {"MISCONF", errc::store_unavailable,
     "the server can't write to its disk; free some space there"},
    {"OOM", errc::store_unavailable,
     "the server's memory is full (maxmemory); make room there or allow it more"},
    {"BUSY", errc::store_unavailable, "the server is busy with somebody's long script"},
    {"NOREPLICAS", errc::store_unavailable, "the server has too few replicas to accept writes"},
    {"MOVED", errc::bad_store,
     "this node of the cluster does not hold the keys; name the node that does"},
    {"ASK", errc::store_unavailable, "the cluster is moving the keys to another node"},
    {"CLUSTERDOWN", errc::store_unavailable, "the cluster is down"},
    {"TRYAGAIN", errc::store_unavailable, "the cluster is moving the keys to another node"},
    {"ERR max number of clients", errc::store_unavailable,
     "the server has no room for another connection (maxclients)"},
    {"ERR DB index is out of range", errc::bad_store,
     "the server has no database of that number; correct the URL"},
};

}  // namespace

location::location(const redis_options& options)
    : ca_file(options.ca_file),
      verify(options.verify_certificate),
      timeout(options.timeout),
      shown(without_password(options.url)) {
    url_reader(options, *this).read();
    if (timeout < std::chrono::milliseconds(1) || timeout > std::chrono::hours(1)) {
        throw boost::system::system_error(make_error_code(errc::bad_option),
                                          "redis_options::timeout takes 1 ms to 1 h");
    }
    if (options.poll < std::chrono::milliseconds(1)) {
        throw boost::system::system_error(make_error_code(errc::bad_option),
                                          "redis_options::poll takes a millisecond at least");
    }
}

void location::fail(errc code, std::string_view why) const {
    std::string text = "the job store ";
    text.append(shown).append(": ").append(why);
    throw boost::system::system_error(make_error_code(code), text);
}

void location::refuse(std::string_view error) const {
    for (const auto& m : meanings) {
        if (error.starts_with(m.begins)) {
            fail(m.code, m.means);
        }
    }
    if (error.starts_with("NOPERM") || error.find("The user executing the script") != error.npos) {
        fail(errc::bad_store, std::string("its user may not do what the store needs (")
                                  .append(error)
                                  .append("); see the permissions in Postlude's DESIGN.md"));
    }
    if (error.starts_with("WRONGTYPE")) {
        fail(errc::bad_store,
             "another program's data is under its keys; give one of the two another prefix");
    }
    fail(errc::bad_store, std::string("the server answered: ").append(error));
}

}  // namespace postlude::detail::redis
