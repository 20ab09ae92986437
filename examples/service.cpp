// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
//
// What a service in production asks of its server: routes with parameters, middleware, bodies piece
// by piece, WebSocket, TLS, a socket that a supervisor keeps. Usage: service PORT [CERTIFICATE KEY]

#include <postlude/http/exchange.hpp>
#include <postlude/http/middleware.hpp>
#include <postlude/http/server.hpp>
#include <postlude/http/websocket.hpp>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/core/flat_buffer.hpp>

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>

namespace asio = boost::asio;
namespace http = postlude::http;
using asio::awaitable;
using http::status;

namespace {

void add_routes(http::server& server) {
    // [readme-routes]
    server.get("/users/{id}", [](const http::request& req, postlude::deferred&) {
        return http::text(status::ok, "user " + std::string(req.param("id")) + "\n");
    });
    server.del("/users/{id}", [](const http::request& req, postlude::deferred& after) {
        after.run([id = std::string(req.param("id"))] { std::cout << "erase " + id + "\n"; });
        return http::response(status::no_content, 11);
    });
    server.get("/files/{path...}", [](const http::request& req, postlude::deferred&) {
        return http::text(status::ok, "file " + std::string(req.param("path")) + "\n");
    });
    // [/readme-routes]
}

void add_middleware(http::server& server) {
    // [readme-middleware]
    server.use([](http::request& req, postlude::deferred&) -> std::optional<http::response> {
        if (req["Authorization"] == "Bearer secret" || http::path(req) == "/health") {
            return std::nullopt;  // passes it on
        }
        return http::text(status::unauthorized, "Who are you?\n");
    });
    server.use([](const http::request&, http::response& res) {  // of every response
        res.set("X-Content-Type-Options", "nosniff");
    });
    server.use([](http::request& req, postlude::deferred& after,
                  const http::next& next) -> awaitable<http::response> {
        auto res = co_await next(req, after);  // the handler, and what was added later
        res.set("X-Route", req.route());       // "/users/{id}", not "/users/17"
        co_return res;
    });
    server.use(http::admit());  // 503 before the handler, if there is no room for one task more
    // [/readme-middleware]
}

void add_streams(http::server& server) {
    // [readme-stream]
    server.stream(http::verb::post, "/count", [](http::exchange& e) -> awaitable<void> {
        e.limit_body(std::uint64_t{1} << 40);
        std::size_t bytes = 0;
        for (auto piece = co_await e.read(); !piece.empty(); piece = co_await e.read()) {
            bytes += piece.size();
        }
        e.after().run([bytes] { std::cout << "counted " + std::to_string(bytes) + "\n"; });
        co_await e.begin(http::text(status::ok, ""));
        co_await e.write("There were ");
        co_await e.write(std::to_string(bytes) + " bytes.\n");
    });  // the response ends here; then the task runs
    // [/readme-stream]

    // [readme-websocket]
    server.stream(http::verb::get, "/echo", [](http::exchange& e) -> awaitable<void> {
        e.after().run([] { std::cout << "somebody talks\n"; });  // runs when the 101 is written
        auto socket = co_await http::accept(e);
        if (!socket) {
            co_return;  // it asked for no WebSocket, and has got a 426
        }
        e.on_stop([&] {
            socket->async_close(boost::beast::websocket::close_code::going_away, asio::detached);
        });
        boost::beast::flat_buffer said;
        for (;;) {
            const auto [ec, n] =
                co_await socket->async_read(said, asio::as_tuple(asio::use_awaitable));
            if (ec) {
                co_return;
            }
            co_await socket->async_write(said.data(), asio::use_awaitable);
            said.consume(n);
        }
    });
    // [/readme-websocket]
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2 && argc != 4) {
        std::cerr << "usage: service PORT [CERTIFICATE KEY]\n";
        return 2;
    }
    try {
        // [readme-production]
        http::server_options options;
        options.address = "::";  // IPv6 and IPv4; "unix:/run/service.sock" is a Unix-domain socket
        options.port = static_cast<unsigned short>(std::atoi(argv[1]));
        options.threads = 2;
        options.access_log = spdlog::stdout_logger_mt("access");
        if (argc == 4) {
            options.tls = {.certificate_chain = argv[2], .private_key = argv[3]};
        }
        if (const auto sockets = http::inherited_sockets(); !sockets.empty()) {
            options.inherited_socket = sockets.front();  // systemd keeps it open across restarts
        }
        http::server server(std::move(options));
        // [/readme-production]
        add_middleware(server);
        add_routes(server);
        add_streams(server);
        server.get("/health", [](const http::request&, postlude::deferred&) {
            return http::text(status::ok, "well\n");
        });
        std::cout << "listening on port " << server.port() << std::endl;
        server.run();
    } catch (const std::exception& e) {
        std::cerr << "service: " << e.what() << '\n';
        return 1;
    }
}
