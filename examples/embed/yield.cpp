// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
//
// A server of stackful coroutines (asio::spawn) on one thread. The lines marked `// postlude` are
// what embedding Postlude changed or added; what `handle` defers is then up to it.

#include <postlude/http/respond.hpp>  // postlude

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

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
using asio::ip::tcp;
using namespace std::chrono_literals;

using request = http::request<http::string_body>;
using response = http::response<http::string_body>;

struct application {
    postlude::dispatcher dispatcher;       // postlude
    std::set<beast::tcp_stream*> waiting;  ///< connections that wait for a request
    bool stopping = false;
};

response page(const request& req, http::status status, std::string text) {
    response res(status, req.version());
    res.set(http::field::content_type, "text/plain");
    res.keep_alive(req.keep_alive());
    res.body() = std::move(text);
    res.prepare_payload();
    return res;
}

response handle(const request& req, postlude::deferred& after) {  // postlude
    if (req.method() != http::verb::get && req.method() != http::verb::head) {
        return page(req, http::status::method_not_allowed, "GET or HEAD, please\n");
    }
    std::string text;
    if (req.target() == "/hello") {
        text = "Hello from a fiber.\n";
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

beast::error_code serve(beast::tcp_stream& stream, application& app, asio::yield_context yield) {
    beast::flat_buffer buffer;
    beast::error_code ec;
    while (!app.stopping) {
        request req;
        stream.expires_after(30s);
        app.waiting.insert(&stream);
        http::async_read(stream, buffer, req, yield[ec]);
        app.waiting.erase(&stream);
        if (ec) {
            break;
        }
        postlude::deferred after(app.dispatcher, req);                          // postlude
        postlude::async_respond(stream, handle(req, after), after, yield[ec]);  // postlude
        if (ec || !req.keep_alive()) {
            break;
        }
    }
    return ec;
}

void connection(tcp::socket socket, application& app, asio::yield_context yield) {
    beast::tcp_stream stream(std::move(socket));
    auto ec = serve(stream, app, yield);
    if (ec && ec != http::error::end_of_stream && ec != asio::error::operation_aborted) {
        std::cerr << "connection: " << ec.message() << '\n';
    }
    stream.socket().shutdown(tcp::socket::shutdown_send, ec);
}

/// What a coroutine throws ends that coroutine only.
void log_exception(std::exception_ptr failure) {
    try {
        if (failure) {
            std::rethrow_exception(failure);
        }
    } catch (const std::exception& e) {
        std::cerr << "connection: " << e.what() << '\n';
    }
}

void accept(tcp::acceptor& acceptor, application& app, asio::yield_context yield) {
    asio::steady_timer pause(acceptor.get_executor());
    while (!app.stopping) {
        beast::error_code ec;
        tcp::socket socket(acceptor.get_executor());
        acceptor.async_accept(socket, yield[ec]);
        if (!ec) {
            asio::spawn(
                acceptor.get_executor(),
                [socket = std::move(socket), &app](asio::yield_context each) mutable {
                    connection(std::move(socket), app, each);
                },
                log_exception);
        } else if (ec != asio::error::operation_aborted) {
            std::cerr << "accept: " << ec.message() << '\n';
            pause.expires_after(100ms);
            pause.async_wait(yield[ec]);
        }
    }
}

void run(const tcp::endpoint& endpoint) {
    application app;
    asio::io_context ioc(1);
    tcp::acceptor acceptor(ioc, endpoint);
    asio::spawn(
        ioc, [&](asio::yield_context yield) { accept(acceptor, app, yield); }, log_exception);

    asio::signal_set signals(ioc, SIGINT, SIGTERM);
    signals.async_wait([&](beast::error_code, int) {
        signals.clear();  // a second signal ends the process at once
        app.stopping = true;
        acceptor.close();
        for (auto* stream : app.waiting) {
            stream->cancel();
        }
    });
    std::cout << "listening on " << acceptor.local_endpoint() << std::endl;
    ioc.run();
    app.dispatcher.shutdown(25s);  // postlude
}

}  // namespace

int main(int argc, char* argv[]) {
    if (argc != 3) {
        std::cerr << "usage: " << argv[0] << " ADDRESS PORT\n";
        return 2;
    }
    try {
        run({asio::ip::make_address(argv[1]), static_cast<unsigned short>(std::atoi(argv[2]))});
    } catch (const std::exception& e) {
        std::cerr << e.what() << '\n';
        return 1;
    }
}
