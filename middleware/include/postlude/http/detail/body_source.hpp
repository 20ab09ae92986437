// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_HTTP_DETAIL_BODY_SOURCE_HPP
#define POSTLUDE_HTTP_DETAIL_BODY_SOURCE_HPP

#include <boost/asio/buffer.hpp>
#include <boost/system/error_code.hpp>

#include <array>
#include <span>

namespace postlude::detail {

/// The part of a response that is not in its flat text, piece by piece.
class body_source {
public:
    using buffers = std::span<const boost::asio::const_buffer>;

    body_source() = default;
    body_source(const body_source&) = delete;
    body_source& operator=(const body_source&) = delete;
    virtual ~body_source() = default;

    /// The bytes to write next, after those of `first`; none at the end, nor on an error. They
    /// stay where they are until the next call.
    buffers prepare(boost::asio::const_buffer first, boost::system::error_code& ec) {
        count_ = 0;
        add(first);
        collect(ec);
        return ec ? buffers{} : buffers{pieces_.data(), count_};
    }
    /// So many of them have been written, without those of `first`.
    virtual void consume(std::size_t n) = 0;

protected:
    /// Adds what comes next, as much of it as there is now.
    virtual void collect(boost::system::error_code& ec) = 0;

    bool full() const noexcept { return count_ == pieces_.size(); }
    void add(boost::asio::const_buffer piece) noexcept {
        if (piece.size() != 0) {
            pieces_[count_++] = piece;
        }
    }

private:
    std::size_t count_ = 0;
    std::array<boost::asio::const_buffer, 64> pieces_;  ///< as many as Asio writes at once
};

}  // namespace postlude::detail

#endif
