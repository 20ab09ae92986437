// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_TESTS_FUZZ_REQUESTS_HPP
#define POSTLUDE_TESTS_FUZZ_REQUESTS_HPP

#include "http/request_reader.hpp"

#include <boost/asio/buffer.hpp>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fuzz {

constexpr std::uint32_t header_limit = 512;
constexpr std::uint64_t body_limit = 1'024;

/// A request as a handler should see it.
struct sent_request {
    std::string method;
    std::string target;
    std::string body;
    bool keep_alive = false;
    bool whole = false;   ///< its body has come, and is none that is refused
    std::size_t end = 0;  ///< of its header, in the bytes
};

struct sent_requests {
    std::vector<sent_request> all;
    bool refused = false;  ///< what comes behind them, or the last one's body
};

/// What is in the bytes, read at one go and without a connection.
inline sent_requests requests_in(std::string_view bytes) {
    sent_requests found;
    boost::beast::flat_buffer in;
    in.commit(boost::asio::buffer_copy(in.prepare(bytes.size()), boost::asio::buffer(bytes)));
    while (in.size() != 0) {
        postlude::http::detail::request_reader reader(header_limit, body_limit);
        reader.read_head(in);
        found.refused = reader.refusal().has_value();
        if (!reader.head_done()) {
            break;
        }
        const auto head = reader.take_head();
        auto& made = found.all.emplace_back();
        made.method = head.method_string();
        made.target = head.target();
        made.keep_alive = reader.keep_alive();
        made.end = bytes.size() - in.size();
        std::array<char, body_limit> to;
        for (;;) {
            const auto n = reader.read_body(in, boost::asio::buffer(to));
            made.body.append(to.data(), n);
            if (n == 0 || reader.refusal()) {
                break;
            }
        }
        found.refused = reader.refusal().has_value();
        made.whole = reader.body_done() && !found.refused;
        if (!made.whole) {
            break;
        }
    }
    return found;
}

}  // namespace fuzz

#endif
