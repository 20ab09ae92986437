// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "http/listener.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/post.hpp>
#include <boost/system/system_error.hpp>

#include <spdlog/spdlog.h>

#include <chrono>
#include <sstream>
#include <utility>

namespace postlude::http::detail {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using boost::system::system_error;

namespace {

/// After an accept that failed for want of descriptors or memory.
constexpr std::chrono::milliseconds pause_after_failure{100};

tcp::endpoint endpoint_of(const server_options& options) {
    error_code ec;
    const auto address = asio::ip::make_address(options.address, ec);
    if (ec) {
        throw system_error(errc::bad_option, "server_options::address is '" + options.address +
                                                 "', which is no IP address");
    }
    return {address, options.port};
}

[[noreturn]] void refuse(const tcp::endpoint& endpoint, error_code ec) {
    std::ostringstream sentence;
    sentence << endpoint;
    if (ec == asio::error::address_in_use) {
        sentence << " is in use by another program; choose another port";
    } else if (ec == asio::error::access_denied) {
        sentence << ": no permission to listen there; ports below 1024 take a privilege";
    } else if (ec == error_code(EADDRNOTAVAIL, boost::system::system_category())) {
        sentence << ": this machine has no such address";
    } else {
        sentence << ": cannot listen there";
    }
    throw system_error(error_code(ec.value(), ec.category()), sentence.str());
}

}  // namespace

listener::listener(asio::io_context& io, service& shared)
    : io_(io),
      service_(shared),
      acceptor_(asio::make_strand(io)),
      pause_(acceptor_.get_executor()) {
    const auto endpoint = endpoint_of(service_.options);
    error_code ec;
    const auto attempt = [&](auto step) {
        if (!ec) {
            step();
        }
    };
    attempt([&] { acceptor_.open(endpoint.protocol(), ec); });
    attempt([&] { acceptor_.set_option(tcp::acceptor::reuse_address(true), ec); });
    attempt([&] { acceptor_.bind(endpoint, ec); });
    attempt([&] { acceptor_.listen(asio::socket_base::max_listen_connections, ec); });
    attempt([&] { acceptor_.non_blocking(true, ec); });
    attempt([&] { port_ = acceptor_.local_endpoint(ec).port(); });
    if (ec) {
        refuse(endpoint, ec);
    }
}

void listener::start() { asio::co_spawn(acceptor_.get_executor(), accept(), asio::detached); }

asio::awaitable<void> listener::accept() {
    auto& log = service_.work.pool().logger();
    bool failed_before = false;
    while (!closing_) {
        auto [ec, socket] = co_await acceptor_.async_accept(asio::make_strand(io_), as_result);
        if (!ec) {
            failed_before = false;
            begin_session(std::move(socket));
        } else if (ec != asio::error::operation_aborted && ec != asio::error::connection_aborted) {
            if (!std::exchange(failed_before, true)) {
                log.error("cannot accept connections: {}; trying again", ec.message());
            }
            pause_.expires_after(pause_after_failure);
            co_await pause_.async_wait(as_result);
        }
    }
    closed_.store(true, std::memory_order_release);
}

void listener::begin_session(stream_socket socket) {
    try {
        std::make_shared<session>(service_, std::move(socket))->start();
    } catch (const std::exception& e) {
        service_.work.pool().logger().error("a connection was cut: {}", e.what());
    }
}

void listener::close() {
    asio::post(acceptor_.get_executor(), [this] {
        closing_ = true;
        take_backlog();
        error_code ignored;
        acceptor_.close(ignored);
        pause_.cancel(ignored);
    });
}

void listener::take_backlog() {
    for (;;) {
        error_code ec;
        stream_socket socket(asio::make_strand(io_));
        acceptor_.accept(socket, ec);
        if (ec == asio::error::connection_aborted) {
            continue;
        }
        if (ec) {
            return;
        }
        begin_session(std::move(socket));
    }
}

}  // namespace postlude::http::detail
