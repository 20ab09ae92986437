// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/http/server.hpp"

#include "http/bad_input_support.hpp"

using namespace std::chrono_literals;
using namespace std::string_literals;
using namespace test;

namespace {

const std::set<int> bad_version{400, 505};
const std::set<int> bad_coding{400, 501};
const std::set<int> too_large{400, 413, 431};

std::string repeated(std::string_view what, std::size_t times) {
    std::string all;
    for (std::size_t i = 0; i < times; ++i) {
        all += what;
    }
    return all;
}

std::string x(std::size_t n) { return std::string(n, 'x'); }

/// A request whose request line and header have this many bytes.
std::string header_of(std::size_t n) {
    const auto without = get("X: \r\n");
    return get("X: " + x(n - without.size()) + "\r\n");
}

}  // namespace

TEST_CASE("bad input: the reader of responses counts them, and takes no malformed one") {
    const std::string one = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
    const std::string none = "HTTP/1.1 204 No Content\r\n\r\n";
    CHECK(raw_responses::parse("").empty());
    CHECK(raw_responses::parse(one + none + one).size() == 3);
    CHECK(raw_responses::parse(one)[0].body == "hi");
    for (const auto& bad : {
             one + "\r\n"s,
             one + "x"s,
             one.substr(0, one.size() - 1),
             " " + one,
             "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"s,
             "HTTP/1.1 200 OK\r\n\r\n"s,
             "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n"s,
             "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: a\rb\r\n\r\n"s,
             "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX : a\r\n\r\n"s,
             "HTTP/1.1 200 OK\nContent-Length: 0\n\n"s,
             "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"s,
         }) {
        INFO(printable(bad));
        CHECK_THROWS_AS(raw_responses::parse(bad), std::runtime_error);
    }
}

TEST_CASE("bad input: a malformed request line is refused, and its connection closed") {
    target_server server;
    server.suffers(each("line",
                        {" / HTTP/1.1", " GET / HTTP/1.1", "GE(T / HTTP/1.1", "\"GET\" / HTTP/1.1",
                         "GET: / HTTP/1.1", "G\xc3\x89T / HTTP/1.1", "GET", "GET HTTP/1.1",
                         "GET  HTTP/1.1", "GET  / HTTP/1.1", "GET /  HTTP/1.1", "GET / HTTP/1.1 ",
                         "GET\t/\tHTTP/1.1", "GET /\tHTTP/1.1", "GET /a b HTTP/1.1",
                         "GET / / HTTP/1.1", "GET / ", "GET / H", "nonsense"},
                        line, refusal()));
    server.suffers({
        named("bare LF at the end of the line", "GET / HTTP/1.1\nHost: t\r\n\r\n", refusal()),
        named("bare LF at the end of all lines", "GET / HTTP/1.1\nHost: t\n\n", refusal()),
        named("bare CR at the end of the line", "GET / HTTP/1.1\rHost: t\r\n\r\n", refusal()),
        named("CR CR LF", "GET / HTTP/1.1\r\r\nHost: t\r\n\r\n", refusal()),
        named("LF CR", "GET / HTTP/1.1\n\rHost: t\r\n\r\n", refusal()),
        named("bare CR in it", "GET /\r HTTP/1.1\r\nHost: t\r\n\r\n", refusal()),
        named("bare LF before it", "\n" + get(""), refusal()),
        named("bare CR before it", "\r" + get(""), refusal()),
        named("NUL before it", "\0"s + get(""), refusal()),
        named("NUL in the method", line("GE\0T / HTTP/1.1"s), refusal()),
        named("NUL in the target", line("GET /\0 HTTP/1.1"s), refusal()),
        named("NUL in the version", line("GET / HTTP/1.\0"s), refusal(bad_version)),
        named("an empty line before it", "\r\n" + get(""), service()),
        named("20,000 empty lines before it", repeated("\r\n", 20'000) + get(""),
              refusal({400, 414, 431})),
    });
    server.has_handled_only_what_it_may();
}

TEST_CASE("bad input: versions that are not 1.0 or 1.1 are refused") {
    target_server server;
    server.suffers(each(
        "version", {"HTTP/2.0", "HTTP/1.2", "HTTP/0.9", "HTTP/3.7", "HTTP/9.9"},
        [](auto v) { return line("GET / " + std::string(v)); }, refusal({505})));
    server.suffers(each(
        "version",
        {"HTTP/1.10", "HTTP/11.1", "HTTP/01.1", "http/1.1", "HTTPS/1.1", "HTTP/1,1", "HTTP/1",
         "HTTP/1.", "HTTP/.1", "HTTP/1.x", "HTTP/-1.1", "HTTP 1.1", "HTTP/1.1/1.1", "/1.1"},
        [](auto v) { return line("GET / " + std::string(v)); }, refusal(bad_version)));
    server.suffers({
        named("HTTP/0.9", "GET /\r\n\r\n", refusal(bad_version)),
        named("the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", refusal(bad_version)),
        named("HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", service(then::closes)),
        named("HTTP/1.0 kept alive", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", service()),
    });
    server.has_handled_only_what_it_may();
}

TEST_CASE("bad input: methods that are unknown, or not for a path, are refused") {
    target_server server;
    attack unknown = refusal({501});
    unknown.end = then::either;
    server.suffers(each(
        "method", {"get", "Get", "FOO", "G", "GETGET", "GE'T"},
        [](auto m) { return line(std::string(m) + " / HTTP/1.1"); }, unknown));
    server.suffers({named("a method of 1,000 bytes", line(x(1'000) + " / HTTP/1.1"), unknown)});
    server.suffers(each(
        "method", {"DELETE", "PUT", "PATCH"},
        [](auto m) { return line(std::string(m) + " / HTTP/1.1"); }, answer({405})));
    attack either = refusal({400, 405, 501});
    either.end = then::either;
    server.suffers(each("line",
                        {"CONNECT t:443 HTTP/1.1", "CONNECT / HTTP/1.1", "TRACE / HTTP/1.1"}, line,
                        either));
    attack unserved = answer({404, 405});
    unserved.end = then::either;
    server.suffers({
        named("a method for an unknown path", line("DELETE /none HTTP/1.1"), answer({404})),
        named("an unknown path with a body like a request",
              "POST /none HTTP/1.1\r\nHost: t\r\nContent-Length: 27\r\n\r\n" + get(""), unserved),
        named("a wrong method with a body like a request",
              "PUT / HTTP/1.1\r\nHost: t\r\nContent-Length: 27\r\n\r\n" + get(""), unserved),
        named("a right method with a body like a request", post("Content-Length: 27\r\n", get("")),
              service()),
        named("OPTIONS of a path", line("OPTIONS / HTTP/1.1"), answer({204})),
        named("OPTIONS of all", line("OPTIONS * HTTP/1.1"), answer({204})),
    });
    server.has_handled_only_what_it_may();
}

TEST_CASE("bad input: a target that is no path is refused") {
    target_server server;
    server.suffers(each("target", {"*",        "**",    "foo",       "foo/",        "?x=1",
                                   "t:80",     "http:", "http:/",    "http://",     "#",
                                   "/#",       "/#x",   "/?x#y",     "http://t/#x", "/\x01",
                                   "/\x1b[0m", "/\x7f", "/\xc3\xa9", "/?x=\xff",    "\xff/"},
                        target, refusal()));
    server.suffers(each("line", {"POST * HTTP/1.1", "OPTIONS foo HTTP/1.1", "OPTIONS ** HTTP/1.1"},
                        line, refusal()));
    server.suffers(each(
        "target",
        {"/%", "/%2", "/%zz", "/%2z", "/a%", "/%00", "/a%00b", "/%%41", "/none%", "http://t/%00"},
        target, refusal()));
    server.suffers(each("target",
                        {"http://t/", "HTTP://T/", "http://other:8080/?x=y", "/?", "/?x=/../y",
                         "/?/..", "/?x=%2e%2e"},
                        target, service()));
    server.suffers(
        each("target", {"//", "//t/x", "http://t/none", "/%41", "/none?x"}, target, answer({404})));
    server.has_handled_only_what_it_may();
}

TEST_CASE("bad input: a path with dot segments is refused, however they are written") {
    target_server server;
    server.suffers(each("target",
                        split("/..|/.|/../|/./|/a/..|/a/../b|/a/./b|/../../etc/passwd|/%2e%2e|"
                              "/%2E%2E/|/.%2e/x|/%2e./x|/%2e|/a/%2e/b|/..%2f..%2fetc/passwd|"
                              "/%2e%2e%2fetc%2fpasswd|/a%2f..|/..?x|http://t/../etc/passwd|"
                              "http://t/%2e%2e/x|..|../|./"),
                        target, refusal()));
    server.suffers(each("target",
                        {"/...", "/.a", "/a.", "/..a", "/a..b/c", "/%252e%252e/etc",
                         "/.well-known/x", "/none/.../x"},
                        target, answer({404})));
    server.has_handled_only_what_it_may();
}

TEST_CASE("bad input: a malformed header is refused, and its connection closed") {
    target_server server;
    server.suffers(each("field",
                        split("Space : x|Tab\t: x| Leading: x|\tLeading: x|Two words: x|No-colon|"
                              ": no name|:| |\t|A(b: x|\"A\": x|A\xc3\xa9: x|A\x01: x|A\x7f: x|"
                              "X: \x01|X: a\x0b|X: \x1b[31m|X: \x7f|X: a\nb|X: a\nY: b|X: a\rb|"
                              "X: a\rY: b|X: a\r|X: \r\r|X: a\n|X\r: a|X\n: a|X: a\r\n b|"
                              "X: a\r\n\tb|X:\r\n a|X: a\r\n |X: a\r\n \r\n b|X: a\r\n\x0b b"),
                        field, refusal()));
    server.suffers({
        named("NUL in a name", field("A\0: x"s), refusal()),
        named("NUL in a value", field("X: a\0b"s), refusal()),
        named("NUL alone", field("X: \0"s), refusal()),
        named("NUL in a line of its own", field("\0"s), refusal()),
        named("a space before the first field", "GET / HTTP/1.1\r\n Host: t\r\n\r\n", refusal()),
        named("LF at the end", "GET / HTTP/1.1\r\nHost: t\r\n\n", refusal()),
        named("LF LF at the end", "GET / HTTP/1.1\r\nHost: t\n\n", refusal()),
        named("CR at the end", "GET / HTTP/1.1\r\nHost: t\r\n\rx", refusal()),
    });
    server.suffers(each("field",
                        {"X:", "X: ", "X:a", "X:\t a \t", "X: a\tb", "X: \xff\x80", "!#$: x",
                         "X: a:b", "X: \"a", "Upgrade: h2c"},
                        field, service()));
    server.has_handled_only_what_it_may();
}

TEST_CASE("bad input: a request has one Host, if it is HTTP/1.1") {
    target_server server;
    const auto with = [](auto fields) {
        return "GET / HTTP/1.1\r\n" + std::string(fields) + "\r\n";
    };
    server.suffers(each(
        "fields",
        {"", "X: y\r\n", "Host: t\r\nHost: u\r\n", "Host: t\r\nX: y\r\nhost: t\r\n", "Host : t\r\n",
         "Host: t u\r\n", "Host: t/x\r\n", "Host: t\x01\r\n", "Host:\r\n t\r\n"},
        with, refusal()));
    server.suffers(
        {named("an absolute target without Host", "GET http://t/ HTTP/1.1\r\n\r\n", refusal()),
         named("HTTP/1.0 with two", "GET / HTTP/1.0\r\nHost: t\r\nHost: u\r\n\r\n", refusal())});
    server.suffers(each("fields",
                        {"Host: t\r\n", "HOST:t:80\r\n", "Host: [::1]:80\r\n", "Host:\r\n"}, with,
                        service()));
    server.has_handled_only_what_it_may();
}

TEST_CASE("bad input: a header that is too large is refused with 431, a target with 414") {
    target_server server;
    server.suffers({
        named("a header of exactly the limit", header_of(8'192), service()),
        named("one byte more", header_of(8'193), refusal({431})),
        named("one field of 9,000 bytes", header_of(9'000), refusal({431})),
        named("one field of 100,000 bytes", header_of(100'000), refusal({431})),
        named("a name of 9,000 bytes", get(x(9'000) + ": x\r\n"), refusal({431})),
        named("many fields", get(repeated("X: y\r\n", 2'000)), refusal({431})),
        named("line and header, each below it",
              "GET /?" + x(5'000) + " HTTP/1.1\r\nHost: t\r\nX: " + x(5'000) + "\r\n\r\n",
              refusal({431})),
        named("a header without its end", "GET / HTTP/1.1\r\nHost: t\r\nX: " + x(20'000),
              refusal({431})),
        named("fields without their end", "GET / HTTP/1.1\r\n" + repeated("X: y\r\n", 4'000),
              refusal({431})),
        named("a target of 9,000 bytes", target("/" + x(9'000)), refusal({414})),
        named("a target of 100,000 bytes", target("/" + x(100'000)), refusal({414})),
        named("a query of 9,000 bytes", target("/?" + x(9'000)), refusal({414})),
        named("a target without its end", "GET /" + x(20'000), refusal({414})),
        named("a method of 9,000 bytes", line(x(9'000) + " / HTTP/1.1"),
              refusal({400, 414, 431, 501})),
        named("a method without its end", x(20'000), refusal({400, 414, 431, 501})),
        named("a target of 8,000 bytes", target("/" + x(8'000)), answer({404})),
    });
    server.has_handled_only_what_it_may();
}

TEST_CASE("bad input: a Content-Length that is no number, or not alone, is refused") {
    target_server server;
    server.suffers(each("Content-Length",
                        split("5, 5|5,5|5, 6|5,|,5|+5|-5|-0|| |,|5 5|0x5|5x|x5|5;|5.0|5e0|five|"
                              "\"5\"|\xd9\xa5|5\x0b|5\r\n |\r\n 5|5\r\n\t0|18446744073709551616|"
                              "18446744073709551621|99999999999999999999999999999999|"
                              "5\r\nContent-Length: 5|5\r\nContent-Length: 6|"
                              "5\r\nX: y\r\ncontent-length: 5|0\r\nContent-Length: 5|"
                              "5\r\nContent-Length:|6\r\nContent-Length: 5"),
                        content_length, refusal()));
    server.suffers({
        named("NUL in it", content_length("5\0"s), refusal()),
        named("a space before the colon", post("Content-Length : 5\r\n"), refusal()),
        named("in HTTP/1.0, doubled",
              "POST / HTTP/1.0\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", refusal()),
        named("of a GET", get("Content-Length: +5\r\n"), refusal()),
    });
    server.suffers(each("Content-Length", {"5", " 5 ", "\t5"}, content_length, service()));
    server.suffers({named("0", post("Content-Length: 0\r\n", ""), service()),
                    named("a GET with a body", get("Content-Length: 5\r\n") + "hello", service()),
                    named("a POST without", post("", ""), service())});
    server.has_handled_only_what_it_may();
}

TEST_CASE("bad input: a body that is too large is refused with 413, before it is read") {
    target_server server;
    constexpr std::size_t limit = 1'048'576;
    server.suffers(
        each("Content-Length",
             {"1048577", "9223372036854775807", "9223372036854775808", "18446744073709551615"},
             content_length, refusal({413})));
    server.suffers({
        named("exactly the limit", post("Content-Length: 1048576\r\n", x(limit)), service()),
        named("one byte more, sent", post("Content-Length: 1048577\r\n", x(limit + 1)),
              refusal({413})),
        named("chunks of exactly the limit",
              chunks("80000\r\n" + x(limit / 2) + "\r\n80000\r\n" + x(limit / 2) + "\r\n0\r\n\r\n"),
              service()),
        named("chunks of one byte more",
              chunks("80000\r\n" + x(limit / 2) + "\r\n80001\r\n" + x(limit / 2 + 1) +
                     "\r\n0\r\n\r\n"),
              refusal({413})),
        named("a chunk announced", chunks("100001\r\n"), refusal({413})),
        named("a chunk of 2^64 - 1", chunks("FFFFFFFFFFFFFFFF\r\n"), refusal({413})),
        named("a chunk that overflows the sum", chunks("1\r\nx\r\nFFFFFFFFFFFFFFFF\r\n"),
              refusal({413})),
    });
    server.has_handled_only_what_it_may();
}

TEST_CASE("bad input: Transfer-Encoding is chunked, once, without Content-Length, or refused") {
    target_server server;
    server.suffers(each("Transfer-Encoding",
                        split("gzip|identity||xchunked|chunkedx|chunked, gzip|gzip, chunked|"
                              "chunked, chunked|chunked, identity|identity, chunked|\"chunked\"|"
                              "'chunked'|chunked;q=1|chunked foo|chunked\t x|,|"
                              "chunked\r\nTransfer-Encoding: chunked|"
                              "gzip\r\nTransfer-Encoding: chunked|"
                              "chunked\r\nTransfer-Encoding: gzip|chunked\r\ntransfer-encoding:|"
                              "\r\n chunked|gzip,\r\n chunked|\x0b"
                              "chunked|chunked\x0b|ch\xc3\xbcnked"),
                        transfer_encoding, refusal(bad_coding)));
    server.suffers({
        named("NUL behind it", transfer_encoding("chunked\0"s), refusal(bad_coding)),
        named("a space before the colon", post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"),
              refusal()),
        named("in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
              refusal()),
        named("in HTTP/1.0 kept alive",
              "POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n"
              "0\r\n\r\n",
              refusal()),
        named("of a GET", get("Transfer-Encoding: gzip\r\n"), refusal(bad_coding)),
    });
    server.suffers(each(
        "fields",
        split("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n|"
              "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n|"
              "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n|"
              "Transfer-Encoding: chunked\r\nX: y\r\ncontent-length: 5\r\n"),
        [](auto fields) { return post(fields, "0\r\n\r\n"); }, refusal()));
    server.suffers(each(
        "fields",
        split("Content-Length: 5\r\nTransfer-Encoding: identity\r\n|"
              "Transfer-Encoding: identity\r\nContent-Length: 5\r\n|"
              "Transfer-Encoding:\r\nContent-Length: 5\r\n|"
              "Transfer-Encoding: gzip\r\nContent-Length: 5\r\n"),
        [](auto fields) { return post(fields); }, refusal(bad_coding)));
    server.suffers(each("Transfer-Encoding", {"chunked", "Chunked", "CHUNKED", " chunked "},
                        transfer_encoding, service()));
    server.has_handled_only_what_it_may();
}

TEST_CASE("bad input: malformed chunks are refused, and their connection closed") {
    target_server server;
    server.suffers(each("chunk",
                        split("-5|+5| 5|\t5|5 || |0x5|x5|g|5g|5,|\"5\"|\n5|5\n|5\r|\r5|"
                              "FFFFFFFFFFFFFFFFF|10000000000000005|18446744073709551621|5;|5; |"
                              "5;=b|5;a=|5;a=;b|5;a b|5;a=b c|5;a=\"x|5;a=\"x\\\"|5;a=\"x\"y|"
                              "5;a\nb|5;a=b\nc|5;a=\"\n\"|5;a=\"\r\"|5;a=\"\x01\"|5;a=\"\x7f\"|"
                              "5;a\x01|5;a=\x01|5;a=\"\\\n\"|5;(=b|5;\xc3\xa9|5;;a|5\x0b"),
                        chunk_line, refusal({400, 413})));
    server.suffers({
        named("NUL behind the size", chunk_line("5\0"s), refusal()),
        named("NUL in an extension", chunk_line("5;a=\"\0\""s), refusal()),
        named("data longer than the size", chunks("3\r\nhello\r\n0\r\n\r\n"), refusal()),
        named("data shorter than the size", chunks("6\r\nhello\r\n0\r\n\r\n"), refusal()),
        named("data with LF behind it", chunks("5\r\nhello\n0\r\n\r\n"), refusal()),
        named("data with CR behind it", chunks("5\r\nhello\r0\r\n\r\n"), refusal()),
        named("data with nothing behind it", chunks("5\r\nhello0\r\n\r\n"), refusal()),
        named("the last chunk malformed", chunks("5\r\nhello\r\n-0\r\n\r\n"), refusal()),
        named("the last chunk's extension malformed", chunks("5\r\nhello\r\n0;\r\n\r\n"),
              refusal()),
        named("the last chunk's extension unfinished", chunks("5\r\nhello\r\n0;a=\"x\r\n\r\n"),
              refusal()),
        named("0x", chunks("0x5\r\nhello"), refusal()),
        named("LF behind the last chunk", chunks("5\r\nhello\r\n0\n\r\n"), refusal()),
        named("LF at the end", chunks("5\r\nhello\r\n0\r\n\n" + get("")), refusal()),
        named("CR at the end", chunks("5\r\nhello\r\n0\r\n\rx"), refusal()),
        named("no end, but a request", chunks("5\r\nhello\r\n0\r\n" + get("")), refusal()),
    });
    server.suffers(each("chunk",
                        {"5;a", "5;a=b", "5;a=\"b\"", "5;a=\"b\\\"c\"", "5;a=b;c;d=e", "5 ; a = b",
                         "05", "0005", "5;a=\"\xff\""},
                        chunk_line, service()));
    server.suffers(
        {named("no data", chunks("0\r\n\r\n"), service()),
         named("a last chunk of zeros", chunks("5\r\nhello\r\n000;a=b\r\n\r\n"), service()),
         named("a size in both cases", chunks("aB\r\n" + x(171) + "\r\n0\r\n\r\n"), service()),
         named("data that looks like an end", chunks("5\r\n0\r\n\r\n\r\n0\r\n\r\n"), service())});
    server.has_handled_only_what_it_may();
}

TEST_CASE("bad input: trailers are checked as headers are, and are no headers") {
    target_server server;
    server.suffers(each("trailer",
                        {"no colon\r\n", "X : y\r\n", " X: y\r\n", "X: y\r\n z\r\n", "X: a\nb\r\n",
                         "X: a\rb\r\n", "X: \x01\r\n", ": y\r\n", "X: y\n", "A b: c\r\n"},
                        trailer, refusal()));
    server.suffers({named("NUL in it", trailer("X: \0\r\n"s), refusal())});
    server.suffers(each("trailer",
                        {"X: y\r\n", "X: y\r\nZ:\r\n", "Connection: close\r\n", "Host: u\r\n",
                         "Expect: 200-ok\r\n"},
                        trailer, service()));
    auto client = server.running().connect();
    const auto got = client.ask(trailer("X-Request-Id: from-a-trailer\r\n"));
    CHECK(got.result_int() == 200);
    CHECK(got["X-Request-Id"] != "from-a-trailer");
}

TEST_CASE("bad input: what surrounds the chunks is limited") {
    target_server server;
    const auto part = x(20'000);
    server.suffers({
        named("an extension", chunk_line("5;a=" + part), refusal(too_large)),
        named("a quoted extension", chunk_line("5;a=\"" + part + "\""), refusal(too_large)),
        named("an extension without its end", chunks("5;a=" + part), refusal(too_large)),
        named("a quote without its end", chunks("5;a=\"" + repeated("x\r\n", 8'000)),
              refusal(too_large)),
        named("leading zeros", chunk_line(std::string(20'000, '0') + "5"), refusal(too_large)),
        named("leading zeros without end", chunks(std::string(20'000, '0')), refusal(too_large)),
        named("spaces without end", chunks("5" + std::string(20'000, ' ')), refusal(too_large)),
        named("the last chunk's extension", chunks("0;a=" + part + "\r\n\r\n"), refusal(too_large)),
        named("a trailer", trailer("X: " + part + "\r\n"), refusal(too_large)),
        named("a trailer of 70,000 bytes", trailer("X: " + x(70'000) + "\r\n"), refusal(too_large)),
        named("a trailer's name of 70,000 bytes", trailer(x(70'000) + ": y\r\n"),
              refusal(too_large)),
        named("many trailers", trailer(repeated("X: y\r\n", 4'000)), refusal(too_large)),
        named("trailers without end", chunks("0\r\n" + repeated("X: y\r\n", 4'000)),
              refusal(too_large)),
        named("extensions that add up",
              chunks(repeated("1;a=" + x(1'000) + "\r\nx\r\n", 1'000) + "0\r\n\r\n"),
              refusal(too_large)),
    });
    server.has_handled_only_what_it_may();
}

TEST_CASE("bad input: expectations") {
    target_server server;
    const auto expecting = [](std::string_view line, std::string_view fields) {
        return std::string(line) + " HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\n" +
               std::string(fields) + "\r\n";
    };
    attack without_body = answer({});
    without_body.end = then::either;
    without_body.alone = true;
    const auto final = [&](int status) {
        auto like = without_body;
        like.statuses = {status};
        return like;
    };
    server.suffers({
        named("a body that is sent at once", expecting("POST /", "Content-Length: 5\r\n") + "hello",
              service()),
        named("no body", expecting("GET /", ""), service()),
        named("a body announced too large", expecting("POST /", "Content-Length: 1048577\r\n"),
              refusal({413})),
        named("an unknown path", expecting("POST /none", "Content-Length: 5\r\n"), final(404)),
        named("a wrong method", expecting("PUT /", "Content-Length: 5\r\n"), final(405)),
        named("a bad length", expecting("POST /", "Content-Length: +5\r\n"), refusal()),
        named("another expectation", post("Content-Length: 5\r\nExpect: 200-ok\r\n", ""),
              final(417)),
        named("two expectations", post("Content-Length: 5\r\nExpect: 100-continue, 200-ok\r\n", ""),
              final(417)),
    });
    // No 100 goes before a final answer, and none to HTTP/1.0.
    for (const auto& request : {expecting("POST /none", "Content-Length: 5\r\n"),
                                expecting("PUT /", "Content-Length: 5\r\n"),
                                expecting("POST /", "Content-Length: 1048577\r\n")}) {
        auto client = server.running().connect();
        client.send(request);
        client.shutdown_send();
        CHECK(client.read_to_end().find(" 100 ") == std::string::npos);
    }
    auto old = server.running().connect();
    old.send("POST / HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello");
    const auto answered = raw_responses::parse(old.read_to_end());
    REQUIRE(answered.size() == 1);
    CHECK(answered[0].status == 200);

    auto client = server.running().connect();
    client.send(expecting("POST /", "Content-Length: 5\r\n"));
    CHECK(client.read_raw("\r\n\r\n") == "HTTP/1.1 100 Continue\r\n\r\n");
    CHECK(client.ask("hello").body() == "5");
    CHECK(client.get("/").result_int() == 200);
}

TEST_CASE("bad input: what comes after the last request of a connection is not answered") {
    target_server server;
    const std::string closing = "Connection: close\r\n";
    server.suffers({
        named("a request", get(closing) + get(""), service(then::closes)),
        named("ten requests", get(closing) + repeated(get(""), 10), service(then::closes)),
        named("rubbish", get(closing) + "\x16\x03\x01\r\n\r\n", service(then::closes)),
        named("1 MiB", get(closing) + x(1'048'576), service(then::closes)),
        named("a request after a body", post(closing + "Content-Length: 5\r\n") + get(""),
              service(then::closes)),
        named("a request after chunks",
              post(closing + "Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n") + get(""),
              service(then::closes)),
        named("a request after HTTP/1.0", "GET / HTTP/1.0\r\n\r\n" + get(""),
              service(then::closes)),
        named("close among others", get("Connection: x, CLOSE ,y\r\n") + get(""),
              service(then::closes)),
        named("close in a second line", get("Connection: keep-alive\r\nConnection: close\r\n"),
              service(then::closes)),
        named("close, on an unknown path",
              "GET /none HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n", refusal({404})),
        named("a hundred refusals", repeated(line("GET /\x01 HTTP/1.1"), 100), refusal()),
        named("a header refused, then a body like a request",
              content_length("+5") + get("") + get(""), refusal()),
    });
    server.has_handled_only_what_it_may();
}

TEST_CASE("bad input: what is no HTTP at all is refused, or closed without a word") {
    target_server server(1s);
    attack strange{"", "", {400, 408, 414, 431, 501, 505}, then::closes, 0, true, true};
    // A client's hello of TLS 1.2, without extensions.
    const auto hello = "\x16\x03\x01\x00\x4f\x01\x00\x00\x4b\x03\x03"s + std::string(32, '\x5a') +
                       "\x20"s + std::string(32, '\xa5') + "\x00\x02\x13\x01\x01\x00\x00\x00"s;
    server.suffers({
        named("TLS", hello, refusal()),
        named("TLS, and more of it", hello + hello + std::string(5'000, '\xee'), refusal()),
        named("SSL 2", "\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10"s, refusal()),
        named("zeros", std::string(1'000, '\0'), refusal()),
        named("0xff", std::string(1'000, '\xff'), refusal()),
        named("a version 2 PROXY header",
              "\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c"s + std::string(12, '\x01'), refusal()),
        named("a PROXY header", "PROXY TCP4 192.0.2.1 192.0.2.2 5 80\r\n" + get(""), strange),
        named("a response", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", refusal()),
        named("JSON", "{\"a\": 1}\r\n\r\n", refusal()),
        named("Redis", "*1\r\n$4\r\nPING\r\n", strange),
        named("SSH", "SSH-2.0-OpenSSH_9.2\r\n", strange),
        named("SMTP", "EHLO there\r\n", strange),
        named("empty lines", "\r\n\r\n\r\n", strange),
        named("one letter", "G", strange),
    });
    std::mt19937 random(2);
    attacks noise;
    for (int i = 0; i < 20; ++i) {
        std::string bytes(1 + random() % 3'000, '\0');
        std::ranges::generate(bytes, [&] { return static_cast<char>(random()); });
        noise.push_back(named("noise " + std::to_string(i), bytes, strange));
    }
    server.suffers(noise);
    server.has_handled_only_what_it_may();
}

TEST_CASE("bad input: a request id that is not valid is replaced, in the response and the log") {
    test::running_server running;
    running.server.get("/fail", [](const auto&, auto&) -> postlude::http::response {
        throw std::runtime_error("as it should");
    });
    running.start();
    unsigned failed = 0;
    for (const auto& id : {x(6'000), x(65), ""s, " "s, "a b"s, "a,b"s, "\"a\""s, "a;b"s, "<a>"s,
                           "a\\nb"s, "a%0d%0ab"s, "\xc3\xa9"s, "a\tb"s}) {
        INFO(printable(id));
        auto client = running.connect();
        const auto got = client.get("/fail", "X-Request-Id: " + id + "\r\n");
        CHECK(got.result_int() == 500);
        CHECK(got.count("X-Request-Id") == 1);
        CHECK(got["X-Request-Id"].size() == 32);
        CHECK((id.size() < 2 || got.body().find(id) == std::string::npos));
        CHECK(running.log.count({"as it should", std::string(got["X-Request-Id"])}) == 1);
        CHECK(running.log.count({"as it should"}) == ++failed);
    }
    const auto valid = x(64);
    CHECK(running.connect().get("/fail", "X-Request-Id: " + valid + "\r\n")["X-Request-Id"] ==
          valid);
    CHECK(running.log.count({x(65)}) == 0);
}

TEST_CASE("bad input: a request id with a line end in it injects nothing") {
    target_server server;
    server.suffers(each(
        "X-Request-Id",
        {"a\rInjected: x", "a\nInjected: x", "a\r\n Injected: x", "a\r\n\tInjected: x", "\r\n a",
         "a\x0b", "a\x1b[31m", "a\x7f"},
        [](auto id) { return get("X-Request-Id: " + std::string(id) + "\r\n"); }, refusal()));
    server.suffers({named("NUL", get("X-Request-Id: a\0b\r\n"s), refusal())});
    // With a whole line end it is another field, which nobody sends back.
    auto client = server.running().connect();
    const auto got = client.get("/", "X-Request-Id: a\r\nInjected: x\r\n");
    CHECK(got["X-Request-Id"] == "a");
    CHECK(got.count("Injected") == 0);
    server.running().stop();
    CHECK(server.running().log.count({"Injected"}) == 0);
}

TEST_CASE("bad input: whatever a request is changed to, each answer is one, and well formed") {
    target_server server(1s);
    std::mt19937 random(3);
    const std::vector<std::string> seeds{
        get("X: y\r\nX-Request-Id: a\r\nConnection: keep-alive\r\n"),
        content_length("5") + get(""),
        chunks("5;a=\"b\"\r\nhello\r\n0;c\r\nX: y\r\n\r\n") + get(""),
    };
    const auto likely = "\0\r\n \t:;,=\"0159afxX/%.?#*\x01\x7f\xff"s;
    for (int i = 0; i < 1'000; ++i) {
        auto bytes = seeds[random() % seeds.size()];
        for (auto changes = 1 + random() % 3; changes != 0; --changes) {
            const auto at = random() % bytes.size();
            bytes.replace(at, random() % 3, random() % 3, likely[random() % likely.size()]);
        }
        INFO(printable(bytes));
        const auto got = server.half_close_after(bytes);
        INFO(printable(got));
        try {
            const auto all = raw_responses::parse(got);
            CHECK(all.size() <= 3);
            for (std::size_t k = 0; k < all.size(); ++k) {
                CHECK(all[k].status != 500);
                CHECK(postlude::valid_request_id(all[k]["X-Request-Id"]));
                CHECK((k + 1 == all.size() || all[k]["Connection"] != "close"));
            }
        } catch (const std::exception& e) {
            FAIL_CHECK(e.what());
        }
    }
    CHECK(server.running().connect().get("/").result_int() == 200);
}
