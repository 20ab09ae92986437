// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
//
// A server of C++20 coroutines on one thread. The lines marked `// postlude` are what embedding
// Postlude changed or added; what `handle` defers is then up to it.

#include <postlude/http/respond.hpp>  // postlude

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
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
using asio::use_awaitable;
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
        text = "Hello from a coroutine.\n";
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

// [readme-embed]
asio::awaitable<void> serve(beast::tcp_stream& stream, application& app) {
    beast::flat_buffer buffer;
    while (!app.stopping) {
        request req;
        stream.expires_after(30s);
        app.waiting.insert(&stream);
        co_await http::async_read(stream, buffer, req, use_awaitable);
        app.waiting.erase(&stream);

        postlude::deferred after(app.dispatcher, req);                        // postlude
        co_await postlude::async_respond(stream, handle(req, after), after);  // postlude
        if (!req.keep_alive()) {
            break;
        }
    }
}
// [/readme-embed]

asio::awaitable<void> connection(tcp::socket socket, application& app) {
    beast::tcp_stream stream(std::move(socket));
    try {
        co_await serve(stream, app);
    } catch (const boost::system::system_error& e) {
        if (e.code() != http::error::end_of_stream && e.code() != asio::error::operation_aborted) {
            std::cerr << "connection: " << e.code().message() << '\n';
        }
    } catch (const std::exception& e) {
        std::cerr << "connection: " << e.what() << '\n';
    }
    app.waiting.erase(&stream);
    beast::error_code ignored;
    stream.socket().shutdown(tcp::socket::shutdown_send, ignored);
}

asio::awaitable<void> accept(tcp::acceptor& acceptor, application& app) {
    asio::steady_timer pause(acceptor.get_executor());
    while (!app.stopping) {
        beast::error_code ec;
        auto socket = co_await acceptor.async_accept(asio::redirect_error(use_awaitable, ec));
        if (!ec) {
            asio::co_spawn(acceptor.get_executor(), connection(std::move(socket), app),
                           asio::detached);
        } else if (ec != asio::error::operation_aborted) {
            std::cerr << "accept: " << ec.message() << '\n';
            pause.expires_after(100ms);
            co_await pause.async_wait(use_awaitable);
        }
    }
}

void run(tcp::endpoint endpoint) {
    application app;
    asio::io_context ioc(1);
    tcp::acceptor acceptor(ioc, endpoint);
    asio::co_spawn(ioc, accept(acceptor, app), asio::detached);

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
