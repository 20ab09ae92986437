// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_HTTP_LISTENER_HPP
#define POSTLUDE_SRC_HTTP_LISTENER_HPP

#include "http/service.hpp"

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <atomic>
#include <chrono>
#include <string>

namespace postlude::http::detail {

/// The listening socket: accepts connections and starts a session for each.
class listener {
public:
    /// Binds and listens. Throws system_error with a sentence that says what is wrong.
    listener(boost::asio::io_context& io, service& shared);
    ~listener();

    /// 0 for a Unix-domain socket.
    unsigned short port() const noexcept { return port_; }

    /// Begins to accept. The listener must outlive the loop's run.
    void start();

    /// From any thread: accepts what is waiting in the system's backlog, then closes.
    void close();

    /// Nothing is accepted any more, and each accepted connection has its session. Any thread.
    bool closed() const noexcept { return closed_.load(std::memory_order_acquire); }

private:
    using acceptor =
        boost::asio::basic_socket_acceptor<boost::asio::generic::stream_protocol, strand>;
    using timer =
        boost::asio::basic_waitable_timer<session_clock, boost::asio::wait_traits<session_clock>,
                                          strand>;

    void listen_at(const std::string& address, unsigned short port);
    void listen_at_path(const std::string& path);
    void inherit(int descriptor);
    template <class Endpoint>
    boost::system::error_code bind(const Endpoint& endpoint);
    void note_port();
    void remove_file() noexcept;

    boost::asio::awaitable<void> accept();
    void begin_session(stream_socket socket);
    /// Whether there is room, or could be made, for one more.
    bool admit(stream_socket& socket);
    void take_backlog();
    std::size_t evicted_at_once() const noexcept;

    boost::asio::io_context& io_;
    service& service_;
    acceptor acceptor_;
    timer pause_;
    unsigned short port_ = 0;
    std::string path_;         ///< of a Unix-domain socket
    unsigned long inode_ = 0;  ///< of the file at it
    session_clock::time_point warned_at_{};
    bool closing_ = false;
    std::atomic<bool> closed_{false};
};

}  // namespace postlude::http::detail

#endif
