// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "http/transports.hpp"

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/error.hpp>

#include <utility>

namespace postlude::http::detail {

using boost::asio::awaitable;
using boost::system::error_code;
using const_buffers = std::span<const boost::asio::const_buffer>;

namespace {

class plain_transport final : public transport {
public:
    plain_transport(stream_socket socket, bool one_thread)
        : transport(std::move(socket)), one_thread_(one_thread) {
        error_code ignored;
        socket_.non_blocking(true, ignored);
    }

    awaitable<io_result> start() override { co_return io_result{}; }

    awaitable<io_result> read_some(boost::asio::mutable_buffer into) override {
        const auto [ec, n] = co_await socket_.async_read_some(into, as_result);
        co_return io_result{ec, n};
    }

    void read_later(boost::asio::mutable_buffer into,
                    std::shared_ptr<read_client> client) override {
        auto tell = [client = std::move(client)](error_code ec, std::size_t n) mutable {
            auto& told = *client;
            told.on_read(std::move(client), ec, n);
        };
        if (one_thread_) {
            // Nobody else could run meanwhile: a strand would only take time.
            const auto loop = socket_.get_executor().get_inner_executor();
            socket_.async_read_some(into, boost::asio::bind_executor(loop, std::move(tell)));
        } else {
            socket_.async_read_some(into, std::move(tell));
        }
    }

    std::size_t write_now(const_buffers pieces, error_code& ec) override {
        // One buffer takes the shorter way through the system.
        const auto n = pieces.size() == 1 ? socket_.write_some(pieces.front(), ec)
                                          : socket_.write_some(pieces, ec);
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

private:
    const bool one_thread_;
};

}  // namespace

std::shared_ptr<transport> make_plain_transport(stream_socket socket, bool one_thread) {
    return std::make_shared<plain_transport>(std::move(socket), one_thread);
}

}  // namespace postlude::http::detail
