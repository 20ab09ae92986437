// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_TESTS_HTTP_RESPOND_SUPPORT_HPP
#define POSTLUDE_TESTS_HTTP_RESPOND_SUPPORT_HPP

#include "postlude/http/respond.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/beast/_experimental/test/stream.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/fields.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/message_generator.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/optional.hpp>

#include <atomic>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace postlude::test {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;
using namespace std::chrono_literals;

inline dispatcher_options small_pool(std::size_t capacity = 1'000) {
    dispatcher_options options;
    options.pool.threads = 1;
    options.pool.default_queue.capacity = capacity;
    options.retry_after = 7s;
    return options;
}

/// A body in pieces, of a length that nobody knows before it ends, perhaps with an error.
struct pieces_body {
    struct value_type {
        std::vector<std::string> pieces;
        error_code end{};
        error_code begin{};
        std::size_t claim = 0;  ///< for `claiming_body`
    };
    class writer {
    public:
        using const_buffers_type = asio::const_buffer;
        template <bool isRequest, class Fields>
        writer(const http::header<isRequest, Fields>&, const value_type& v) : value_(v) {}
        void init(error_code& ec) { ec = value_.begin; }
        boost::optional<std::pair<const_buffers_type, bool>> get(error_code& ec) {
            if (next_ == value_.pieces.size()) {
                ec = value_.end;
                return boost::none;
            }
            ec = {};
            return {{asio::buffer(value_.pieces[next_++]), true}};
        }

    private:
        const value_type& value_;
        std::size_t next_ = 0;
    };
};

/// The same, but it says how long it is, and may be mistaken.
struct claiming_body : pieces_body {
    static std::uint64_t size(const value_type& v) { return v.claim; }
};

/// How a response is handed to Postlude.
enum class way { lvalue, rvalue, generator, blocking, blocking_generator };
inline constexpr way all_ways[] = {way::lvalue, way::rvalue, way::generator, way::blocking,
                                   way::blocking_generator};
inline constexpr bool is_generator(way w) {
    return w == way::generator || w == way::blocking_generator;
}

struct sent {
    std::string text;  ///< what the client got
    error_code ec;
    std::size_t bytes = 0;   ///< what the operation said
    std::size_t writes = 0;  ///< calls of the stream's write_some
};

struct stream_options {
    std::size_t write_max = std::size_t(-1);  ///< bytes that one write takes at most
    std::size_t fail_at = 0;                  ///< the write that fails, from 1; 0 is none
};

/// Sends a response over a test stream.
template <class Body, class Fields>
sent send(way w, deferred& after, http::response<Body, Fields>&& response,
          const stream_options& options = {}) {
    asio::io_context loop;
    beast::test::fail_count failure(options.fail_at == 0 ? std::size_t(-1) : options.fail_at);
    auto server =
        options.fail_at == 0 ? beast::test::stream(loop) : beast::test::stream(loop, failure);
    auto client = beast::test::connect(server);
    server.write_size(options.write_max);

    sent result;
    auto done = [&result](error_code ec, std::size_t n) {
        result.ec = ec;
        result.bytes = n;
    };
    switch (w) {
    case way::lvalue: async_respond(server, response, after, done); break;
    case way::rvalue: async_respond(server, std::move(response), after, done); break;
    case way::generator:
        async_respond(server, http::message_generator(std::move(response)), after, done);
        break;
    case way::blocking: result.bytes = respond(server, response, after, result.ec); break;
    case way::blocking_generator:
        result.bytes =
            respond(server, http::message_generator(std::move(response)), after, result.ec);
        break;
    }
    loop.run();
    result.text = client.str();
    result.writes = server.nwrite();
    return result;
}

inline http::response<http::string_body> text_response(std::string body, unsigned version = 11,
                                                       unsigned status = 200) {
    http::response<http::string_body> r(static_cast<http::status>(status), version);
    r.body() = std::move(body);
    return r;
}

inline http::response<pieces_body> pieces_response(std::vector<std::string> pieces,
                                                   unsigned version = 11) {
    http::response<pieces_body> r(http::status::ok, version);
    r.body().pieces = std::move(pieces);
    return r;
}

/// Which of a request's tasks ran; one is registered for each condition.
struct outcome {
    std::atomic<int> handled{0}, sent{0}, failed{0}, always{0};

    void watch(deferred& after) {
        after.run([this] { ++handled; }, {.when = when::handled});
        after.run([this] { ++sent; }, {.when = when::sent});
        after.run([this] { ++failed; }, {.when = when::failed});
        after.run([this] { ++always; }, {.when = when::always});
    }
    /// As "handled sent failed always"; to be read when the dispatcher has been shut down.
    std::string text() const {
        std::string s;
        for (const auto* n : {&handled, &sent, &failed, &always}) {
            s += std::to_string(n->load());
        }
        return s;
    }
};

/// What the client makes of a response to a request.
struct parsed {
    std::string body;
    bool chunked = false;
    bool keep_alive = false;
    std::optional<std::uint64_t> length;
    unsigned status = 0;
    std::size_t left = 0;  ///< bytes after the message's end
};

inline parsed parse(const std::string& text, bool head = false) {
    http::response_parser<http::string_body> parser;
    parser.skip(head);
    parser.eager(true);
    parser.body_limit(boost::none);
    error_code ec;
    std::size_t used = 0;
    while (used < text.size() && !parser.is_done() && !ec) {
        used += parser.put(asio::buffer(text) + used, ec);
    }
    if (!ec && !parser.is_done()) {
        parser.put_eof(ec);
    }
    if (ec) {
        throw boost::system::system_error(ec, text.substr(0, 300));
    }
    parsed p;
    p.chunked = parser.chunked();
    p.keep_alive = parser.keep_alive();
    if (const auto length = parser.content_length()) {
        p.length = *length;
    }
    p.status = parser.get().result_int();
    p.body = std::move(parser.get().body());
    p.left = text.size() - used;
    return p;
}

}  // namespace postlude::test

#endif
