// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_BENCH_SUPPORT_BEAST_SERVER_HPP
#define POSTLUDE_BENCH_SUPPORT_BEAST_SERVER_HPP

#include "load.hpp"
#include "postlude/http/respond.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <boost/describe/class.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>

namespace bench {

/// How a server does the work that a request brings.
enum class way {
    none,          ///< there is no work; http::async_write
    none_respond,  ///< there is no work; postlude::async_respond with an empty list
    in_handler,    ///< before the response
    thread,        ///< behind the response, in a std::thread of its own
    asio_pool,     ///< behind the response, posted to an asio::thread_pool
    postlude,      ///< deferred
    durable        ///< a durable job
};

inline const char* name_of(way w) {
    switch (w) {
    case way::none: return "no work";
    case way::none_respond: return "no work, async_respond";
    case way::in_handler: return "in the handler";
    case way::thread: return "std::thread";
    case way::asio_pool: return "asio::thread_pool";
    case way::postlude: return "Postlude, task";
    case way::durable: return "Postlude, durable job";
    }
    return "";
}

/// What a request's work is: so long on a processor, then so long asleep.
struct work {
    std::uint64_t turns = 0;  ///< of `spin`
    std::chrono::microseconds asleep{0};
};

/// Keeps a processor busy, for as long whoever else wants it.
inline void spin(std::uint64_t turns) noexcept {
    for (std::uint64_t i = 0; i != turns; ++i) {
        asm volatile("" ::: "memory");
    }
}

/// How many turns take a microsecond when nobody disturbs them.
inline double turns_a_microsecond() {
    constexpr std::uint64_t some = 100'000;
    double best = 1e9;
    for (int i = 0; i != 50; ++i) {
        const auto begin = bench_clock::now();
        spin(some);
        best = std::min(
            best, std::chrono::duration<double, std::micro>(bench_clock::now() - begin).count());
    }
    return static_cast<double>(some) / best;
}

struct bench_job {
    std::string text = std::string(285, 'x');
    static constexpr postlude::job_traits job{.kind = "bench",
                                              .stored = postlude::durability::durable};
};
BOOST_DESCRIBE_STRUCT(bench_job, (), (text))

/// A keep-alive server with callbacks on one thread, as people write them, and its ways.
class beast_server {
public:
    beast_server(way how, work what, postlude::dispatcher_options options = {})
        : how_(how),
          what_(what),
          dispatcher_(with_jobs(std::move(options))),
          acceptor_(context_, {asio::ip::address_v4::loopback(), 0}) {
        accept();
        thread_ = std::thread([this] { context_.run(); });
    }
    beast_server(const beast_server&) = delete;
    beast_server& operator=(const beast_server&) = delete;
    ~beast_server() {
        context_.stop();
        thread_.join();
    }
    unsigned short port() const { return acceptor_.local_endpoint().port(); }
    /// Of the requests' work.
    std::uint64_t done() const noexcept { return done_.load(std::memory_order_relaxed); }

private:
    using error_code = boost::system::error_code;
    using response = boost::beast::http::response<boost::beast::http::string_body>;

    class session : public std::enable_shared_from_this<session> {
    public:
        session(tcp::socket socket, beast_server& server)
            : stream_(std::move(socket)), server_(server) {}
        void read() {
            request_ = {};
            boost::beast::http::async_read(stream_, buffer_, request_,
                                           [self = shared_from_this()](error_code ec, std::size_t) {
                                               if (!ec) {
                                                   self->answer();
                                               }
                                           });
        }

    private:
        auto then_read() {
            return [self = shared_from_this()](error_code ec, std::size_t) {
                auto& server = self->server_;
                if (server.how_ == way::thread) {
                    std::thread([&server] { server.do_work(); }).detach();
                } else if (server.how_ == way::asio_pool) {
                    asio::post(*server.asio_pool_, [&server] { server.do_work(); });
                }
                if (!ec && self->response_.keep_alive()) {
                    self->read();
                }
            };
        }
        void answer() {
            prepare();
            switch (server_.how_) {
            case way::in_handler: server_.do_work(); [[fallthrough]];
            case way::none:
            case way::thread:
            case way::asio_pool:
                boost::beast::http::async_write(stream_, response_, then_read());
                return;
            default: break;
            }
            postlude::deferred after(server_.dispatcher_, request_);
            if (server_.how_ == way::postlude) {
                after.run([&server = server_] { server.do_work(); });
            } else if (server_.how_ == way::durable) {
                after.enqueue(bench_job{});
            }
            postlude::async_respond(stream_, response_, after, then_read());
        }
        void prepare() {
            namespace http = boost::beast::http;
            response_ = {http::status::ok, request_.version()};
            response_.set(http::field::server, "bench");
            response_.set(http::field::content_type, "text/plain");
            response_.keep_alive(request_.keep_alive());
            response_.body() = "hello, world\n";
            response_.prepare_payload();
        }

        boost::beast::tcp_stream stream_;
        boost::beast::flat_buffer buffer_;
        boost::beast::http::request<boost::beast::http::string_body> request_;
        response response_;
        beast_server& server_;
    };

    postlude::dispatcher_options with_jobs(postlude::dispatcher_options options) {
        if (how_ == way::durable) {
            options.kinds.handle<bench_job>([this](const bench_job&) { do_work(); });
        }
        return options;
    }
    void accept() {
        acceptor_.async_accept([this](error_code ec, tcp::socket socket) {
            if (!ec) {
                socket.set_option(tcp::no_delay(true));
                std::make_shared<session>(std::move(socket), *this)->read();
                accept();
            }
        });
    }
    void do_work() {
        spin(what_.turns);
        if (what_.asleep.count() > 0) {
            std::this_thread::sleep_for(what_.asleep);
        }
        done_.fetch_add(1, std::memory_order_relaxed);
    }

    way how_;
    work what_;
    std::atomic<std::uint64_t> done_{0};
    postlude::dispatcher dispatcher_;
    std::unique_ptr<asio::thread_pool> asio_pool_ =
        how_ == way::asio_pool ? std::make_unique<asio::thread_pool>() : nullptr;
    asio::io_context context_{1};
    tcp::acceptor acceptor_;
    std::thread thread_;
};

}  // namespace bench

#endif
