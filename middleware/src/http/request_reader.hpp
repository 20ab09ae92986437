// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_HTTP_REQUEST_READER_HPP
#define POSTLUDE_SRC_HTTP_REQUEST_READER_HPP

#include "http/chunk_reader.hpp"
#include "http/request_head.hpp"
#include "postlude/http/message.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/beast/core/flat_buffer.hpp>

#include <cstdint>
#include <optional>

namespace postlude::http::detail {

/// Makes one request of the bytes of a connection: first the header, then the body piece by piece.
/// Knows nothing of sockets. What is malformed or too large ends it with a status to answer.
class request_reader {
public:
    /// @param header_limit bytes, request line included.
    request_reader(std::uint32_t header_limit, std::uint64_t body_limit) noexcept
        : header_limit_(header_limit), body_limit_(body_limit) {}

    /// Takes the header from the front of `in` once it is there whole. Call it again with more
    /// bytes while `head_done` and `refusal` say nothing.
    void read_head(boost::beast::flat_buffer& in);
    bool head_done() const noexcept { return head_done_; }

    /// The request without its body; after `head_done`, once.
    request take_head() noexcept { return std::move(head_); }
    bool keep_alive() const noexcept { return keep_alive_; }

    void limit_body(std::uint64_t bytes) noexcept { body_limit_ = bytes; }
    /// Sees whether a body of that length is taken at all; else there is a `refusal`.
    void check_length() noexcept;
    /// The client waits to be told to send the body; said once.
    bool take_expectation() noexcept {
        return std::exchange(facts_.expects_continue, false) && !body_done() && body_size_ == 0;
    }
    bool has_body() const noexcept { return facts_.chunked || facts_.length != 0; }

    /// Moves a piece of the body from the front of `in` to `to`; returns its size. With 0, and
    /// neither `body_done` nor `refusal`, more bytes are needed.
    std::size_t read_body(boost::beast::flat_buffer& in, boost::asio::mutable_buffer to);
    bool body_done() const noexcept {
        return facts_.chunked ? chunks_.done() : body_size_ == facts_.length;
    }

    /// What to answer instead of the request's own response, as the connection's last.
    std::optional<status> refusal() const noexcept { return refusal_; }

private:
    void parse(std::string_view head);

    std::uint32_t header_limit_;
    std::uint64_t body_limit_;
    std::uint32_t skipped_ = 0;  ///< bytes of empty lines before the header
    head_scanner scanner_;
    head_facts facts_;
    chunk_reader chunks_;
    request head_;
    std::optional<status> refusal_;
    std::uint64_t body_size_ = 0;
    bool head_done_ = false;
    bool keep_alive_ = false;
};

}  // namespace postlude::http::detail

#endif
