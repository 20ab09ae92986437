// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_HTTP_DETAIL_GENERATOR_HPP
#define POSTLUDE_HTTP_DETAIL_GENERATOR_HPP

#include "postlude/http/detail/body_source.hpp"
#include "postlude/http/detail/chunk_decoder.hpp"
#include "postlude/http/detail/flat.hpp"

#include <boost/beast/http/message_generator.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace postlude::detail {

/// What a message_generator has left when its first bytes are in the flat text.
class generator_source final : public body_source {
public:
    /// @param decoder takes the chunk framing off, where there must be none.
    generator_source(beast_http::message_generator&& generator,
                     const std::optional<chunk_decoder>& decoder)
        : generator_(std::move(generator)), decoder_(decoder), decoded_(std::allocator<char>{}) {}

    void consume(std::size_t n) override;

private:
    void collect(boost::system::error_code& ec) override;
    void decode(boost::system::error_code& ec);

    beast_http::message_generator generator_;
    std::optional<chunk_decoder> decoder_;
    text<std::allocator<char>> decoded_;
    boost::asio::const_buffer unwritten_;  ///< of `decoded_`
};

/// Appends the next bytes that a generator hands out, at most `limit`.
template <class Allocator>
void take(beast_http::message_generator& generator, std::size_t limit, text<Allocator>& out,
          boost::system::error_code& ec) {
    const auto buffers = generator.prepare(ec);
    // A generator that has come to its end still shows the buffers of the time before.
    if (ec || generator.is_done()) {
        return;
    }
    const auto n = std::min(boost::asio::buffer_size(buffers), limit);
    out.reserve(n + framing::max_additions);
    out.append(buffers, n);
    generator.consume(n);
}

/// Reads the header that a response's text begins with, and returns its size; 0 when the text ends
/// before it. Where there is no status to go by it is 500, since the handler cannot be said to have
/// succeeded.
std::size_t read_header(std::string_view text, response_facts& facts) noexcept;

/// The text of a header as `framing` wants it.
std::string edited(std::string_view header, const framing& framing);

/// A generator whose length only its end can tell is read ahead so far, in search of that end:
/// to find it saves the connection, which is worth more than a copy.
inline constexpr std::size_t read_ahead_limit = 64 * 1024;

/// Appends a generator's header, and of its body as much as is small. Returns the header's size;
/// 0 on an error before its end.
template <class Allocator>
std::size_t gather(beast_http::message_generator& generator, text<Allocator>& out,
                   response_facts& facts, boost::system::error_code& ec) {
    std::size_t header = 0;
    facts.status = 500;
    while (header == 0 && !generator.is_done() && !ec) {
        take(generator, flat_body_limit, out, ec);
        header = read_header(out.view(), facts);
    }
    const bool tells_length = facts.has_length || facts.chunked;
    const auto end = header + (tells_length ? flat_body_limit : read_ahead_limit);
    while (out.size() < end && !generator.is_done() && !ec) {
        take(generator, end - out.size(), out, ec);
    }
    return header;
}

}  // namespace postlude::detail

#endif
