// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_HTTP_DETAIL_FRAMING_HPP
#define POSTLUDE_HTTP_DETAIL_FRAMING_HPP

#include "postlude/dispatch/request_info.hpp"

#include <boost/beast/http/field.hpp>
#include <boost/beast/http/fields.hpp>
#include <boost/beast/http/message.hpp>

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace postlude::detail {

namespace beast_http = boost::beast::http;

/// What a response says about its own end, as its handler made it.
struct response_facts {
    unsigned status = 200;
    unsigned version = 11;                ///< 10 times HTTP's major and minor, as Beast has it
    std::optional<std::uint64_t> size;    ///< of the body, where it is known
    std::optional<std::uint64_t> length;  ///< the Content-Length, where its value is known
    unsigned lengths = 0;                 ///< how many Content-Length there are
    bool has_length = false;              ///< there is exactly one, a number
    bool has_coding = false;              ///< there is a Transfer-Encoding
    bool chunked = false;                 ///< the last Transfer-Encoding is "chunked"
    bool other_coding = false;            ///< there is one that is not "chunked"
    bool can_chunk = true;                ///< whoever makes the body's bytes can chunk them
    bool says_close = false;
    bool says_keep_alive = false;

    static bool interests(beast_http::field name) noexcept {
        return name == beast_http::field::content_length ||
               name == beast_http::field::transfer_encoding ||
               name == beast_http::field::connection;
    }
    /// Takes one of the fields that matter into account.
    void note(beast_http::field name, std::string_view value) noexcept;

    bool keep_alive() const noexcept {
        return version < 11 ? says_keep_alive && !says_close : !says_close;
    }
    /// Another response to the same request follows.
    bool interim() const noexcept { return status / 100 == 1 && status != 101; }
};

/// How a response is framed for the client that asked. RFC 9112, sections 6 and 9.
struct framing {
    enum class ending : std::uint8_t {
        none,    ///< with its header; it has no length
        as_is,   ///< by the Content-Length that the handler set
        length,  ///< by a Content-Length that is added
        chunked,
        close,  ///< with the connection
    };
    enum class connection : std::uint8_t { as_is, close, keep_alive };

    ending end = ending::none;
    connection persistence = connection::as_is;
    bool body = true;  ///< bytes follow the header
    bool add_chunked = false;
    std::optional<std::uint64_t> length;  ///< that the client is told; none where it is not known

    framing(const response_facts& response, const request_info& request) noexcept;

    /// Whether the handler's fields are not right as they are.
    bool changes(const response_facts& response) const noexcept;

    /// Whether a field that the handler set is left out.
    bool drops(beast_http::field name, std::string_view value) const noexcept;

    /// Field lines to put after the handler's own.
    static constexpr std::size_t max_additions = 80;
    std::string_view additions(std::array<char, max_additions>& buffer) const noexcept;
};

template <class Fields>
inline constexpr bool is_basic_fields = false;
template <class Allocator>
inline constexpr bool is_basic_fields<beast_http::basic_fields<Allocator>> = true;

/// Whether a field or the reason holds what ends its line, so that the rest of it would be another
/// field.
template <class Body, class Fields>
bool has_forged_field(const beast_http::response<Body, Fields>& response) noexcept {
    // Looks at all of it, without a branch: several characters at once.
    const auto ends_line = [](std::string_view s) {
        unsigned found = 0;
        for (const char c : s) {
            found |= unsigned{c == '\r'} | unsigned{c == '\n'} | unsigned{c == '\0'};
        }
        return found != 0;
    };
    if (ends_line(response.reason())) {
        return true;
    }
    if constexpr (is_basic_fields<Fields>) {
        for (const auto& field : response.base()) {
            if (ends_line(field.value()) || ends_line(field.name_string())) {
                return true;
            }
        }
    }
    return false;
}

/// @param fields_size set to the size of the handler's fields as text; to 0 for foreign ones.
template <class Body, class Fields>
response_facts facts_of(const beast_http::response<Body, Fields>& response,
                        std::size_t& fields_size) {
    response_facts facts;
    facts.status = response.result_int();
    facts.version = response.version();
    if (const auto size = response.payload_size()) {
        facts.size = *size;
    }
    fields_size = 0;
    if constexpr (is_basic_fields<Fields>) {
        for (const auto& field : response.base()) {
            fields_size += field.name_string().size() + field.value().size() + 4;
            if (facts.interests(field.name())) {
                facts.note(field.name(), field.value());
            }
        }
    } else {
        facts.has_length = response.has_content_length();
        facts.has_coding = facts.chunked = response.chunked();
        facts.says_close = facts.version >= 11 && !response.keep_alive();
        facts.says_keep_alive = facts.version < 11 && response.keep_alive();
    }
    return facts;
}

/// Changes the message itself, where its fields are not Beast's own and only they know their text.
template <class Body, class Fields>
void apply(const framing& framing, beast_http::response<Body, Fields>& response) {
    switch (framing.end) {
    case framing::ending::none:
    case framing::ending::close: response.chunked(false); break;
    case framing::ending::as_is: break;
    case framing::ending::length: response.content_length(*framing.length); break;
    case framing::ending::chunked: response.chunked(true); break;
    }
    if (framing.persistence != framing::connection::as_is) {
        // Beast spells out only what is not the version's default.
        const bool keep = framing.persistence == framing::connection::keep_alive;
        const auto version = response.version();
        response.version(keep ? 10 : 11);
        response.keep_alive(keep);
        response.version(version);
    }
}

}  // namespace postlude::detail

#endif
