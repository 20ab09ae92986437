// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/redis/transport.hpp"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

namespace postlude::detail::redis {

namespace {

/// A socket that is closed at the end.
class file {
public:
    explicit file(int fd) noexcept : fd_(fd) {}
    file(file&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    file& operator=(file&&) = delete;
    ~file() {
        if (fd_ >= 0) {
            ::close(fd_);
        }
    }
    int get() const noexcept { return fd_; }

private:
    int fd_;
};

std::string words(int error) { return std::generic_category().message(error); }

class plain_transport final : public transport {
public:
    plain_transport(const location& to, file socket) : to_(to), socket_(std::move(socket)) {}

    void write(std::string_view bytes, deadline until) override {
        while (!bytes.empty()) {
            const auto n = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (n >= 0) {
                bytes.remove_prefix(static_cast<std::size_t>(n));
            } else if (!wait_after_error(POLLOUT, until)) {
                broken();
            }
        }
    }
    std::size_t read(char* into, std::size_t size, deadline until) override {
        for (;;) {
            const auto n = ::recv(socket_.get(), into, size, 0);
            if (n >= 0) {
                return static_cast<std::size_t>(n);
            }
            if (!wait_after_error(POLLIN, until)) {
                broken();
            }
        }
    }
    int descriptor() const noexcept override { return socket_.get(); }

private:
    bool wait_after_error(short events, deadline until) const {
        if (errno == EINTR) {
            return true;
        }
        if (errno != EAGAIN) {
            return false;
        }
        if (!wait_for(socket_.get(), events, until)) {
            to_.fail(errc::store_unavailable,
                     "the server has not answered in time; the network or the server hangs");
        }
        return true;
    }
    [[noreturn]] void broken() const {
        const auto* const hint =
            errno == ECONNRESET && !to_.tls ? " (a port with TLS does so: then use rediss://)" : "";
        to_.fail(errc::store_unavailable, "the connection broke: " + words(errno).append(hint));
    }

    const location& to_;
    file socket_;
};

void set_up(int fd) {
    const auto set = [fd](int level, int name, int value) {
        ::setsockopt(fd, level, name, &value, sizeof value);
    };
    set(IPPROTO_TCP, TCP_NODELAY, 1);
    // A connection that only listens would never learn that the other side is gone.
    set(SOL_SOCKET, SO_KEEPALIVE, 1);
    set(IPPROTO_TCP, TCP_KEEPIDLE, 15);
    set(IPPROTO_TCP, TCP_KEEPINTVL, 5);
    set(IPPROTO_TCP, TCP_KEEPCNT, 3);
}

/// 0, or what went wrong.
int connect_one(const addrinfo& address, int fd, deadline until) {
    if (::connect(fd, address.ai_addr, address.ai_addrlen) == 0) {
        return 0;
    }
    if (errno != EINPROGRESS) {
        return errno;
    }
    if (!wait_for(fd, POLLOUT, until)) {
        return ETIMEDOUT;
    }
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    return error;
}

}  // namespace

bool wait_for(int descriptor, short events, deadline until) {
    for (;;) {
        const auto left =
            std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
        pollfd one{descriptor, events, 0};
        const auto n =
            ::poll(&one, 1, static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 60'000)));
        if (n > 0) {
            return true;
        }
        if (left.count() <= 0 && n == 0) {
            return false;
        }
    }
}

std::unique_ptr<transport> connect_plain(const location& to, deadline until) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICSERV;
    addrinfo* found = nullptr;
    if (const auto code = ::getaddrinfo(to.host.c_str(), to.port.c_str(), &hints, &found)) {
        to.fail(errc::store_unavailable, std::string("the host's name can't be found: ")
                                             .append(::gai_strerror(code))
                                             .append("; correct the URL if it is wrong"));
    }
    const std::unique_ptr<addrinfo, void (*)(addrinfo*)> addresses(found, ::freeaddrinfo);
    int error = EADDRNOTAVAIL;
    int left = 0;
    for (const auto* address = found; address; address = address->ai_next) {
        ++left;
    }
    for (const auto* address = found; address; address = address->ai_next) {
        // One that says nothing leaves time for those that follow it.
        const auto now = std::chrono::steady_clock::now();
        const auto share = now + (until - now) / left--;
        file socket(::socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
        error = socket.get() < 0 ? errno : connect_one(*address, socket.get(), share);
        if (error == 0) {
            set_up(socket.get());
            return std::make_unique<plain_transport>(to, std::move(socket));
        }
    }
    to.fail(errc::store_unavailable,
            std::string("nobody accepts connections there (")
                .append(words(error))
                .append("); start the server, or correct the host and port in the URL"));
}

}  // namespace postlude::detail::redis
