// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_TESTS_SUPPORT_RAW_RESPONSES_HPP
#define POSTLUDE_TESTS_SUPPORT_RAW_RESPONSES_HPP

#include <boost/beast/core/string.hpp>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace test {

/// A response as it came. Views into the bytes that it was parsed from.
struct raw_response {
    int status = 0;
    std::vector<std::pair<std::string_view, std::string_view>> fields;
    std::string_view body;

    std::size_t count(std::string_view name) const {
        return static_cast<std::size_t>(std::ranges::count_if(
            fields, [&](const auto& f) { return boost::beast::iequals(f.first, name); }));
    }
    /// The first one's value; empty when there is none.
    std::string_view operator[](std::string_view name) const {
        const auto found = std::ranges::find_if(
            fields, [&](const auto& f) { return boost::beast::iequals(f.first, name); });
        return found == fields.end() ? std::string_view{} : found->second;
    }
};

/// Reads responses out of all the bytes of a connection, and takes nothing that RFC 9112 does not
/// let a server send: no lenience may hide a byte too many. Bodies need a Content-Length.
class raw_responses {
public:
    /// Throws runtime_error with what is wrong, and where.
    static std::vector<raw_response> parse(std::string_view bytes) {
        raw_responses reader(bytes);
        std::vector<raw_response> all;
        while (!reader.rest_.empty()) {
            all.push_back(reader.next());
        }
        return all;
    }

private:
    explicit raw_responses(std::string_view bytes) : all_(bytes), rest_(bytes) {}

    [[noreturn]] void fail(const char* what) const {
        const auto at = all_.size() - rest_.size();
        throw std::runtime_error(std::string(what) + " before byte " + std::to_string(at) + " of " +
                                 std::to_string(all_.size()) + ": " + std::string(all_));
    }

    std::string_view line() {
        const auto end = rest_.find("\r\n");
        if (end == rest_.npos) {
            fail("a line without its end");
        }
        const auto found = rest_.substr(0, end);
        rest_.remove_prefix(end + 2);
        if (std::ranges::any_of(found, [](unsigned char c) { return c < ' ' || c == 0x7f; })) {
            fail("a control character");
        }
        return found;
    }

    static bool is_number(std::string_view s) {
        return !s.empty() && std::ranges::all_of(s, [](char c) { return c >= '0' && c <= '9'; });
    }

    raw_response next() {
        raw_response made;
        const auto status = line();
        const std::string_view version = "HTTP/1.1 ";
        if (!status.starts_with(version) || status.size() < 13 || status[12] != ' ' ||
            !is_number(status.substr(9, 3))) {
            fail("no status line");
        }
        std::from_chars(status.data() + 9, status.data() + 12, made.status);
        for (auto field = line(); !field.empty(); field = line()) {
            const auto colon = field.find(": ");
            if (colon == field.npos || colon == 0 || field.find(' ') < colon) {
                fail("no field");
            }
            made.fields.emplace_back(field.substr(0, colon), field.substr(colon + 2));
        }
        made.body = body_of(made);
        return made;
    }

    std::string_view body_of(const raw_response& head) {
        const bool none = head.status < 200 || head.status == 204 || head.status == 304;
        const auto length = head["Content-Length"];
        if (head.count("Transfer-Encoding") != 0 || head.count("Content-Length") > 1 ||
            (none ? head.status != 304 && head.count("Content-Length") != 0 : !is_number(length))) {
            fail("the wrong framing");
        }
        std::size_t size = 0;
        if (!none) {
            std::from_chars(length.data(), length.data() + length.size(), size);
        }
        if (size > rest_.size()) {
            fail("a body cut off");
        }
        const auto body = rest_.substr(0, size);
        rest_.remove_prefix(size);
        return body;
    }

    std::string_view all_;
    std::string_view rest_;
};

}  // namespace test

#endif
