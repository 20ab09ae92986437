// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
// Requests a second of one keep-alive server thread on beast::tcp_stream, when it answers with
// http::async_write and when it answers with postlude::async_respond (a list a request, no task).
// A raw Asio loop that parses nothing and writes a constant is the ceiling. The server is on one
// core, the load (32 connections, one request each in flight) on another. Where other processes
// want the cores, too, the processor time that the server's thread took for a request is the
// steadier figure: on a machine of its own, requests a second are its inverse. Run as root it takes
// priority over them.
#include "postlude/http/respond.hpp"
#include "support/load.hpp"
#include "support/options.hpp"
#include "support/results.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>

#include <malloc.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;
using tcp = asio::ip::tcp;
using bench::bench_clock;
using bench::load;
using bench::median;
using bench::pin;

enum class writer { async_write, async_respond, generator_write, generator_respond, raw };

struct settings {
    double seconds = 1;
    int pairs = 9;
    std::size_t body = 13;
    std::size_t connections = 32;
};

http::response<http::string_body> make_response(const http::request<http::string_body>& request,
                                                std::size_t size) {
    http::response<http::string_body> response(http::status::ok, request.version());
    response.set(http::field::server, "bench");
    response.set(http::field::content_type, "text/plain");
    response.keep_alive(request.keep_alive());
    response.body().assign(size, 'x');
    response.prepare_payload();
    return response;
}

/// A server's session as people write them, with callbacks.
class session : public std::enable_shared_from_this<session> {
public:
    session(tcp::socket socket, writer how, std::size_t size, postlude::dispatcher& dispatcher)
        : stream_(std::move(socket)), how_(how), size_(size), dispatcher_(&dispatcher) {}

    void read() {
        request_ = {};
        http::async_read(stream_, buffer_, request_,
                         [self = shared_from_this()](error_code ec, std::size_t) {
                             if (!ec) {
                                 self->answer();
                             }
                         });
    }

private:
    void answer() {
        auto done = [self = shared_from_this()](error_code ec, std::size_t) {
            if (!ec && self->response_.keep_alive()) {
                self->read();
            }
        };
        switch (how_) {
        case writer::async_write:
            response_ = make_response(request_, size_);
            http::async_write(stream_, response_, std::move(done));
            break;
        case writer::async_respond: {
            postlude::deferred after(*dispatcher_, request_);
            response_ = make_response(request_, size_);
            postlude::async_respond(stream_, response_, after, std::move(done));
            break;
        }
        case writer::generator_write:
            beast::async_write(stream_, http::message_generator(make_response(request_, size_)),
                               std::move(done));
            break;
        default: {
            postlude::deferred after(*dispatcher_, request_);
            postlude::async_respond(stream_,
                                    http::message_generator(make_response(request_, size_)), after,
                                    std::move(done));
        }
        }
    }

    beast::tcp_stream stream_;
    beast::flat_buffer buffer_;
    http::request<http::string_body> request_;
    http::response<http::string_body> response_;
    writer how_;
    std::size_t size_;
    postlude::dispatcher* dispatcher_;
};

/// Answers whatever arrives with the same bytes.
class raw_session : public std::enable_shared_from_this<raw_session> {
public:
    raw_session(tcp::socket socket, std::size_t size) : socket_(std::move(socket)) {
        text_ = "HTTP/1.1 200 OK\r\nServer: bench\r\nContent-Type: text/plain\r\nContent-Length: " +
                std::to_string(size) + "\r\n\r\n" + std::string(size, 'x');
    }
    void read() {
        socket_.async_read_some(asio::buffer(in_),
                                [self = shared_from_this()](error_code ec, std::size_t) {
                                    if (!ec) {
                                        self->write();
                                    }
                                });
    }

private:
    void write() {
        asio::async_write(socket_, asio::buffer(text_),
                          [self = shared_from_this()](error_code ec, std::size_t) {
                              if (!ec) {
                                  self->read();
                              }
                          });
    }

    tcp::socket socket_;
    std::string text_;
    std::array<char, 4096> in_{};
};

class server {
public:
    server(writer how, std::size_t size, postlude::dispatcher& dispatcher)
        : acceptor_(context_, tcp::endpoint(asio::ip::address_v4::loopback(), 0)),
          how_(how),
          size_(size),
          dispatcher_(&dispatcher) {
        accept();
        thread_ = std::thread([this] {
            pin(0);
            context_.run();
        });
    }
    ~server() {
        context_.stop();
        thread_.join();
    }
    tcp::endpoint endpoint() const { return acceptor_.local_endpoint(); }

    /// Seconds of processor time that its thread has taken.
    double processor_time() {
        clockid_t clock;
        timespec time;
        pthread_getcpuclockid(thread_.native_handle(), &clock);
        clock_gettime(clock, &time);
        return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
    }

private:
    void accept() {
        acceptor_.async_accept([this](error_code ec, tcp::socket socket) {
            if (ec) {
                return;
            }
            socket.set_option(tcp::no_delay(true));
            if (how_ == writer::raw) {
                std::make_shared<raw_session>(std::move(socket), size_)->read();
            } else {
                std::make_shared<session>(std::move(socket), how_, size_, *dispatcher_)->read();
            }
            accept();
        });
    }

    asio::io_context context_{1};
    tcp::acceptor acceptor_;
    writer how_;
    std::size_t size_;
    postlude::dispatcher* dispatcher_;
    std::thread thread_;
};

struct figures {
    std::vector<double> requests_per_second;
    std::vector<double> microseconds;  ///< of the server's processor time, a request
};

void measure(writer how, const settings& s, postlude::dispatcher& dispatcher, figures& out) {
    server server(how, s.body, dispatcher);
    load load(server.endpoint(), s.connections);
    load.start();
    load.run_for(s.seconds / 4);
    const auto start = bench_clock::now();
    const auto processor_start = server.processor_time();
    const auto n = static_cast<double>(load.run_for(s.seconds));
    const auto processor = server.processor_time() - processor_start;
    const std::chrono::duration<double> elapsed = bench_clock::now() - start;
    out.requests_per_second.push_back(n / elapsed.count());
    out.microseconds.push_back(1e6 * processor / n);
}

void print(const char* name, const figures& f) {
    const auto& rps = f.requests_per_second;
    const auto [min, max] = std::minmax_element(rps.begin(), rps.end());
    std::printf("  %-34s %9.0f  %7.0f ..%7.0f  %9.2f\n", name, median(rps), *min, *max,
                median(f.microseconds));
}

/// How many times more of `a` than of `b`, pair by pair.
void print_ratio(const char* name, const std::vector<double>& a, const std::vector<double>& b,
                 const char* target) {
    std::vector<double> ratios(a.size());
    std::transform(a.begin(), a.end(), b.begin(), ratios.begin(), std::divides<>());
    const auto [min, max] = std::minmax_element(ratios.begin(), ratios.end());
    std::printf("  %-34s %9.2f  %7.2f ..%7.2f  %s%s\n", name, median(ratios), *min, *max,
                *target ? "target " : "", target);
}

void compare(const char* what, writer beast_way, writer our_way, const char* target,
             const settings& s, postlude::dispatcher& dispatcher, bench::results& out) {
    figures beast, ours, raw;
    for (int i = 0; i != s.pairs; ++i) {
        measure(beast_way, s, dispatcher, beast);
        measure(our_way, s, dispatcher, ours);
        measure(writer::raw, s, dispatcher, raw);
    }
    std::printf("%s, body of %zu bytes, %d pairs\n", what, s.body, s.pairs);
    std::printf("  %-34s %9s  %7s ..%7s  %9s\n", "", "median/s", "min", "max", "us cpu");
    print("A  Beast's own write", beast);
    print("B  postlude::async_respond", ours);
    print("C  raw Asio loop, constant answer", raw);
    print_ratio("B / A, requests a second", ours.requests_per_second, beast.requests_per_second,
                target);
    print_ratio("A / B, processor time", beast.microseconds, ours.microseconds, target);
    const auto add = [&](const char* name, const figures& f, const char* wanted) {
        bench::figure one{.part = "latency",
                          .chart = std::string("requests a second, no task, ").append(what),
                          .name = name,
                          .unit = "requests/s",
                          .less_is_better = false,
                          .rounds = f.requests_per_second,
                          .target = wanted};
        if (&f == &ours) {
            one.against = "http::async_write";
        }
        out.add(one);
    };
    add("http::async_write", beast, "");
    add("async_respond", ours, target);
    add("floor: raw Asio loop", raw, "");
    std::puts("");
    std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
    settings s;
    CLI::App app("async_respond beside http::async_write.");
    app.add_option("--seconds", s.seconds, "of each measurement")->capture_default_str();
    app.add_option("--pairs", s.pairs)->check(CLI::PositiveNumber)->capture_default_str();
    app.add_option("--body", s.body, "bytes of it")->capture_default_str();
    const auto common = bench::parse(app, argc, argv);
    if (common.smoke) {
        s.seconds = 0.1;
        s.pairs = 1;
    }
    bench::results out(common.json);
    setpriority(PRIO_PROCESS, 0, -19);
    // Else the heap's end goes back to the system after each large body and is fetched again, in
    // one run and not in another: that costs more than all else together.
    mallopt(M_TRIM_THRESHOLD, 256 << 20);
    mallopt(M_MMAP_THRESHOLD, 16 << 20);
    pin(1);
    postlude::dispatcher_options options;
    options.pool.threads = 1;
    postlude::dispatcher dispatcher(std::move(options));
    compare("tcp_stream, response<string_body>", writer::async_write, writer::async_respond,
            ">= 1.25", s, dispatcher, out);
    compare("tcp_stream, message_generator", writer::generator_write, writer::generator_respond, "",
            s, dispatcher, out);
}
