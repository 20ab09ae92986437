// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/http/websocket.hpp"

#include "support/catch.hpp"
#include "support/certificate_files.hpp"
#include "support/running_server.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/ssl.hpp>
#include <boost/beast/websocket/ssl.hpp>
#include <boost/beast/websocket/stream.hpp>

#include <atomic>
#include <string>
#include <thread>

using namespace std::chrono_literals;
using boost::asio::awaitable;
using boost::asio::ip::tcp;
using postlude::deferred;
using postlude::http::exchange;
using postlude::http::server_options;
using postlude::http::status;
using postlude::http::text;
using postlude::http::verb;
namespace asio = boost::asio;
namespace ssl = asio::ssl;
namespace websocket = boost::beast::websocket;

namespace {

constexpr auto as_result = asio::as_tuple(asio::use_awaitable);

/// A conversation in which the server says everything back.
awaitable<void> echo(exchange& e) {
    auto socket = co_await postlude::http::accept(e);
    if (!socket) {
        co_return;
    }
    boost::beast::flat_buffer buffer;
    for (;;) {
        const auto [read_error, n] = co_await socket->async_read(buffer, as_result);
        if (read_error) {
            co_return;
        }
        socket->text(socket->got_text());
        const auto [write_error, m] = co_await socket->async_write(buffer.cdata(), as_result);
        if (write_error) {
            co_return;
        }
        buffer.consume(n);
    }
}

/// Beast's blocking client, over what the template says.
template <class Stream>
class client {
public:
    template <class... Arguments>
    explicit client(unsigned short port, Arguments&... arguments) : socket_(io_, arguments...) {
        boost::beast::get_lowest_layer(socket_).connect({asio::ip::address_v4::loopback(), port});
    }
    websocket::stream<Stream>& operator*() { return socket_; }
    websocket::stream<Stream>* operator->() { return &socket_; }

    websocket::response_type shake_hands() {
        websocket::response_type got;
        socket_.handshake(got, "test", "/");
        return got;
    }
    void say(const std::string& message) { socket_.write(asio::buffer(message)); }
    std::string hear() {
        boost::beast::flat_buffer buffer;
        socket_.read(buffer);
        return boost::beast::buffers_to_string(buffer.cdata());
    }
    /// The error that ends the conversation.
    boost::system::error_code end() {
        boost::beast::flat_buffer buffer;
        boost::system::error_code ec;
        while (!ec) {
            socket_.read(buffer, ec);
        }
        return ec;
    }

private:
    asio::io_context io_;
    websocket::stream<Stream> socket_;
};
using plain_client = client<tcp::socket>;

struct talking_server : test::running_server {
    explicit talking_server(postlude::http::exchange_handler h = echo, server_options options = {})
        : running_server(std::move(options)) {
        server.stream(verb::get, "/", std::move(h));
        server.get("/plain", [](const auto&, deferred&) { return text(status::ok, "plain"); });
        start();
    }
};

template <class Client>
void converse(Client& c) {
    for (const auto size : {std::size_t(0), std::size_t(1), std::size_t(125), std::size_t(70'000),
                            std::size_t(3'000'000)}) {
        const std::string message(size, 'm');
        c.say(message);
        CHECK(c.hear() == message);
    }
    c->binary(true);
    c.say(std::string("\0\xff", 2));
    CHECK(c.hear() == std::string("\0\xff", 2));
    CHECK(c->got_binary());
    c->close(websocket::close_code::normal);
}

}  // namespace

TEST_CASE("accept makes a WebSocket of an exchange, which carries the request's id") {
    talking_server running;
    {
        plain_client c(running.server.port());
        const auto got = c.shake_hands();
        CHECK(got.result() == status::switching_protocols);
        CHECK(got["X-Request-Id"].size() == 32);
        CHECK(running.server.counters().connections == 1);
        converse(c);
    }
    REQUIRE(test::eventually([&] { return running.server.counters().connections == 0; }));
    CHECK(running.stop().clean());
}

TEST_CASE("the same WebSocket over TLS") {
    const test::certificate_files certificate("test");
    server_options options;
    options.tls = certificate.options();
    talking_server running(echo, std::move(options));
    ssl::context context(ssl::context::tls_client);
    {
        client<ssl::stream<tcp::socket>> c(running.server.port(), context);
        c->next_layer().handshake(ssl::stream_base::client);
        CHECK(c.shake_hands().result() == status::switching_protocols);
        converse(c);
    }
    REQUIRE(test::eventually([&] { return running.server.counters().connections == 0; }));
}

TEST_CASE("deferred tasks go with the 101; later ones while the conversation goes on") {
    std::atomic<int> with_response{0};
    std::atomic<int> later{0};
    talking_server running([&](exchange& e) -> awaitable<void> {
        e.after().run([&] { ++with_response; });
        auto socket = co_await postlude::http::accept(e);
        boost::beast::flat_buffer buffer;
        while (!std::get<0>(co_await socket->async_read(buffer, as_result))) {
            e.after().run([&] { ++later; });
        }
    });
    plain_client c(running.server.port());
    c.shake_hands();
    CHECK(test::eventually([&] { return with_response == 1; }));
    c.say("one");
    CHECK(test::eventually([&] { return later == 1; }));
    c.say("two");
    CHECK(test::eventually([&] { return later == 2; }));
    CHECK(running.server.counters().connections == 1);
    c->close(websocket::close_code::normal);
}

TEST_CASE("a request that asks for no WebSocket is answered with 426, on a connection that stays") {
    talking_server running;
    auto c = running.connect();
    const auto got = c.get("/");
    CHECK(got.result() == status::upgrade_required);
    CHECK(got["Upgrade"] == "websocket");
    CHECK(c.get("/plain").body() == "plain");
}

TEST_CASE("a full queue is answered with 503 instead of a WebSocket") {
    server_options options;
    options.dispatcher.pool.threads = 1;
    options.dispatcher.pool.default_queue.capacity = 1;
    test::door door;
    const test::door_opener opener(door);
    talking_server running(
        [&](exchange& e) -> awaitable<void> {
            e.after().run([door] { door.wait(); });
            const auto socket = co_await postlude::http::accept(e);
        },
        std::move(options));
    plain_client first(running.server.port());
    CHECK(first.shake_hands().result() == status::switching_protocols);
    REQUIRE(door.wait_for_waiters(1));
    plain_client second(running.server.port());
    websocket::response_type got;
    boost::system::error_code ec;
    second->handshake(got, "test", "/", ec);
    CHECK(ec == websocket::error::upgrade_declined);
    CHECK(got.result() == status::service_unavailable);
    door.open();  // else the server's end would wait for the task
}

TEST_CASE("what the client sends together with its request for a WebSocket is not lost") {
    const bool tls = GENERATE(false, true);
    const test::certificate_files certificate("test");
    server_options options;
    if (tls) {
        options.tls = certificate.options();
    }
    talking_server running(echo, std::move(options));
    // Masked with zeros: "hi" and a close. RFC 6455, section 5.2.
    const std::string frames("\x81\x82\0\0\0\0hi\x88\x80\0\0\0\0", 14);
    const std::string all =
        "GET / HTTP/1.1\r\nHost: t\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n" +
        frames;
    std::string got;
    const auto collect = [&got](auto& stream) {
        boost::system::error_code ec;
        asio::read(stream, asio::dynamic_buffer(got), ec);
    };
    asio::io_context io;
    const tcp::endpoint to(asio::ip::address_v4::loopback(), running.server.port());
    if (tls) {
        ssl::context context(ssl::context::tls_client);
        ssl::stream<tcp::socket> stream(io, context);
        stream.next_layer().connect(to);
        stream.handshake(ssl::stream_base::client);
        asio::write(stream, asio::buffer(all));
        collect(stream);
    } else {
        tcp::socket stream(io);
        stream.connect(to);
        asio::write(stream, asio::buffer(all));
        collect(stream);
    }
    const auto body = got.find("\r\n\r\n");
    REQUIRE(body != got.npos);
    CHECK(got.starts_with("HTTP/1.1 101 "));
    const auto answered = got.substr(body + 4);
    CHECK(answered.starts_with("\x81\x02hi\x88"));
}

TEST_CASE("a stop lets a handler that asked for it close its WebSocket well") {
    talking_server running([](exchange& e) -> awaitable<void> {
        auto socket = co_await postlude::http::accept(e);
        e.on_stop([&] {
            socket->async_close(websocket::close_code::going_away,
                                [](boost::system::error_code) {});
        });
        boost::beast::flat_buffer buffer;
        while (!std::get<0>(co_await socket->async_read(buffer, as_result))) {
        }
    });
    plain_client c(running.server.port());
    c.shake_hands();
    std::jthread stopper([&] { CHECK(running.stop().clean()); });
    CHECK(c.end() == websocket::error::closed);
    CHECK(c->reason().code == websocket::close_code::going_away);
    stopper.join();
    CHECK(running.log.count({"are cut"}) == 0);
}

TEST_CASE("a WebSocket that nobody closes is cut at four fifths of the stop's time") {
    const bool tls = GENERATE(false, true);
    const test::certificate_files certificate("test");
    server_options options;
    options.drain = 1'000ms;
    if (tls) {
        options.tls = certificate.options();
    }
    talking_server running(echo, std::move(options));
    const auto ends_in_time = [&](auto& c) {
        c.shake_hands();
        const auto since = std::chrono::steady_clock::now();
        std::jthread stopper([&] { CHECK(running.stop().clean()); });
        CHECK(c.end() != websocket::error::closed);
        CHECK(std::chrono::steady_clock::now() - since >= 750ms);
        stopper.join();
        CHECK(running.log.count({"1 connections are cut"}) == 1);
    };
    if (tls) {
        ssl::context context(ssl::context::tls_client);
        client<ssl::stream<tcp::socket>> c(running.server.port(), context);
        c->next_layer().handshake(ssl::stream_base::client);
        ends_in_time(c);
    } else {
        plain_client c(running.server.port());
        ends_in_time(c);
    }
}

TEST_CASE("a conversation has its line in the access log when it has ended") {
    const test::captured_log lines;
    server_options options;
    options.access_log = lines.logger();
    talking_server running(echo, std::move(options));
    {
        plain_client c(running.server.port());
        c.shake_hands();
        CHECK(lines.count({""}) == 0);
        c->close(websocket::close_code::normal);
    }
    CHECK(test::eventually([&] { return lines.count({"\"GET /\" 101 - ", " 0 tasks "}) == 1; }));
}
