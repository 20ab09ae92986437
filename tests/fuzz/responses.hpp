// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_TESTS_FUZZ_RESPONSES_HPP
#define POSTLUDE_TESTS_FUZZ_RESPONSES_HPP

#include "check.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <string_view>

namespace fuzz {

struct received_response {
    unsigned status = 0;
    std::optional<std::string> connection{};
    std::string body{};
    bool closes = false;  ///< the body ends with the connection
    bool whole = true;    ///< nothing of it is missing
};

/// Takes responses off the bytes that a client has received, and nothing that RFC 9112 does not
/// let a server send. What is cut off counts as such; all else that is wrong ends the process.
class response_reader {
public:
    explicit response_reader(std::string_view bytes) noexcept : all_(bytes), rest_(bytes) {}

    bool done() const noexcept { return rest_.empty(); }
    std::string_view rest() const noexcept { return rest_; }

    /// @param head it answers a HEAD.
    received_response next(bool head) {
        received_response made;
        const auto header_end = rest_.find("\r\n\r\n");
        if (header_end == rest_.npos) {
            rest_ = {};
            made.whole = false;
            return made;
        }
        read_status(made);
        facts f;
        for (auto field = line(); !field.empty(); field = line()) {
            read_field(field, made, f);
        }
        read_body(made, f, head);
        return made;
    }

private:
    struct facts {
        std::optional<std::size_t> length{};
        bool chunked = false;
        unsigned ids = 0;
        unsigned dates = 0;
    };

    void require(bool holds, const char* what) const { check(holds, what, all_); }

    std::string_view line() {
        const auto end = rest_.find("\r\n");
        require(end != rest_.npos, "a line has no end");
        const auto found = rest_.substr(0, end);
        rest_.remove_prefix(end + 2);
        require(std::ranges::all_of(found, [](char c) { return c >= ' ' && c != 0x7f; }),
                "a byte that is no visible ASCII in a header");
        return found;
    }

    static bool is_number(std::string_view s) {
        return !s.empty() && std::ranges::all_of(s, [](char c) { return c >= '0' && c <= '9'; });
    }

    void read_status(received_response& made) {
        const auto status = line();
        require(status.starts_with("HTTP/1.1 ") && status.size() >= 13 && status[12] == ' ' &&
                    is_number(status.substr(9, 3)),
                "no status line");
        std::from_chars(status.data() + 9, status.data() + 12, made.status);
        require(made.status >= 100 && made.status < 600, "no status");
    }

    void read_field(std::string_view field, received_response& made, facts& f) {
        const auto colon = field.find(": ");
        require(colon != field.npos && colon != 0 && field.find(' ') > colon, "no field");
        const auto name = field.substr(0, colon);
        const auto value = field.substr(colon + 2);
        if (name == "Content-Length") {
            require(!f.length && is_number(value), "a wrong Content-Length");
            std::from_chars(value.data(), value.data() + value.size(), f.length.emplace());
        } else if (name == "Transfer-Encoding") {
            require(!f.chunked && value == "chunked", "a wrong Transfer-Encoding");
            f.chunked = true;
        } else if (name == "Connection") {
            require(!made.connection, "Connection twice");
            made.connection = value;
        } else if (name == "X-Request-Id") {
            require(++f.ids == 1, "X-Request-Id twice");
        } else if (name == "Date") {
            require(++f.dates == 1, "Date twice");
        }
    }

    void read_body(received_response& made, const facts& f, bool head) {
        const bool none = made.status < 200 || made.status == 204;
        require(!(f.length && f.chunked), "two framings");
        require(!none || (!f.length && !f.chunked), "a body where none may be");
        require(made.status < 200 || (f.ids == 1 && f.dates == 1), "no X-Request-Id, or no Date");
        if (none || head || made.status == 304) {
            return;
        }
        if (f.chunked) {
            read_chunks(made);
        } else {
            made.closes = !f.length;
            made.whole = take(f.length.value_or(rest_.size()), made.body);
        }
    }

    bool take(std::size_t n, std::string& to) {
        const auto some = rest_.substr(0, n);
        to += some;
        rest_.remove_prefix(some.size());
        return some.size() == n;
    }

    void read_chunks(received_response& made) {
        for (std::size_t size = 1; size != 0;) {
            const auto end = rest_.find("\r\n");
            made.whole = end != rest_.npos;
            if (!made.whole) {
                rest_ = {};
                return;
            }
            const auto digits = line();
            const auto [stop, error] =
                std::from_chars(digits.data(), digits.data() + digits.size(), size, 16);
            require(error == std::errc{} && stop == digits.data() + digits.size(), "no chunk");
            std::string crlf;
            made.whole = take(size, made.body) && take(2, crlf);
            if (!made.whole) {
                return;
            }
            require(crlf == "\r\n", "a chunk's end is elsewhere");
        }
    }

    std::string_view all_;
    std::string_view rest_;
};

}  // namespace fuzz

#endif
