// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "http/request_head.hpp"

#include "support/catch.hpp"

#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include <string>
#include <string_view>

namespace {

namespace beast_http = boost::beast::http;
using postlude::http::request;
using postlude::http::detail::read_plain_head;

std::string with_fields(std::string_view fields) {
    return "GET /a?b=c HTTP/1.1\r\nHost: test:80\r\n" + std::string(fields) + "\r\n";
}

/// All of a request's header, as text.
std::string text_of(const request::message& message) {
    std::string text = std::string(message.method_string()) + "|" + std::string(message.target()) +
                       "|" + std::to_string(message.version()) + "|" +
                       (message.keep_alive() ? "stays" : "closes") + "\n";
    for (const auto& line : message) {
        text += std::string(to_string(line.name())) + "|" + std::string(line.name_string()) + "|" +
                std::string(line.value()) + "\n";
    }
    return text;
}

}  // namespace

TEST_CASE("a plain header is read as Beast's parser reads it") {
    const std::string heads[] = {
        with_fields(""),
        with_fields("Accept: */*\r\nUser-Agent:   a b\t c \t \r\nEmpty:\r\nSpaces: \t \r\n"),
        with_fields("x-own: 1\r\nX-Own: 2\r\nCookie: a=b; c=d:e\r\nAccept: a\r\naccept: b\r\n"),
        with_fields("!#$%&'*+-.^_`|~09azAZ: all of a name\r\n"),
        with_fields("Name: caf\xc3\xa9 \xff :: , \"quoted\"\r\n"),
        "POST /%41/~_-.!$&'()*+,;=:@ HTTP/1.1\r\nhOsT: [::1]\r\n\r\n",
        "OPTIONS / HTTP/1.1\r\nHost:\r\n\r\n",
        "M-SEARCH / HTTP/1.1\r\nHost: test\r\n\r\n",
    };
    for (const auto& head : heads) {
        INFO(head);
        request::message plain;
        REQUIRE(read_plain_head(head, plain));
        beast_http::request_parser<beast_http::string_body> parser;
        boost::system::error_code ec;
        parser.put(boost::asio::buffer(head), ec);
        REQUIRE(!ec);
        CHECK(text_of(plain) == text_of(parser.get()));
    }
}

TEST_CASE("a header that is not plain is left to those who look at all of it") {
    const std::string heads[] = {
        with_fields("Connection: close\r\n"),
        with_fields("Connection: keep-alive\r\n"),
        with_fields("Proxy-Connection: close\r\n"),
        with_fields("CONTENT-LENGTH: 1\r\n"),
        with_fields("Transfer-Encoding: chunked\r\n"),
        with_fields("Upgrade: websocket\r\n"),
        with_fields("Expect: 100-continue\r\n"),
        with_fields("Host: again\r\n"),
        with_fields("No colon\r\n"),
        with_fields("Space : 1\r\n"),
        with_fields(": no name\r\n"),
        with_fields("Na(me: 1\r\n"),
        with_fields("N\xc3\xa4me: 1\r\n"),
        with_fields("No colon\r\nName: 1\r\n"),
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: test\r\n\r\n",
        "GET http://test/ HTTP/1.1\r\nHost: test\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: test\r\n\r\n",
        "GET /a#b HTTP/1.1\r\nHost: test\r\n\r\n",
        "GET /\xc3\xa4 HTTP/1.1\r\nHost: test\r\n\r\n",
        "CONNECT /a HTTP/1.1\r\nHost: test\r\n\r\n",
        "OTHER / HTTP/1.1\r\nHost: test\r\n\r\n",
    };
    for (const auto& head : heads) {
        INFO(head);
        request::message plain;
        CHECK(!read_plain_head(head, plain));
    }
}
