// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "http/request_reader.hpp"

#include <boost/beast/http/parser.hpp>

#include <algorithm>
#include <limits>

namespace postlude::http::detail {

namespace beast_http = boost::beast::http;

namespace {

std::string_view view(const boost::beast::flat_buffer& in) noexcept {
    return {static_cast<const char*>(in.data().data()), in.size()};
}

}  // namespace

void request_reader::read_head(boost::beast::flat_buffer& in) {
    if (!scanner_.has_line()) {
        // RFC 9112, section 2.2: empty lines before a request line are passed over.
        while (view(in).starts_with("\r\n")) {
            in.consume(2);
            skipped_ += 2;
        }
    }
    if (skipped_ > header_limit_) {
        refusal_ = status::bad_request;
        return;
    }
    const auto bytes = view(in);
    if (bytes == "\r") {
        return;
    }
    const auto size = scanner_.scan(bytes.substr(0, header_limit_));
    if (scanner_.bad()) {
        refusal_ = status::bad_request;
    } else if (size != 0) {
        parse(bytes.substr(0, size));
        in.consume(size);
        head_done_ = !refusal_;
    } else if (bytes.size() >= header_limit_) {
        refusal_ =
            scanner_.has_line() ? status::request_header_fields_too_large : status::uri_too_long;
    }
}

void request_reader::parse(std::string_view head) {
    refusal_ = check_request_line(head.substr(0, head.find('\r')));
    if (refusal_) {
        return;
    }
    request::message plain;
    if (read_plain_head(head, plain)) {
        keep_alive_ = true;
        head_ = request(std::move(plain));
        return;
    }
    beast_http::request_parser<beast_http::string_body> parser;
    parser.header_limit(std::numeric_limits<std::uint32_t>::max());
    parser.body_limit(boost::none);
    boost::system::error_code ec;
    parser.put(boost::asio::buffer(head), ec);
    if ((ec && ec != beast_http::error::need_more) || !parser.is_header_done()) {
        refusal_ = status::bad_request;
        return;
    }
    keep_alive_ = parser.keep_alive();
    facts_ = check_head(parser.get());
    refusal_ = facts_.refusal;
    head_ = request(parser.release());
}

void request_reader::check_length() noexcept {
    if (facts_.length > body_limit_) {
        refusal_ = status::payload_too_large;
    }
}

std::size_t request_reader::read_body(boost::beast::flat_buffer& in,
                                      boost::asio::mutable_buffer to) {
    check_length();
    if (refusal_) {
        return 0;
    }
    std::size_t n = 0;
    if (facts_.chunked) {
        n = chunks_.read(in, to);
        if (chunks_.bad()) {
            refusal_ =
                chunks_.too_large() ? status::request_header_fields_too_large : status::bad_request;
        }
    } else {
        n = static_cast<std::size_t>(
            std::min<std::uint64_t>({facts_.length - body_size_, in.size(), to.size()}));
        n = boost::asio::buffer_copy(to, in.data(), n);
        in.consume(n);
    }
    body_size_ += n;
    if (body_size_ > body_limit_ || chunks_.announced() > body_limit_ - body_size_) {
        refusal_ = status::payload_too_large;
    }
    return n;
}

}  // namespace postlude::http::detail
