// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/http/respond.hpp"

#include "support/catch.hpp"

#include "http/respond_support.hpp"

#include <boost/beast/http/empty_body.hpp>

namespace postlude::test {

namespace {

constexpr request_info get{};
constexpr request_info head{.head = true};
constexpr request_info get10{.http10 = true, .keep_alive = false};
constexpr request_info get10_keep{.http10 = true};
constexpr request_info get_close{.keep_alive = false};

/// Fields that are not Beast's own.
struct foreign_fields : http::fields {};

class wire {
public:
    template <class Body, class Fields>
    sent operator()(way w, const request_info& request, http::response<Body, Fields> response,
                    const stream_options& options = {}) {
        deferred after(dispatcher_, request);
        return send(w, after, std::move(response), options);
    }

private:
    dispatcher dispatcher_{small_pool()};
};

}  // namespace

TEST_CASE("a response without a Content-Length gets the right one, in one write") {
    wire send;
    for (const auto w : all_ways) {
        auto r = text_response("hello");
        r.set(http::field::server, "test");
        const auto s = send(w, get, r);
        CHECK(s.text == "HTTP/1.1 200 OK\r\nServer: test\r\nContent-Length: 5\r\n\r\nhello");
        CHECK(!s.ec);
        CHECK(s.bytes == s.text.size());
        CHECK(s.writes == 1);
    }
}

TEST_CASE("a response that is right is sent as it is") {
    wire send;
    for (const auto w : all_ways) {
        auto r = text_response("hello");
        r.prepare_payload();
        r.set("X-Last", "1");
        CHECK(send(w, get, r).text ==
              "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Last: 1\r\n\r\nhello");
    }
}

TEST_CASE("a wrong, doubled or malformed Content-Length is put right") {
    wire send;
    for (const auto w : all_ways) {
        for (const auto* wrong : {"4", "6", "5, 5", "five", "-5", "5x", ""}) {
            auto r = text_response("hello");
            r.set(http::field::content_length, wrong);
            CHECK(send(w, get, r).text == "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
            r.insert(http::field::content_length, "5");
            CHECK(send(w, get, r).text == "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        }
    }
}

TEST_CASE("Content-Length and Transfer-Encoding never leave together") {
    wire send;
    for (const auto w : {way::lvalue, way::rvalue, way::blocking}) {
        auto r = text_response("hello");
        r.set(http::field::content_length, "5");
        r.set(http::field::transfer_encoding, "chunked");
        CHECK(send(w, get, r).text == "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");

        auto p = pieces_response({"hello"});
        p.set(http::field::content_length, "5");
        p.set(http::field::transfer_encoding, "chunked");
        CHECK(send(w, get, p).text ==
              "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    }
    // A generator has chunked its body already.
    auto r = text_response("hello");
    r.set(http::field::content_length, "5");
    r.set(http::field::transfer_encoding, "chunked");
    CHECK(send(way::generator, get, r).text ==
          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
}

TEST_CASE("the answer to HEAD is the header that GET would have got") {
    wire send;
    for (const auto w : all_ways) {
        const std::string expected = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        const auto s = send(w, head, text_response("hello"));
        CHECK(s.text == expected);
        CHECK(s.bytes == expected.size());
        CHECK(!s.ec);

        // The handler knows the length, and made no body.
        http::response<http::empty_body> empty(http::status::ok, 11);
        empty.content_length(12345);
        CHECK(send(w, head, empty).text == "HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n");

        http::response<http::empty_body> nothing(http::status::found, 11);
        CHECK(send(w, head, nothing).text == "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n");

        auto p = pieces_response({"hello"});
        p.prepare_payload();
        CHECK(send(w, head, p).text == "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");

        auto large = text_response(std::string(100'000, 'x'));
        large.prepare_payload();
        CHECK(send(w, head, large).text == "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");

        http::response<http::string_body, foreign_fields> foreign(http::status::ok, 11);
        foreign.body() = "hello";
        CHECK(send(w, head, foreign).text == expected);
    }
}

TEST_CASE("HEAD of a body that could only end with the connection closes it") {
    wire send;
    for (const auto w : all_ways) {
        auto p = pieces_response({std::string(100'000, 'x')});
        auto request = head;
        request.http10 = true;
        const auto s = send(w, request, p);
        CHECK(s.text == "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        CHECK(s.ec == http::error::end_of_stream);
    }
}

TEST_CASE("204 and interim responses have neither length nor coding nor body") {
    wire send;
    for (const auto w : all_ways) {
        auto r = text_response("hello", 11, 204);
        CHECK(send(w, get, r).text == "HTTP/1.1 204 No Content\r\n\r\n");
        r.set(http::field::content_length, "5");
        CHECK(send(w, get, r).text == "HTTP/1.1 204 No Content\r\n\r\n");
        auto p = pieces_response({"hello"});
        p.result(204);
        p.chunked(true);
        CHECK(send(w, get, p).text == "HTTP/1.1 204 No Content\r\n\r\n");
        CHECK(send(w, get_close, r).text == "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");

        r.result(100);
        CHECK(send(w, get_close, r).text == "HTTP/1.1 100 Continue\r\n\r\n");

        http::response<http::empty_body> switching(http::status::switching_protocols, 11);
        switching.set(http::field::connection, "upgrade");
        switching.set(http::field::upgrade, "websocket");
        switching.prepare_payload();
        CHECK(send(w, get, switching).text ==
              "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n"
              "Upgrade: websocket\r\n\r\n");
    }
}

TEST_CASE("304 has no body, and the Content-Length that the handler set, if any") {
    wire send;
    for (const auto w : all_ways) {
        auto r = text_response("hello", 11, 304);
        CHECK(send(w, get, r).text == "HTTP/1.1 304 Not Modified\r\n\r\n");
        r.set(http::field::content_length, "1234");
        CHECK(send(w, get, r).text == "HTTP/1.1 304 Not Modified\r\nContent-Length: 1234\r\n\r\n");
    }
}

TEST_CASE("a body of unknown length is chunked on HTTP/1.1") {
    wire send;
    for (const auto w : all_ways) {
        // A generator has chunked its body itself, and takes an empty piece for the last chunk.
        auto p = is_generator(w) ? pieces_response({"hello", ", world"})
                                 : pieces_response({"hello", "", ", world"});
        p.prepare_payload();
        const auto s = send(w, get, p);
        CHECK(parse(s.text).body == "hello, world");
        CHECK(parse(s.text).chunked);
        CHECK(!s.ec);
        if (!is_generator(w)) {
            CHECK(send(w, get, pieces_response({"hello"})).text ==
                  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                  "5\r\nhello\r\n0\r\n\r\n");
        }
    }
}

TEST_CASE("a body of unknown length whose length the handler has set is not chunked") {
    wire send;
    for (const auto w : all_ways) {
        auto p = pieces_response({"hello", ", world"});
        p.content_length(12);
        CHECK(send(w, get, p).text == "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nhello, world");
    }
}

TEST_CASE("a body of unknown length ends with the connection where nothing else can tell") {
    wire send;
    struct {
        request_info request;
        unsigned version;
    } const cases[] = {{get10, 11}, {get10_keep, 11}, {get10_keep, 10}, {get, 10}};
    for (const auto& c : cases) {
        for (const auto w : {way::lvalue, way::rvalue, way::blocking}) {
            for (const bool asks_for_chunks : {false, true}) {
                auto p = pieces_response({"hello", "", ", world"}, c.version);
                if (asks_for_chunks) {
                    p.chunked(true);
                }
                const auto s = send(w, c.request, p);
                CHECK(s.text == std::string(c.version == 11 ? "HTTP/1.1" : "HTTP/1.0") +
                                    " 200 OK\r\nConnection: close\r\n\r\nhello, world");
                CHECK(s.ec == http::error::end_of_stream);
                CHECK(s.bytes == s.text.size());
            }
        }
    }
}

TEST_CASE("a generator's length is known when it ends soon") {
    wire send;
    for (const auto w : {way::generator, way::blocking_generator}) {
        const std::string expected = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nhello, world";
        CHECK(send(w, get, pieces_response({"hello", "", ", world"})).text == expected);

        const std::string longer(30'000, 'x');
        CHECK(send(w, get, text_response(longer)).text ==
              "HTTP/1.1 200 OK\r\nContent-Length: 30000\r\n\r\n" + longer);

        // HTTP/1.0 cannot read the chunks that it has made.
        auto p = pieces_response({"hello", ", world"});
        p.prepare_payload();
        const auto s = send(w, get10_keep, p);
        CHECK(s.text ==
              "HTTP/1.1 200 OK\r\nContent-Length: 12\r\nConnection: keep-alive\r\n\r\n"
              "hello, world");
        CHECK(!s.ec);
    }
}

TEST_CASE("a large generator of unknown length is chunked by itself or ends with the connection") {
    wire send;
    const std::string piece(5'000, 'x');
    const std::vector<std::string> pieces(20, piece);
    for (const auto w : {way::generator, way::blocking_generator}) {
        auto chunked = pieces_response(pieces);
        chunked.prepare_payload();
        auto s = send(w, get, chunked);
        CHECK(parse(s.text).body == std::string(100'000, 'x'));
        CHECK(parse(s.text).chunked);
        CHECK(!s.ec);

        s = send(w, get10, chunked);  // the chunks are taken off again
        CHECK(s.text == "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + std::string(100'000, 'x'));
        CHECK(s.ec == http::error::end_of_stream);

        s = send(w, get, pieces_response(pieces));
        CHECK(s.text == "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + std::string(100'000, 'x'));
        CHECK(s.ec == http::error::end_of_stream);
    }
}

TEST_CASE("a generator may have any number of fields") {
    wire send;
    auto r = text_response("hello");
    std::string expected = "HTTP/1.1 200 OK\r\n";
    for (int i = 0; i != 3'000; ++i) {
        r.insert("X-Field", std::to_string(i));
        expected += "X-Field: " + std::to_string(i) + "\r\n";
    }
    for (const auto w : all_ways) {
        CHECK(send(w, get, r).text == expected + "Content-Length: 5\r\n\r\nhello");
    }
}

TEST_CASE("Connection tells the client whether the connection stays open") {
    wire send;
    for (const auto w : all_ways) {
        const auto sent = [&](const request_info& request, auto change, unsigned version = 11) {
            auto r = text_response("", version);
            change(r);
            const auto s = send(w, request, r);
            CHECK(!s.ec);
            return s.text.substr(8);
        };
        const auto as_is = [](auto&) {};
        const auto keep = [](auto& r) { r.keep_alive(true); };
        const auto close = [](auto& r) { r.keep_alive(false); };
        const std::string plain = " 200 OK\r\nContent-Length: 0\r\n\r\n";
        const std::string says_close = " 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        const std::string says_keep =
            " 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n";

        CHECK(sent(get, as_is) == plain);
        CHECK(sent(get_close, as_is) == says_close);
        CHECK(sent(get10, as_is) == says_close);
        CHECK(sent(get10_keep, as_is) == says_keep);
        CHECK(sent(get10, keep, 10) == says_close);
        CHECK(sent(get10, close, 10) == says_close);
        CHECK(sent(get10_keep, as_is, 10) == says_close);

        CHECK(sent(get, close) == " 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        CHECK(sent(get10_keep, close) ==
              " 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        CHECK(sent(get10_keep, keep, 10) ==
              " 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n");
        CHECK(sent(get_close, [](auto& r) { r.set(http::field::connection, "X-Hop"); }) ==
              " 200 OK\r\nConnection: X-Hop\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
}

TEST_CASE("the response's own reason and version are kept") {
    wire send;
    for (const auto w : all_ways) {
        auto r = text_response("", 11, 299);
        r.reason("Fine");
        CHECK(send(w, get, r).text == "HTTP/1.1 299 Fine\r\nContent-Length: 0\r\n\r\n");
        auto old = text_response("", 10);
        old.keep_alive(true);
        CHECK(send(w, get, old).text ==
              "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n");
    }
}

TEST_CASE("fields that are not Beast's are framed by Beast's serializer") {
    wire send;
    for (const auto w : all_ways) {
        http::response<http::string_body, foreign_fields> r(http::status::ok, 11);
        r.body() = "hello";
        r.set("X-Own", "1");
        CHECK(send(w, get, r).text ==
              "HTTP/1.1 200 OK\r\nX-Own: 1\r\nContent-Length: 5\r\n\r\nhello");
        CHECK(parse(send(w, get10_keep, r).text).keep_alive);
        CHECK(!parse(send(w, get_close, r).text).keep_alive);
        r.result(204);
        CHECK(send(w, get, r).text == "HTTP/1.1 204 No Content\r\nX-Own: 1\r\n\r\n");
        r.result(304);
        CHECK(send(w, get, r).text == "HTTP/1.1 304 Not Modified\r\nX-Own: 1\r\n\r\n");
    }
}

TEST_CASE("a transfer coding that the handler has applied stays, with the chunks it needs") {
    wire send;
    for (const auto w : {way::lvalue, way::rvalue, way::blocking}) {
        auto r = text_response("zipped");
        r.set(http::field::transfer_encoding, "gzip");
        CHECK(send(w, get, r).text ==
              "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
              "6\r\nzipped\r\n0\r\n\r\n");
    }
}

TEST_CASE("a refused request gets a 503 with Retry-After instead of its response") {
    dispatcher dispatcher(small_pool(1));
    for (const auto w : all_ways) {
        const auto send_refused = [&](const request_info& request, unsigned status = 200) {
            deferred after(dispatcher, request);
            CHECK(!after.reserve(2));
            return send(w, after, text_response("hello", 11, status));
        };
        const request_info get{.id = "request-1"};
        const request_info head{.id = "request-1", .head = true};
        const request_info get10{.id = "request-1", .http10 = true, .keep_alive = false};
        const std::string body = "The server is busy. Please try again later.\n";
        const std::string fields =
            "Content-Type: text/plain\r\nX-Request-Id: request-1\r\nRetry-After: 7\r\n";
        const std::string length = "Content-Length: " + std::to_string(body.size()) + "\r\n";

        auto s = send_refused(get);
        CHECK(s.text == "HTTP/1.1 503 Service Unavailable\r\n" + fields + length + "\r\n" + body);
        CHECK(!s.ec);
        CHECK(s.bytes == s.text.size());
        CHECK(send_refused(head).text ==
              "HTTP/1.1 503 Service Unavailable\r\n" + fields + length + "\r\n");
        CHECK(send_refused(get10).text == "HTTP/1.0 503 Service Unavailable\r\n" + fields + length +
                                              "Connection: close\r\n\r\n" + body);
        CHECK(parse(send_refused(get10_keep).text).keep_alive);
        CHECK(!parse(send_refused(get_close).text).keep_alive);
        CHECK(send_refused(get, 100).text == "HTTP/1.1 100 Continue\r\n\r\n");
    }
}

}  // namespace postlude::test
