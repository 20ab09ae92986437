// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "http/request_reader.hpp"

#include "support/catch.hpp"

#include <array>
#include <string>

namespace {

using postlude::http::status;
using postlude::http::detail::request_reader;

/// What a request with this chunked body is refused with, if it comes in pieces of that size.
std::optional<status> refusal_of(std::string_view body, std::size_t piece) {
    const std::string bytes =
        "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n" + std::string(body);
    request_reader reader(8'192, 1'000'000);
    boost::beast::flat_buffer in;
    std::array<char, 1'000> to;
    for (std::string_view rest = bytes; !rest.empty();) {
        const auto some = rest.substr(0, piece);
        rest.remove_prefix(some.size());
        in.commit(boost::asio::buffer_copy(in.prepare(some.size()), boost::asio::buffer(some)));
        if (!reader.head_done()) {
            reader.read_head(in);
        }
        while (reader.head_done() && reader.read_body(in, boost::asio::buffer(to)) != 0) {
        }
    }
    return reader.refusal();
}

}  // namespace

TEST_CASE("what comes first, a bad byte or one too many, decides however a body is cut") {
    const std::string longest(4'096, 'x');
    const auto chunk = std::string("1;").append(4'000, 'x').append("\r\nx\r\n");
    const std::string chunks = chunk + chunk + chunk + chunk;
    struct {
        std::string body;
        std::optional<status> refusal;
    } const cases[] = {
        {"5;\x01" + longest, status::bad_request},
        {"5;" + longest + "\x01", status::request_header_fields_too_large},
        {"5;" + longest + "\r\n", status::request_header_fields_too_large},
        {"5\x01;" + longest + "\r\n", status::bad_request},
        {chunks + "1;\x01" + longest, status::bad_request},
        {chunks + "1;" + std::string(1'000, 'x') + "\x01\r\n",
         status::request_header_fields_too_large},
        {chunks + "0\r\n\r\n", std::nullopt},
    };
    for (const auto& c : cases) {
        for (const std::size_t piece : {1U, 7U, 100'000U}) {
            INFO(c.body.substr(0, 5) << " in pieces of " << piece);
            CHECK(refusal_of(c.body, piece) == c.refusal);
        }
    }
}
