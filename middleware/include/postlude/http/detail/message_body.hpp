// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_HTTP_DETAIL_MESSAGE_BODY_HPP
#define POSTLUDE_HTTP_DETAIL_MESSAGE_BODY_HPP

#include "postlude/http/detail/body_source.hpp"
#include "postlude/http/detail/flat.hpp"

#include <boost/optional.hpp>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

namespace postlude::detail {

/// A message's body, as its writer hands it out, in chunks where the framing says so. Beast's
/// serializer would make a chunk of an empty piece, and that ends the body.
/// @tparam Response a reference to the message, or it itself.
template <class Response, class Body, class Fields>
class message_body final : public body_source {
public:
    /// @param size of the body as the client is told; none where it is not.
    template <class R>
    message_body(R&& response, bool chunked, std::optional<std::uint64_t> size)
        : response_(std::forward<R>(response)),
          writer_(writable().base(), writable().body()),
          chunked_(chunked),
          left_(size) {}

    void consume(std::size_t n) override { written_ += n; }

private:
    using writer = typename Body::writer;

    void collect(boost::system::error_code& ec) override {
        while (written_ == part_size_ && !ended_ && !ec) {
            next_part(ec);
        }
        if (ec) {
            return;
        }
        auto skip = written_;
        const auto add_rest = [&](boost::asio::const_buffer piece) {
            const auto n = std::min(skip, piece.size());
            skip -= n;
            add(piece + n);
        };
        add_rest(boost::asio::buffer(head_));
        if (part_) {
            const auto end = boost::asio::buffer_sequence_end(*part_);
            for (auto it = boost::asio::buffer_sequence_begin(*part_); it != end; ++it) {
                if (full()) {
                    return;
                }
                add_rest(*it);
            }
        }
        if (!full()) {
            add_rest(boost::asio::buffer(tail_));
        }
    }

    /// Gets the next part of the body, or its end, with the chunk framing around it.
    void next_part(boost::system::error_code& ec) {
        if (!std::exchange(begun_, true)) {
            writer_.init(ec);
            if (ec) {
                return;
            }
        }
        auto next = writer_.get(ec);
        if (ec) {
            return;
        }
        ended_ = !next || !next->second;
        const auto n = next ? boost::asio::buffer_size(next->first) : 0;
        if (left_) {
            if (n > *left_ || (ended_ && n != *left_)) {
                ec = beast_http::error::bad_content_length;
                return;
            }
            *left_ -= n;
        }
        part_.reset();
        if (n != 0) {
            part_.emplace(std::move(next->first));
        }
        frame(n);
    }

    void frame(std::size_t n) {
        head_ = tail_ = {};
        if (chunked_ && n != 0) {
            auto* end = std::to_chars(size_line_.data(), size_line_.data() + 16, n, 16).ptr;
            *end++ = '\r';
            *end++ = '\n';
            head_ = {size_line_.data(), end};
            tail_ = ended_ ? "\r\n0\r\n\r\n" : "\r\n";
        } else if (chunked_ && ended_) {
            tail_ = "0\r\n\r\n";
        }
        part_size_ = head_.size() + n + tail_.size();
        written_ = 0;
    }

    writable_response<Body, Fields>& writable() noexcept { return response_; }

    Response response_;
    writer writer_;
    const bool chunked_;
    std::optional<std::uint64_t> left_;
    bool begun_ = false;
    bool ended_ = false;
    boost::optional<typename writer::const_buffers_type> part_;
    std::string_view head_;
    std::string_view tail_;
    std::size_t part_size_ = 0;  ///< with head and tail
    std::size_t written_ = 0;    ///< of it
    std::array<char, 18> size_line_;
};

}  // namespace postlude::detail

#endif
