// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "http/transports.hpp"

#include <boost/asio/error.hpp>

namespace postlude::http::detail {

using boost::asio::awaitable;
using boost::system::error_code;
using const_buffers = std::span<const boost::asio::const_buffer>;

namespace {

class plain_transport final : public transport {
public:
    explicit plain_transport(stream_socket socket) : transport(std::move(socket)) {
        error_code ignored;
        socket_.non_blocking(true, ignored);
    }

    awaitable<io_result> start() override { co_return io_result{}; }

    awaitable<io_result> read_some(boost::asio::mutable_buffer into) override {
        const auto [ec, n] = co_await socket_.async_read_some(into, as_result);
        co_return io_result{ec, n};
    }

    std::size_t write_now(const_buffers pieces, error_code& ec) override {
        const auto n = socket_.write_some(pieces, ec);
        if (ec == boost::asio::error::would_block) {
            ec = {};
        }
        return n;
    }

    awaitable<io_result> write_some(const_buffers pieces) override {
        const auto [ec, n] = co_await socket_.async_write_some(pieces, as_result);
        co_return io_result{ec, n};
    }

    awaitable<io_result> end() override {
        io_result done;
        socket_.shutdown(boost::asio::socket_base::shutdown_send, done.ec);
        co_return done;
    }
};

}  // namespace

std::shared_ptr<transport> make_plain_transport(stream_socket socket) {
    return std::make_shared<plain_transport>(std::move(socket));
}

}  // namespace postlude::http::detail
