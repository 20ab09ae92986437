// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_HTTP_DETAIL_TRANSPORT_HPP
#define POSTLUDE_HTTP_DETAIL_TRANSPORT_HPP

#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <boost/system/error_code.hpp>

#include <memory>
#include <span>
#include <utility>

namespace postlude::http::detail {

using strand = boost::asio::strand<boost::asio::io_context::executor_type>;
/// TCP or Unix-domain.
using stream_socket =
    boost::asio::basic_stream_socket<boost::asio::generic::stream_protocol, strand>;

struct io_result {
    boost::system::error_code ec;
    std::size_t n = 0;
};

/// Who is told that bytes have been read, without a coroutine that waits for it.
class read_client {
public:
    /// @param self what was given to `read_later`.
    virtual void on_read(std::shared_ptr<read_client> self, boost::system::error_code ec,
                         std::size_t n) = 0;

protected:
    ~read_client() = default;
};

/// What a connection's bytes go through. On its strand; one read and one write at a time.
class transport {
public:
    explicit transport(stream_socket socket) : socket_(std::move(socket)) {}
    transport(const transport&) = delete;
    transport& operator=(const transport&) = delete;
    virtual ~transport() = default;

    strand get_executor() noexcept { return socket_.get_executor(); }
    stream_socket& socket() noexcept { return socket_; }

    /// The handshake, where there is one.
    virtual boost::asio::awaitable<io_result> start() = 0;
    virtual boost::asio::awaitable<io_result> read_some(boost::asio::mutable_buffer into) = 0;
    /// The same, as a callback that keeps the client alive.
    virtual void read_later(boost::asio::mutable_buffer into,
                            std::shared_ptr<read_client> client) = 0;
    /// Writes what it can without waiting; 0 bytes and no error where it has to wait, or cannot
    /// tell.
    virtual std::size_t write_now(std::span<const boost::asio::const_buffer> pieces,
                                  boost::system::error_code& ec) = 0;
    virtual boost::asio::awaitable<io_result> write_some(
        std::span<const boost::asio::const_buffer> pieces) = 0;
    /// The system has bytes that nobody has taken from it.
    bool has_arrived() {
        boost::system::error_code ec;
        return socket_.available(ec) != 0 && !ec;
    }
    /// Bytes have come that nobody has read. Those that a read which still waits has taken from the
    /// system are too few for it to return any.
    virtual bool has_unread() { return has_arrived(); }
    /// Tells the peer that nothing more will come. What is read afterwards tells only when the
    /// peer has ended too: over TLS it is no longer decrypted.
    virtual boost::asio::awaitable<io_result> end() = 0;

    /// What waits ends with operation_aborted.
    void cancel() noexcept {
        boost::system::error_code ignored;
        socket_.cancel(ignored);
    }
    void close() noexcept {
        boost::system::error_code ignored;
        socket_.close(ignored);
    }

protected:
    stream_socket socket_;
};

}  // namespace postlude::http::detail

#endif
