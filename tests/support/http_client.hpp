// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_TESTS_SUPPORT_HTTP_CLIENT_HPP
#define POSTLUDE_TESTS_SUPPORT_HTTP_CLIENT_HPP

#include "support/eventually.hpp"
#include "support/socket_queue.hpp"

#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

namespace test {

/// A blocking client on one connection, to 127.0.0.1 unless it is said, which sends what it is
/// told, byte by byte. Throws when it has to wait longer than the patience.
class http_client {
public:
    using reply = boost::beast::http::response<boost::beast::http::string_body>;

    /// @param receive_buffer bytes that the system keeps for it unread; 0 is the system's default.
    explicit http_client(unsigned short port, int receive_buffer = 0) : fd_(open(AF_INET)) {
        if (receive_buffer != 0) {
            ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
        }
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        connect(address);
    }
    /// To a Unix-domain socket.
    explicit http_client(std::string_view path) : fd_(open(AF_UNIX)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::copy_n(path.data(), std::min(path.size(), sizeof address.sun_path - 1),
                    address.sun_path);
        connect(address);
    }
    /// To ::1.
    static http_client by_ipv6(unsigned short port) {
        http_client made{in6_addr(IN6ADDR_LOOPBACK_INIT), port};
        return made;
    }
    http_client(http_client&& other) noexcept
        : fd_(std::exchange(other.fd_, -1)), buffer_(std::move(other.buffer_)) {}
    http_client& operator=(http_client&& other) noexcept {
        std::swap(fd_, other.fd_);
        std::swap(buffer_, other.buffer_);
        return *this;
    }
    virtual ~http_client() {
        if (fd_ >= 0) {
            ::close(fd_);
        }
    }

    /// False when the connection does not take it any more.
    bool send(std::string_view bytes) {
        while (!bytes.empty()) {
            const auto n = transmit(bytes);
            if (n < 0 && errno == EINTR) {
                continue;
            }
            if (n <= 0) {
                return false;
            }
            bytes.remove_prefix(static_cast<std::size_t>(n));
        }
        return true;
    }

    /// Sends, then waits until the other end has read everything, so that what is sent next comes
    /// to it in a read of its own. False when the connection does not take it any more.
    bool send_apart(std::string_view bytes, const socket_queue& queue) {
        return send(bytes) && wait_until_read(queue);
    }

    /// The next response; nothing when the connection ends before its first byte. Throws when it
    /// ends later. @param head whether it answers HEAD.
    std::optional<reply> read(bool head = false) {
        boost::beast::http::response_parser<boost::beast::http::string_body> parser;
        parser.skip(head);
        parser.eager(true);
        parser.body_limit(boost::none);
        bool begun = false;
        for (;;) {
            if (buffer_.size() != 0) {
                begun = true;
                boost::system::error_code ec;
                buffer_.consume(parser.put(buffer_.data(), ec));
                if (parser.is_done()) {
                    return parser.release();
                }
                if (ec && ec != boost::beast::http::error::need_more) {
                    throw boost::system::system_error(ec);
                }
            }
            if (!fill()) {
                if (!begun) {
                    return std::nullopt;
                }
                boost::system::error_code ec;
                parser.put_eof(ec);
                if (ec) {
                    throw boost::system::system_error(ec);
                }
                return parser.release();
            }
        }
    }

    /// Sends, then reads the response, which has to come.
    reply ask(std::string_view bytes, bool head = false) {
        send(bytes);
        auto got = read(head);
        if (!got) {
            throw std::runtime_error("the connection ended without a response");
        }
        return *std::move(got);
    }

    reply get(std::string_view target, std::string_view more = "") {
        return ask("GET " + std::string(target) + " HTTP/1.1\r\nHost: test\r\n" +
                   std::string(more) + "\r\n");
    }

    /// Reads until n bytes more have come, and drops them.
    void discard(std::size_t n) {
        while (n != 0) {
            if (buffer_.size() == 0 && !fill()) {
                throw std::runtime_error("the connection ended");
            }
            const auto some = std::min(n, buffer_.size());
            buffer_.consume(some);
            n -= some;
        }
    }

    /// The bytes that come, up to the first of these, with them; what comes later is kept.
    std::string read_raw(std::string_view until) {
        for (;;) {
            const auto all = buffer_.cdata();
            const std::string_view text(static_cast<const char*>(all.data()), all.size());
            if (const auto at = text.find(until); at != text.npos) {
                std::string found(text.substr(0, at + until.size()));
                buffer_.consume(found.size());
                return found;
            }
            if (!fill()) {
                throw std::runtime_error("the connection ended");
            }
        }
    }

    /// All bytes that come until the end of the connection.
    std::string read_to_end() {
        while (fill()) {
        }
        const auto all = buffer_.cdata();
        return {static_cast<const char*>(all.data()), all.size()};
    }

    /// Whether something has come, or the connection has ended, within that time.
    bool readable(std::chrono::milliseconds within) const {
        return buffer_.size() != 0 || wait_for(POLLIN, within);
    }

    /// Waits for the end of the connection; false when more bytes come first.
    bool ended() { return buffer_.size() == 0 && !fill(); }

    /// Whether what was read so far ended with a reset.
    bool was_reset() const { return reset_; }

    void shutdown_send() { ::shutdown(fd_, SHUT_WR); }

    /// Ends the connection with a reset, so that the server's next write fails.
    void reset() {
        const linger at_once{.l_onoff = 1, .l_linger = 0};
        ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        ::close(std::exchange(fd_, -1));
    }

protected:
    int descriptor() const { return fd_; }

    /// Waits until the other end has read everything. False when the connection has ended.
    bool wait_until_read(const socket_queue& queue) const {
        sockaddr_in mine{};
        sockaddr_in other{};
        socklen_t size = sizeof mine;
        if (::getsockname(fd_, reinterpret_cast<sockaddr*>(&mine), &size) != 0 ||
            ::getpeername(fd_, reinterpret_cast<sockaddr*>(&other), &size) != 0) {
            return false;
        }
        const auto deadline = std::chrono::steady_clock::now() + patience;
        while (queue.unread(other, mine) != 0) {
            if (std::chrono::steady_clock::now() > deadline) {
                throw std::runtime_error("the other end does not read");
            }
            std::this_thread::yield();
        }
        return true;
    }

    // As send and recv are.
    virtual ssize_t transmit(std::string_view bytes) {
        return ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    }
    virtual ssize_t receive(void* to, std::size_t size) { return ::recv(fd_, to, size, 0); }

private:
    http_client(const in6_addr& to, unsigned short port) : fd_(open(AF_INET6)) {
        sockaddr_in6 address{};
        address.sin6_family = AF_INET6;
        address.sin6_port = htons(port);
        address.sin6_addr = to;
        connect(address);
    }

    static int open(int family) {
        const int fd = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        const timeval limit{.tv_sec = patience.count(), .tv_usec = 0};
        ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
        const int at_once = 1;
        ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof at_once);
        return fd;
    }
    template <class Address>
    void connect(const Address& address) {
        int why = 0;
        if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
            why = errno;
        }
        // The end of an io_uring disturbs the threads that used it, as a signal would: what waits
        // with a limit ends then. Connecting goes on (connect(2), EINTR).
        if (why == EINTR) {
            socklen_t size = sizeof why;
            if (!wait_for(POLLOUT, patience)) {
                why = ETIMEDOUT;
            } else if (::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &why, &size) != 0) {
                why = errno;
            }
        }
        if (why != 0) {
            ::close(fd_);
            throw std::system_error(why, std::generic_category(), "connect");
        }
    }

    bool wait_for(short events, std::chrono::milliseconds within) const {
        const auto deadline = std::chrono::steady_clock::now() + within;
        for (;;) {
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(
                deadline - std::chrono::steady_clock::now());
            pollfd asked{.fd = fd_, .events = events, .revents = 0};
            const auto n = ::poll(&asked, 1, static_cast<int>(std::max<long>(left.count(), 0)));
            if (n >= 0 || errno != EINTR) {
                return n > 0;
            }
        }
    }

    /// False at the end of the connection, a reset included.
    bool fill() {
        const auto space = buffer_.prepare(64 * 1024);
        auto n = receive(space.data(), space.size());
        while (n < 0 && errno == EINTR) {
            n = receive(space.data(), space.size());
        }
        reset_ = reset_ || (n < 0 && errno == ECONNRESET);
        if (n < 0 && errno != ECONNRESET && errno != EPIPE) {
            throw std::system_error(errno, std::generic_category(), "recv");
        }
        buffer_.commit(n > 0 ? static_cast<std::size_t>(n) : 0);
        return n > 0;
    }

    int fd_;
    bool reset_ = false;
    boost::beast::flat_buffer buffer_;
};

}  // namespace test

#endif
