// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
//
// A server of callbacks on two threads, a strand for each connection. The lines marked
// `// postlude` are what embedding Postlude changed or added; what `handle` defers is then up to
// it.

#include <postlude/http/respond.hpp>  // postlude

#include <boost/asio/dispatch.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using namespace std::chrono_literals;

using request = http::request<http::string_body>;

class session;

struct application {
    postlude::dispatcher dispatcher;  // postlude
    std::atomic<bool> stopping = false;
    std::mutex mutex;
    std::set<session*> sessions;  ///< guarded by the mutex
};

/// To a HEAD the header only, with the length that the body would have.
http::message_generator page(const request& req, http::status status, std::string text) {
    auto finish = [&]<class Body>(http::response<Body>&& res) -> http::message_generator {
        res.set(http::field::content_type, "text/plain");
        res.keep_alive(req.keep_alive());
        res.content_length(text.size());
        if constexpr (std::is_same_v<Body, http::string_body>) {
            res.body() = std::move(text);
        }
        return std::move(res);
    };
    if (req.method() == http::verb::head) {
        return finish(http::response<http::empty_body>(status, req.version()));
    }
    return finish(http::response<http::string_body>(status, req.version()));
}

http::message_generator handle(const request& req, postlude::deferred& after) {  // postlude
    if (req.method() != http::verb::get && req.method() != http::verb::head) {
        return page(req, http::status::method_not_allowed, "GET or HEAD, please\n");
    }
    std::string text;
    if (req.target() == "/hello") {
        text = "Hello from a callback.\n";
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

class session : public std::enable_shared_from_this<session> {
public:
    session(tcp::socket&& socket, application& app) : stream_(std::move(socket)), app_(app) {
        const std::lock_guard lock(app_.mutex);
        app_.sessions.insert(this);
    }
    session(const session&) = delete;
    session& operator=(const session&) = delete;
    ~session() {
        const std::lock_guard lock(app_.mutex);
        app_.sessions.erase(this);
    }

    void start() {
        asio::dispatch(stream_.get_executor(),
                       beast::bind_front_handler(&session::read, shared_from_this()));
    }

    /// Ends the connection, when it waits for a request at once, else after its response.
    void stop() {
        asio::dispatch(stream_.get_executor(), [self = shared_from_this()] {
            if (self->waiting_) {
                self->stream_.cancel();
            }
        });
    }

private:
    void read() {
        if (app_.stopping) {
            return close();
        }
        req_ = {};
        waiting_ = true;
        stream_.expires_after(30s);
        http::async_read(stream_, buffer_, req_,
                         beast::bind_front_handler(&session::on_read, shared_from_this()));
    }

    void on_read(beast::error_code ec, std::size_t) {
        waiting_ = false;
        if (ec) {
            return fail("read", ec);
        }
        postlude::deferred after(app_.dispatcher, req_);              // postlude
        postlude::async_respond(stream_, handle(req_, after), after,  // postlude
                                beast::bind_front_handler(&session::on_write, shared_from_this()));
    }

    void on_write(beast::error_code ec, std::size_t) {
        if (ec) {
            return fail("write", ec);
        }
        if (!req_.keep_alive()) {
            return close();
        }
        read();
    }

    void fail(const char* what, beast::error_code ec) {
        if (ec != http::error::end_of_stream && ec != asio::error::operation_aborted) {
            std::cerr << std::string(what) + ": " + ec.message() + "\n";
        }
        close();
    }

    void close() {
        beast::error_code ignored;
        stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
    }

    beast::tcp_stream stream_;
    beast::flat_buffer buffer_;
    request req_;
    bool waiting_ = false;
    application& app_;
};

class listener : public std::enable_shared_from_this<listener> {
public:
    listener(asio::io_context& ioc, const tcp::endpoint& endpoint, application& app)
        : acceptor_(asio::make_strand(ioc), endpoint),
          pause_(acceptor_.get_executor()),
          ioc_(ioc),
          app_(app) {}

    tcp::endpoint endpoint() const { return acceptor_.local_endpoint(); }

    void accept() {
        acceptor_.async_accept(asio::make_strand(ioc_),
                               beast::bind_front_handler(&listener::on_accept, shared_from_this()));
    }

    void stop() {
        app_.stopping = true;
        asio::dispatch(acceptor_.get_executor(), [self = shared_from_this()] {
            self->acceptor_.close();
            self->pause_.cancel();
        });
        std::vector<std::shared_ptr<session>> open;
        {
            const std::lock_guard lock(app_.mutex);
            for (auto* each : app_.sessions) {
                if (auto alive = each->weak_from_this().lock()) {
                    open.push_back(std::move(alive));
                }
            }
        }
        for (auto& each : open) {
            each->stop();
        }
    }

private:
    void on_accept(beast::error_code ec, tcp::socket socket) {
        if (app_.stopping) {
            return;
        }
        if (ec) {
            std::cerr << "accept: " + ec.message() + "\n";
            pause_.expires_after(100ms);
            pause_.async_wait([self = shared_from_this()](beast::error_code stopped) {
                if (!stopped) {
                    self->accept();
                }
            });
            return;
        }
        std::make_shared<session>(std::move(socket), app_)->start();
        accept();
    }

    tcp::acceptor acceptor_;
    asio::steady_timer pause_;
    asio::io_context& ioc_;
    application& app_;
};

void run(const tcp::endpoint& endpoint) {
    application app;
    asio::io_context ioc(2);
    auto server = std::make_shared<listener>(ioc, endpoint, app);
    server->accept();

    asio::signal_set signals(ioc, SIGINT, SIGTERM);
    signals.async_wait([&](beast::error_code, int) {
        signals.clear();  // a second signal ends the process at once
        server->stop();
    });
    std::cout << "listening on " << server->endpoint() << std::endl;
    std::jthread second([&] { ioc.run(); });
    ioc.run();
    second.join();
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
