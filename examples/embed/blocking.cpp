// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
//
// A server of blocking calls, a thread for each connection. The lines marked `// postlude` are
// what embedding Postlude changed or added; what `handle` defers is then up to it.
//
// Asio's blocking calls know no time limit: a client that stops reading holds its thread, and the
// stop of the server, for as long as it likes.

#include <postlude/http/respond.hpp>  // postlude

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <list>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include <sys/socket.h>

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using namespace std::chrono_literals;

using request = http::request<http::string_body>;
using response = http::response<http::string_body>;

struct application {
    postlude::dispatcher dispatcher;  // postlude
    std::atomic<bool> stopping = false;
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
        text = "Hello from a thread.\n";
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

beast::error_code serve(tcp::socket& socket, application& app) {
    beast::flat_buffer buffer;
    beast::error_code ec;
    while (!app.stopping) {
        request req;
        http::read(socket, buffer, req, ec);
        if (ec) {
            break;
        }
        postlude::deferred after(app.dispatcher, req);             // postlude
        postlude::respond(socket, handle(req, after), after, ec);  // postlude
        if (ec || !req.keep_alive()) {
            break;
        }
    }
    return ec;
}

class connection {
public:
    connection(tcp::socket socket, application& app)
        : socket_(std::move(socket)), thread_([this, &app] { run(app); }) {}

    bool ended() const { return ended_; }
    /// No further request is read; a response under way is finished.
    void stop() { ::shutdown(socket_.native_handle(), SHUT_RD); }

private:
    void run(application& app) {
        try {
            auto ec = serve(socket_, app);
            if (ec && ec != http::error::end_of_stream) {
                std::cerr << "connection: " + ec.message() + "\n";
            }
        } catch (const std::exception& e) {
            std::cerr << "connection: " + std::string(e.what()) + "\n";
        }
        ::shutdown(socket_.native_handle(), SHUT_RDWR);
        ended_ = true;
    }

    tcp::socket socket_;
    std::atomic<bool> ended_ = false;
    std::jthread thread_;  // the last member: it uses the others, and is joined first
};

void start(std::list<connection>& connections, tcp::socket socket, application& app) {
    try {
        connections.emplace_back(std::move(socket), app);
    } catch (const std::system_error& e) {
        std::cerr << "no thread for a connection: " + std::string(e.what()) + "\n";
    }
}

void run(const tcp::endpoint& endpoint) {
    sigset_t signals;  // blocked here, and so in every thread that this one starts
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);

    application app;
    asio::io_context ioc;
    tcp::acceptor acceptor(ioc, endpoint);
    std::list<connection> connections;
    std::cout << "listening on " << acceptor.local_endpoint() << std::endl;

    std::jthread stopper([&] {
        int signal = 0;
        sigwait(&signals, &signal);
        app.stopping = true;
        ::shutdown(acceptor.native_handle(), SHUT_RDWR);  // ends the accept() that waits
    });
    while (!app.stopping) {
        beast::error_code ec;
        tcp::socket socket(ioc);
        acceptor.accept(socket, ec);
        connections.remove_if([](const connection& each) { return each.ended(); });
        if (!ec) {
            start(connections, std::move(socket), app);
        } else if (!app.stopping) {
            std::cerr << "accept: " + ec.message() + "\n";
            std::this_thread::sleep_for(100ms);
        }
    }
    pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);  // a second signal ends the process at once
    for (auto& each : connections) {
        each.stop();
    }
    connections.clear();
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
