// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_HTTP_DETAIL_CHUNK_DECODER_HPP
#define POSTLUDE_HTTP_DETAIL_CHUNK_DECODER_HPP

#include <cstddef>
#include <cstdint>

namespace postlude::detail {

/// Takes the chunk framing off a body again, for a client that does not know it. Only for what a
/// serializer of this process made: it does not validate. Format: RFC 9112, section 7.1.
class chunk_decoder {
public:
    /// Moves the body's bytes to the front of the n bytes at p, and returns how many they are.
    std::size_t decode(char* p, std::size_t n) noexcept;

private:
    enum class state : std::uint8_t { size, rest_of_line, data, end_of_data, done };

    state now_ = state::size;
    std::uint64_t left_ = 0;  ///< of the current chunk
};

}  // namespace postlude::detail

#endif
