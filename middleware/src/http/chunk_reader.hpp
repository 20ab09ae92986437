// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_HTTP_CHUNK_READER_HPP
#define POSTLUDE_SRC_HTTP_CHUNK_READER_HPP

#include <boost/asio/buffer.hpp>
#include <boost/beast/core/flat_buffer.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace postlude::http::detail {

/// Takes the chunks off a request's body. RFC 9112, section 7.1.
///
/// Beast's parser has no limit for what is not data, takes a bare LF in an extension, and puts
/// trailer fields among the header's. Here extensions and trailers are checked and dropped, and
/// may take 16 KiB and twice the data's size together; a line at most 4 KiB.
class chunk_reader {
public:
    /// Moves data from the front of `in` to `to`, as much as there is and fits. Returns its size.
    std::size_t read(boost::beast::flat_buffer& in, boost::asio::mutable_buffer to);

    /// Bytes of data that the current chunk has announced and that have not come.
    std::uint64_t announced() const noexcept { return left_; }
    bool done() const noexcept { return now_ == state::done; }
    bool bad() const noexcept { return now_ == state::bad; }
    /// All that is not data takes too much: `bad`, too.
    bool too_large() const noexcept { return too_large_; }

private:
    enum class state : std::uint8_t { size, data, end_of_data, trailer, done, bad };

    /// Collects a line. True when it is whole; its end is not in it.
    bool take_line(boost::beast::flat_buffer& in);
    void line_taken();
    bool begin_chunk(std::string_view line);

    state now_ = state::size;
    bool too_large_ = false;
    std::uint64_t left_ = 0;      ///< of the chunk's data
    std::uint64_t data_ = 0;      ///< in all
    std::uint64_t overhead_ = 0;  ///< in all
    std::string line_;
};

}  // namespace postlude::http::detail

#endif
