// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
//
// An HTTPS server of C++20 coroutines on one thread. The lines marked `// postlude` are what
// embedding Postlude changed or added; what `handle` defers is then up to it.

#include <postlude/http/respond.hpp>  // postlude

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>

#include <chrono>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <set>
#include <string>
#include <utility>

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
namespace ssl = asio::ssl;
using asio::ip::tcp;
using namespace std::chrono_literals;

using tls_stream = beast::ssl_stream<beast::tcp_stream>;
using request = http::request<http::string_body>;

constexpr auto as_tuple = asio::as_tuple(asio::use_awaitable);

struct application {
    postlude::dispatcher dispatcher;  // postlude
    std::set<tls_stream*> waiting;    ///< connections that wait for their client
    bool stopping = false;
};

http::message_generator page(const request& req, http::status status, std::string text) {
    http::response<http::string_body> res(status, req.version());
    res.set(http::field::content_type, "text/plain");
    res.keep_alive(req.keep_alive());
    res.body() = std::move(text);
    res.prepare_payload();
    return res;
}

http::message_generator handle(const request& req, postlude::deferred& after) {  // postlude
    if (req.method() != http::verb::get && req.method() != http::verb::head) {
        return page(req, http::status::method_not_allowed, "GET or HEAD, please\n");
    }
    std::string text;
    if (req.target() == "/hello") {
        text = "Hello over TLS.\n";
    } else if (req.target() == "/archive") {
        text.assign(32 << 20, 'a');  // more than the kernel takes before the client reads
    } else {
        return page(req, http::status::not_found, "There is no such page.\n");
    }
    after.run([what = std::string(req.method_string()).append(" ").append(req.target())](
                  postlude::task_context& task) {
        const std::string id(task.request_id());
        std::cout << "ran after " + what + " (request " + id + ")\n" << std::flush;
    });
    return page(req, http::status::ok, std::move(text));
}

asio::awaitable<beast::error_code> serve(tls_stream& stream, application& app) {
    beast::flat_buffer buffer;
    beast::error_code ec;
    auto token = asio::redirect_error(asio::use_awaitable, ec);
    while (!app.stopping) {
        request req;
        beast::get_lowest_layer(stream).expires_after(30s);
        app.waiting.insert(&stream);
        co_await http::async_read(stream, buffer, req, token);
        app.waiting.erase(&stream);
        if (ec) {
            break;
        }
        postlude::deferred after(app.dispatcher, req);                               // postlude
        co_await postlude::async_respond(stream, handle(req, after), after, token);  // postlude
        if (ec || !req.keep_alive()) {
            break;
        }
    }
    co_return ec;
}

void log_error(const char* what, beast::error_code ec) {
    if (ec && ec != http::error::end_of_stream && ec != asio::error::operation_aborted) {
        std::cerr << what << ": " << ec.message() << '\n';
    }
}

asio::awaitable<void> connection(tcp::socket socket, ssl::context& tls, application& app) {
    tls_stream stream(std::move(socket), tls);
    try {
        beast::get_lowest_layer(stream).expires_after(30s);
        app.waiting.insert(&stream);
        auto [handshake_error] =
            co_await stream.async_handshake(ssl::stream_base::server, as_tuple);
        app.waiting.erase(&stream);
        if (handshake_error) {
            log_error("handshake", handshake_error);
            co_return;
        }
        log_error("connection", co_await serve(stream, app));
        beast::get_lowest_layer(stream).expires_after(5s);
        co_await stream.async_shutdown(as_tuple);  // a client that has gone already is no news
    } catch (const std::exception& e) {
        std::cerr << "connection: " << e.what() << '\n';
    }
}

asio::awaitable<void> accept(tcp::acceptor& acceptor, ssl::context& tls, application& app) {
    asio::steady_timer pause(acceptor.get_executor());
    while (!app.stopping) {
        auto [ec, socket] = co_await acceptor.async_accept(as_tuple);
        if (!ec) {
            asio::co_spawn(acceptor.get_executor(), connection(std::move(socket), tls, app),
                           asio::detached);
        } else if (ec != asio::error::operation_aborted) {
            log_error("accept", ec);
            pause.expires_after(100ms);
            co_await pause.async_wait(as_tuple);
        }
    }
}

void run(const tcp::endpoint& endpoint, const char* certificate, const char* key) {
    ssl::context tls(ssl::context::tls_server);
    tls.set_options(ssl::context::default_workarounds | ssl::context::no_tlsv1 |
                    ssl::context::no_tlsv1_1);
    tls.use_certificate_chain_file(certificate);
    tls.use_private_key_file(key, ssl::context::pem);

    application app;
    asio::io_context ioc(1);
    tcp::acceptor acceptor(ioc, endpoint);
    asio::co_spawn(ioc, accept(acceptor, tls, app), asio::detached);

    asio::signal_set signals(ioc, SIGINT, SIGTERM);
    signals.async_wait([&](beast::error_code, int) {
        signals.clear();  // a second signal ends the process at once
        app.stopping = true;
        acceptor.close();
        for (auto* stream : app.waiting) {
            beast::get_lowest_layer(*stream).cancel();
        }
    });
    std::cout << "listening on " << acceptor.local_endpoint() << std::endl;
    ioc.run();
    app.dispatcher.shutdown(25s);  // postlude
}

}  // namespace

int main(int argc, char* argv[]) {
    if (argc != 5) {
        std::cerr << "usage: " << argv[0] << " ADDRESS PORT CERTIFICATE.pem KEY.pem\n";
        return 2;
    }
    try {
        run({asio::ip::make_address(argv[1]), static_cast<unsigned short>(std::atoi(argv[2]))},
            argv[3], argv[4]);
    } catch (const std::exception& e) {
        std::cerr << e.what() << '\n';
        return 1;
    }
}
