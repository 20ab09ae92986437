// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/http/respond.hpp"

#include "support/catch.hpp"
#include "support/eventually.hpp"
#include "support/temporary_directory.hpp"

#include "http/respond_support.hpp"

#include <boost/asio/any_completion_handler.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_allocator.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/dynamic_body.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/file_body.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/span_body.hpp>
#include <boost/beast/http/vector_body.hpp>
#include <boost/beast/http/write.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>

#include <unistd.h>
#include <array>
#include <cstdio>
#include <fstream>
#include <future>
#include <memory>
#include <thread>

namespace postlude::test {

namespace {

using tcp = asio::ip::tcp;
using local = asio::local::stream_protocol;

const std::string large_text(1'000'000, 'x');

class temporary_file {
public:
    explicit temporary_file(const std::string& text) { std::ofstream(path_) << text; }
    http::response<http::file_body> response(unsigned version) const {
        http::response<http::file_body> r(http::status::ok, version);
        error_code ec;
        r.body().open(path_.c_str(), beast::file_mode::scan, ec);
        REQUIRE(!ec);
        return r;
    }

private:
    ::test::temporary_directory directory_;
    std::string path_ = directory_.file("body");
};

/// Sends what `make(version)` makes in every way and to both versions, and looks at what arrives.
template <class Make>
void check_body(const std::string& name, const std::string& body, const Make& make,
                bool known_length = true) {
    dispatcher dispatcher(small_pool());
    for (const auto w : all_ways) {
        for (const unsigned version : {10u, 11u}) {
            for (const std::size_t write_max : {std::size_t(-1), std::size_t(1'000)}) {
                CAPTURE(name, int(w), version, write_max);
                deferred after(dispatcher, request_info{.http10 = version == 10});
                auto response = make(version);
                response.keep_alive(true);
                // A generator without a length that is large can only end with the connection.
                if (is_generator(w) && body.size() > detail::flat_body_limit) {
                    response.prepare_payload();
                }
                const auto s = send(w, after, std::move(response), {.write_max = write_max});
                const auto got = parse(s.text);
                CHECK(got.body == body);
                CHECK(got.left == 0);
                CHECK(s.bytes == s.text.size());
                const bool closes = !known_length && version == 10 &&
                                    (!is_generator(w) || body.size() > detail::flat_body_limit);
                CHECK(got.keep_alive == !closes);
                CHECK(s.ec == (closes ? http::error::end_of_stream : error_code{}));
                if (known_length) {
                    CHECK(got.length == body.size());
                    CHECK(!got.chunked);
                }
            }
        }
    }
}

template <class T>
struct counting_allocator {
    using value_type = T;
    int* allocated;
    int* held;
    counting_allocator(int* a, int* h) : allocated(a), held(h) {}
    template <class U>
    counting_allocator(const counting_allocator<U>& o) : allocated(o.allocated), held(o.held) {}
    T* allocate(std::size_t n) {
        ++*allocated;
        ++*held;
        return std::allocator<T>().allocate(n);
    }
    void deallocate(T* p, std::size_t n) {
        --*held;
        std::allocator<T>().deallocate(p, n);
    }
    template <class U>
    bool operator==(const counting_allocator<U>& o) const {
        return held == o.held;
    }
};

/// A server and a client, connected, in one loop.
struct connected {
    asio::io_context loop;
    beast::test::stream server{loop};
    beast::test::stream client = beast::test::connect(server);
};

}  // namespace

TEST_CASE("every body arrives whole, however it is sent and whoever reads it") {
    const std::string small = "hello, world";
    check_body("empty", "",
               [](unsigned v) { return http::response<http::empty_body>(http::status::ok, v); });
    for (const auto& text : {std::string{}, small, std::string(detail::flat_body_limit, 'y'),
                             std::string(detail::flat_body_limit + 1, 'z'), large_text}) {
        check_body("string", text, [&](unsigned v) { return text_response(text, v); });
        check_body("vector", text, [&](unsigned v) {
            http::response<http::vector_body<char>> r(http::status::ok, v);
            r.body().assign(text.begin(), text.end());
            return r;
        });
        check_body("span", text, [&](unsigned v) {
            http::response<http::span_body<const char>> r(http::status::ok, v);
            r.body() = {text.data(), text.size()};
            return r;
        });
        const temporary_file file(text);
        check_body("file", text, [&](unsigned v) { return file.response(v); });
        check_body("dynamic", text, [&](unsigned v) {
            http::response<http::dynamic_body> r(http::status::ok, v);
            r.body().commit(asio::buffer_copy(r.body().prepare(text.size()), asio::buffer(text)));
            return r;
        });
    }
    check_body("nothing", "", [](unsigned v) { return pieces_response({}, v); }, false);
    check_body(
        "pieces", small,
        [](unsigned v) { return pieces_response({"", "hello", "", ", world", ""}, v); }, false);
    check_body(
        "large pieces", large_text,
        [](unsigned v) { return pieces_response(std::vector(100, std::string(10'000, 'x')), v); },
        false);
}

TEST_CASE("a body that says how long it is must be so long") {
    dispatcher dispatcher(small_pool());
    outcome ran;
    for (const auto w : {way::lvalue, way::rvalue, way::blocking}) {
        for (const std::size_t claim : {0, 4, 6}) {
            http::response<claiming_body> r(http::status::ok, 11);
            r.body().pieces = {"hello"};
            r.body().claim = claim;
            deferred after(dispatcher);
            ran.watch(after);
            const auto s = send(w, after, std::move(r));
            CHECK(s.ec == http::error::bad_content_length);
            CHECK(s.text.empty());
            CHECK(s.bytes == 0);
        }
    }
    dispatcher.shutdown(10s);
    CHECK(ran.text() == "9009");
}

TEST_CASE("a body that fails ends the response with its error, and nothing follows it") {
    const auto failure = make_error_code(boost::system::errc::io_error);
    for (const auto w : all_ways) {
        for (const bool at_once : {false, true}) {
            for (const std::size_t size : {10, 100'000}) {
                dispatcher dispatcher(small_pool());
                outcome ran;
                {
                    deferred after(dispatcher);
                    ran.watch(after);
                    auto r = pieces_response({std::string(size, 'x')});
                    r.prepare_payload();
                    (at_once ? r.body().begin : r.body().end) = failure;
                    const auto s = send(w, after, std::move(r));
                    CHECK(s.ec == failure);
                    CHECK(s.text.size() == s.bytes);
                    CHECK(s.text.find("0\r\n\r\n") == std::string::npos);
                }
                dispatcher.shutdown(10s);
                // Of a generator that fails before its header nobody knows the status.
                CHECK(ran.text() == (is_generator(w) && at_once ? "0011" : "1001"));
            }
        }
    }
}

TEST_CASE("a write that fails, whichever it is, is a failed write to the deferred work") {
    const std::string body(40'000, 'x');
    for (const auto w : all_ways) {
        for (std::size_t fail_at = 1;; ++fail_at) {
            dispatcher dispatcher(small_pool());
            outcome ran;
            sent s;
            {
                deferred after(dispatcher);
                ran.watch(after);
                auto r = text_response(body);
                r.prepare_payload();
                s = send(w, after, std::move(r), {.write_max = 9'000, .fail_at = fail_at});
            }
            dispatcher.shutdown(10s);
            CHECK(s.bytes == s.text.size());
            if (!s.ec) {
                CHECK(parse(s.text).body == body);
                CHECK(ran.text() == "1101");
                CHECK(fail_at >= 5);
                break;
            }
            CHECK(s.ec == beast::test::error::test_failure);
            CHECK(s.bytes == (fail_at - 1) * 9'000);
            CHECK(ran.text() == "1001");
        }
    }
}

TEST_CASE("the status as it is sent decides what runs") {
    for (const auto w : all_ways) {
        for (const auto& [status, expected] :
             {std::pair(200u, "1101"), std::pair(304u, "1101"), std::pair(399u, "1101"),
              std::pair(101u, "1101"), std::pair(400u, "0011"), std::pair(503u, "0011")}) {
            dispatcher dispatcher(small_pool());
            outcome ran;
            {
                deferred after(dispatcher);
                ran.watch(after);
                send(w, after, text_response("", 11, status));
            }
            dispatcher.shutdown(10s);
            CHECK(ran.text() == expected);
        }
        dispatcher dispatcher(small_pool(5));
        outcome ran;
        {
            deferred after(dispatcher);
            ran.watch(after);
            CHECK(!after.reserve(3));
            send(w, after, text_response(""));
        }
        dispatcher.shutdown(10s);
        CHECK(ran.text() == "0011");
    }
}

TEST_CASE("an interim response leaves the list open for the one that follows") {
    for (const auto w : all_ways) {
        dispatcher dispatcher(small_pool());
        outcome ran;
        {
            deferred after(dispatcher);
            ran.watch(after);
            CHECK(!send(w, after, text_response("", 11, 103)).ec);
            CHECK(after.size() == 4);
            CHECK(!send(w, after, text_response("")).ec);
            CHECK(after.size() == 0);
        }
        dispatcher.shutdown(10s);
        CHECK(ran.text() == "1101");
    }
}

TEST_CASE("the connection's end counts as a response that was sent") {
    dispatcher dispatcher(small_pool());
    outcome ran;
    {
        deferred after(dispatcher, request_info{.http10 = true});
        ran.watch(after);
        CHECK(send(way::lvalue, after, pieces_response({"hello"})).ec ==
              http::error::end_of_stream);
    }
    dispatcher.shutdown(10s);
    CHECK(ran.text() == "1101");
}

TEST_CASE("the operation never completes inside the call that begins it, nor throws") {
    dispatcher dispatcher(small_pool());
    const auto failure = make_error_code(boost::system::errc::io_error);
    for (const bool fails : {false, true}) {
        connected c;
        deferred after(dispatcher);
        auto r = pieces_response({"hello"});
        r.body().begin = fails ? failure : error_code{};
        std::optional<error_code> result;
        async_respond(c.server, r, after, [&](error_code ec, std::size_t) { result = ec; });
        CHECK(!result);
        c.loop.run();
        REQUIRE(result);
        CHECK(*result == (fails ? failure : error_code{}));
    }
}

TEST_CASE("completion runs on the handler's executor, errors at once included") {
    dispatcher dispatcher(small_pool());
    for (const bool fails : {false, true}) {
        connected c;
        asio::io_context other;
        deferred after(dispatcher);
        auto r = pieces_response({"hello"});
        r.body().begin = make_error_code(boost::system::errc::io_error);
        r.body().begin = fails ? r.body().begin : error_code{};
        bool done = false;
        async_respond(c.server, r, after, asio::bind_executor(other, [&](error_code, std::size_t) {
                          done = true;
                          CHECK(other.get_executor().running_in_this_thread());
                      }));
        c.loop.poll();
        CHECK(!done);
        // A response of several writes goes to and fro between the two.
        CHECK(::test::eventually([&] {
            c.loop.restart();
            c.loop.poll();
            other.restart();
            other.poll();
            return done;
        }));
    }
}

TEST_CASE("memory comes from the handler's allocator, and is back before the handler runs") {
    dispatcher dispatcher(small_pool());
    for (const std::size_t size : {10, 100'000}) {
        for (const bool generator : {false, true}) {
            connected c;
            int allocated = 0;
            int held = 0;
            const counting_allocator<char> allocator{&allocated, &held};
            deferred after(dispatcher);
            auto r = text_response(std::string(size, 'x'));
            r.prepare_payload();
            auto handler = asio::bind_allocator(allocator, [&](error_code ec, std::size_t) {
                CHECK(!ec);
                CHECK(held == 0);
            });
            if (generator) {
                async_respond(c.server, http::message_generator(std::move(r)), after,
                              std::move(handler));
            } else {
                async_respond(c.server, std::move(r), after, std::move(handler));
            }
            CHECK(allocated > 0);
            c.loop.run();
        }
    }
}

TEST_CASE("cancellation reaches the write") {
    dispatcher dispatcher(small_pool());
    outcome ran;
    asio::io_context loop;
    local::socket server(loop), client(loop);
    asio::local::connect_pair(server, client);
    asio::cancellation_signal cancel;
    std::optional<error_code> result;
    {
        deferred after(dispatcher);
        ran.watch(after);
        // More than a socket takes while nobody reads.
        async_respond(server, text_response(std::string(20'000'000, 'x')), after,
                      asio::bind_cancellation_slot(
                          cancel.slot(), [&](error_code ec, std::size_t) { result = ec; }));
        loop.poll();
        CHECK(!result);
        cancel.emit(asio::cancellation_type::terminal);
        loop.run();
    }
    CHECK(result == asio::error::operation_aborted);
    dispatcher.shutdown(10s);
    CHECK(ran.text() == "1001");
}

TEST_CASE("a coroutine may await it, with or without use_awaitable, and gets its bytes") {
    dispatcher dispatcher(small_pool());
    connected c;
    auto session = [&]() -> asio::awaitable<std::size_t> {
        deferred first(dispatcher);
        auto r = text_response("hello");
        auto n = co_await async_respond(c.server, r, first);
        deferred second(dispatcher);
        n += co_await async_respond(c.server, text_response("hello"), second, asio::use_awaitable);
        deferred third(dispatcher);
        n += co_await async_respond(c.server, http::message_generator(text_response("hello")),
                                    third);
        deferred fourth(dispatcher);
        auto later = async_respond(c.server, text_response(large_text), fourth, asio::deferred);
        n += co_await std::move(later);
        co_return n;
    };
    auto n = asio::co_spawn(c.loop, session(), asio::use_future);
    c.loop.run();
    CHECK(n.get() == c.client.str().size());
}

TEST_CASE("use_future gets the bytes, or an exception") {
    dispatcher dispatcher(small_pool());
    connected c;
    deferred after(dispatcher);
    auto n = async_respond(c.server, text_response("hello"), after, asio::use_future);
    deferred old(dispatcher, request_info{.http10 = true});
    auto closes = async_respond(c.server, pieces_response({"hello"}), old, asio::use_future);
    c.loop.run();
    CHECK(n.get() == std::string_view("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").size());
    CHECK_THROWS_AS(closes.get(), boost::system::system_error);
}

TEST_CASE("the blocking form throws what the other one returns") {
    dispatcher dispatcher(small_pool());
    connected c;
    deferred first(dispatcher);
    auto r = text_response("hello");
    const auto n = respond(c.server, r, first);
    CHECK(n == c.client.str().size());

    beast::test::fail_count failure(1);
    beast::test::stream failing(c.loop, failure);
    outcome ran;
    deferred second(dispatcher);
    ran.watch(second);
    CHECK_THROWS_AS(respond(failing, r, second), boost::system::system_error);
    dispatcher.shutdown(10s);
    CHECK(ran.text() == "1001");
}

TEST_CASE("work goes behind what the completion handler has started") {
    dispatcher dispatcher(small_pool());
    connected c;
    std::promise<void> ran;
    auto has_run = ran.get_future();
    std::promise<void> passed;
    {
        deferred after(dispatcher);
        after.run([&] { ran.set_value(); });
        auto r = text_response("hello");
        async_respond(c.server, r, after,
                      [&](error_code, std::size_t) { asio::post(c.loop, [&] { c.loop.stop(); }); });
    }
    c.loop.run();
    // Whatever has been handed to the one worker by now is done before this.
    REQUIRE_FALSE(dispatcher.try_run([&] { passed.set_value(); }));
    REQUIRE(passed.get_future().wait_for(::test::patience) == std::future_status::ready);
    CHECK(has_run.wait_for(0s) == std::future_status::timeout);
    c.loop.restart();
    c.loop.run();
    CHECK(has_run.wait_for(::test::patience) == std::future_status::ready);
}

TEST_CASE("a completion handler that throws does not hold the work back") {
    dispatcher dispatcher(small_pool());
    connected c;
    outcome ran;
    {
        deferred after(dispatcher);
        ran.watch(after);
        auto r = text_response("hello");
        async_respond(c.server, r, after, [](error_code, std::size_t) { throw 1; });
        CHECK_THROWS_AS(c.loop.run(), int);
        c.loop.restart();
        c.loop.run();
    }
    dispatcher.shutdown(10s);
    CHECK(ran.text() == "1101");
}

TEST_CASE("an operation destroyed with its loop is a failed write") {
    dispatcher dispatcher(small_pool());
    outcome ran;
    auto loop = std::make_unique<asio::io_context>();
    {
        beast::test::stream server(*loop);
        auto client = beast::test::connect(server);
        deferred after(dispatcher);
        ran.watch(after);
        async_respond(server, text_response("hello"), after, [](error_code, std::size_t) {});
    }
    loop.reset();
    dispatcher.shutdown(10s);
    CHECK(ran.text() == "1001");
}

TEST_CASE("a list may be destroyed as soon as the response has begun") {
    dispatcher dispatcher(small_pool());
    connected c;
    outcome ran;
    {
        deferred after(dispatcher);
        ran.watch(after);
        async_respond(c.server, text_response("hello"), after,
                      [owner = std::make_unique<int>()](error_code, std::size_t) {});
    }
    c.loop.run();
    dispatcher.shutdown(10s);
    CHECK(ran.text() == "1101");
}

namespace {

/// Answers GET and HEAD of a few paths, in a different way each, on any stream.
template <class Stream>
asio::awaitable<void> serve(Stream& stream, dispatcher& dispatcher) {
    beast::flat_buffer buffer;
    for (;;) {
        http::request<http::string_body> request;
        auto [ec, n] =
            co_await http::async_read(stream, buffer, request, asio::as_tuple(asio::use_awaitable));
        if (ec) {
            co_return;
        }
        deferred after(dispatcher, request);
        const std::string_view path = request.target();
        if (path == "/pieces") {
            auto r = pieces_response({"hello", ", world"});
            co_await async_respond(stream, r, after, asio::use_awaitable);
        } else if (path == "/large") {
            co_await async_respond(stream, text_response(large_text), after, asio::use_awaitable);
        } else if (path == "/generator") {
            co_await async_respond(stream, http::message_generator(text_response("generated")),
                                   after, asio::use_awaitable);
        } else if (path == "/204" || path == "/304") {
            auto r = text_response("not to be sent", 11, path == "/204" ? 204 : 304);
            co_await async_respond(stream, r, after, asio::use_awaitable);
        } else {
            auto r = text_response("small");
            co_await async_respond(stream, r, after, asio::use_awaitable);
        }
    }
}

/// Asks on one connection for each of them, pipelined two by two, and expects what Beast's parser
/// expects. A response out of step would be read as another's.
template <class Stream>
void ask(Stream& client) {
    struct {
        http::verb method;
        const char* path;
        unsigned status;
        std::string body;
    } const rounds[] = {
        {http::verb::get, "/", 200, "small"},
        {http::verb::head, "/", 200, ""},
        {http::verb::get, "/204", 204, ""},
        {http::verb::get, "/304", 304, ""},
        {http::verb::get, "/pieces", 200, "hello, world"},
        {http::verb::head, "/pieces", 200, ""},
        {http::verb::get, "/large", 200, large_text},
        {http::verb::head, "/large", 200, ""},
        {http::verb::get, "/generator", 200, "generated"},
        {http::verb::head, "/generator", 200, ""},
    };
    beast::flat_buffer buffer;
    for (const auto& first : rounds) {
        for (const auto& second : rounds) {
            for (const auto* one : {&first, &second}) {
                http::write(client, http::request<http::empty_body>(one->method, one->path, 11));
            }
            for (const auto* one : {&first, &second}) {
                CAPTURE(std::string(http::to_string(one->method)), one->path);
                http::response_parser<http::string_body> parser;
                parser.skip(one->method == http::verb::head);
                http::read(client, buffer, parser);
                CHECK(parser.get().result_int() == one->status);
                CHECK((parser.get().body() == one->body));
                CHECK(parser.keep_alive());
            }
        }
    }
    CHECK(buffer.size() == 0);
}

/// Runs `server` on a thread of its own, in `loop`, while `client` talks to it.
template <class Server, class Client>
void run_beside(asio::io_context& loop, Server server, Client client) {
    auto served = asio::co_spawn(loop, std::move(server), asio::use_future);
    std::thread thread([&] { loop.run(); });
    client();
    thread.join();
    served.get();
}

/// An anonymous cipher: no certificate to make, or to run out.
void make_anonymous(asio::ssl::context& context) {
    SSL_CTX_set_max_proto_version(context.native_handle(), TLS1_2_VERSION);
    REQUIRE(SSL_CTX_set_cipher_list(context.native_handle(), "aNULL:@SECLEVEL=0") == 1);
}

template <template <class> class SslStream>
void check_tls(dispatcher& dispatcher) {
    asio::io_context loop, other;
    local::socket server_socket(loop), client_socket(other);
    asio::local::connect_pair(server_socket, client_socket);
    asio::ssl::context server_context(asio::ssl::context::tls_server);
    asio::ssl::context client_context(asio::ssl::context::tls_client);
    make_anonymous(server_context);
    make_anonymous(client_context);
    SslStream<local::socket> server(std::move(server_socket), server_context);
    SslStream<local::socket> client(std::move(client_socket), client_context);
    run_beside(
        loop,
        [&]() -> asio::awaitable<void> {
            co_await server.async_handshake(asio::ssl::stream_base::server, asio::use_awaitable);
            co_await serve(server, dispatcher);
        },
        [&] {
            client.handshake(asio::ssl::stream_base::client);
            ask(client);
            client.next_layer().close();
        });
}

}  // namespace

TEST_CASE("a keep-alive connection stays in step over tcp_stream") {
    dispatcher dispatcher(small_pool());
    asio::io_context loop, other;
    tcp::acceptor acceptor(loop, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
    beast::tcp_stream client(other);
    client.connect(acceptor.local_endpoint());
    beast::tcp_stream server(acceptor.accept());
    run_beside(
        loop, [&] { return serve(server, dispatcher); },
        [&] {
            ask(client);
            client.close();
        });
}

TEST_CASE("a keep-alive connection stays in step over a plain socket") {
    dispatcher dispatcher(small_pool());
    asio::io_context loop, other;
    local::socket server(loop), client(other);
    asio::local::connect_pair(server, client);
    run_beside(
        loop, [&] { return serve(server, dispatcher); },
        [&] {
            ask(client);
            client.close();
        });
}

TEST_CASE("a keep-alive connection stays in step over TLS, Asio's and Beast's") {
    dispatcher dispatcher(small_pool());
    check_tls<asio::ssl::stream>(dispatcher);
    check_tls<beast::ssl_stream>(dispatcher);
}

}  // namespace postlude::test
