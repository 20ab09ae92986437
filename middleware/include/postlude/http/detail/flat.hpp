// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_HTTP_DETAIL_FLAT_HPP
#define POSTLUDE_HTTP_DETAIL_FLAT_HPP

#include "postlude/http/detail/framing.hpp"
#include "postlude/http/detail/text.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/serializer.hpp>

namespace postlude::detail {

/// A body of at most this many bytes leaves in one buffer with its header. Up to here a copy costs
/// no more than gathering buffers does (bench/respond.cpp; 6 % less at 13 bytes). At 16 KiB the
/// allocator begins to give memory back to the system after each response, and take it again.
inline constexpr std::size_t flat_body_limit = 4 * 1024;

/// Constant where the body's writer can do with that.
template <class Body, class Fields>
using writable_response = typename beast_http::serializer<false, Body, Fields>::value_type;

/// "HTTP/1.1 200 OK" and the line's end.
template <class Allocator>
void append_status_line(text<Allocator>& out, unsigned version, unsigned status,
                        std::string_view reason) noexcept {
    const auto digit = [](unsigned n) { return static_cast<char>('0' + n % 10); };
    out.append("HTTP/");
    out.append(digit(version / 10));
    out.append('.');
    out.append(digit(version));
    out.append(' ');
    out.append(digit(status / 100));
    out.append(digit(status / 10));
    out.append(digit(status));
    out.append(' ');
    out.append(reason);
    out.append("\r\n");
}
inline constexpr std::size_t status_line_size = sizeof("HTTP/1.1 200 \r\n") - 1;

/// Appends a body's bytes, for which there is room. Fewer or more of them than `size` are an error:
/// the header has told the client how many there are.
template <class Body, class Fields, class Allocator>
void append_body(writable_response<Body, Fields>& response, std::uint64_t size,
                 text<Allocator>& out, boost::system::error_code& ec) {
    typename Body::writer writer(response.base(), response.body());
    writer.init(ec);
    for (bool more = true; more && !ec;) {
        auto part = writer.get(ec);
        if (ec || !part) {
            break;
        }
        more = part->second;
        const auto n = boost::asio::buffer_size(part->first);
        if (n > size) {
            ec = beast_http::error::bad_content_length;
            return;
        }
        out.append(part->first, n);
        size -= n;
    }
    if (!ec && size != 0) {
        ec = beast_http::error::bad_content_length;
    }
}

/// Appends the header as `framing` wants it, and makes room for as many bytes of a body.
/// @param fields_size from `facts_of`.
/// @param extra further lines, each with its end; for `basic_fields` only.
template <class Body, class Fields, class Allocator>
void append_header(beast_http::response<Body, Fields>& response, const framing& framing,
                   std::size_t fields_size, std::size_t body_size, text<Allocator>& out,
                   std::string_view extra = {}) {
    if constexpr (is_basic_fields<Fields>) {
        const std::string_view reason = response.reason();
        std::array<char, framing::max_additions> buffer;
        const auto additions = framing.additions(buffer);
        out.reserve(status_line_size + reason.size() + fields_size + additions.size() + 2 +
                    extra.size() + body_size);
        append_status_line(out, response.version(), response.result_int(), reason);
        for (const auto& field : response.base()) {
            const std::string_view value = field.value();
            if (response_facts::interests(field.name()) && framing.drops(field.name(), value)) {
                continue;
            }
            out.append(field.name_string());
            out.append(": ");
            out.append(value);
            out.append("\r\n");
        }
        out.append(additions);
        out.append(extra);
        out.append("\r\n");
    } else {
        apply(framing, response);
        typename Fields::writer writer(response.base(), response.version(), response.result_int());
        const auto header = writer.get();
        const auto size = boost::asio::buffer_size(header);
        out.reserve(size + body_size);
        out.append(header, size);
    }
}

}  // namespace postlude::detail

#endif
