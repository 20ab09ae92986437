// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_BENCH_SUPPORT_IDLE_CLIENTS_HPP
#define POSTLUDE_BENCH_SUPPORT_IDLE_CLIENTS_HPP

#include "load.hpp"

#include <netinet/in.h>

#include <string>
#include <utility>
#include <vector>

namespace bench {

/// A connection to loopback whose calls block.
class client {
public:
    explicit client(unsigned short port) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.sin_port = htons(port);
        if (fd_ < 0 ||
            ::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
            fail("connect");
        }
    }
    client(client&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    client& operator=(client&&) = delete;
    ~client() {
        if (fd_ >= 0) {
            ::close(fd_);
        }
    }

    /// Return the response, which must have a Content-Length.
    std::string get(const std::string& path) {
        return ask("GET " + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
    std::string post(const std::string& path, const std::string& body) {
        return ask("POST " + path + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: " +
                   std::to_string(body.size()) + "\r\n\r\n" + body);
    }

private:
    std::string ask(const std::string& request) {
        if (::send(fd_, request.data(), request.size(), MSG_NOSIGNAL) !=
            static_cast<ssize_t>(request.size())) {
            fail("send");
        }
        std::string text;
        std::array<char, 4096> piece;
        for (;;) {
            const auto n = ::recv(fd_, piece.data(), piece.size(), 0);
            if (n <= 0) {
                fail("response");
            }
            text.append(piece.data(), static_cast<std::size_t>(n));
            if (text.size() == response_size(text)) {
                return text;
            }
        }
    }

    int fd_;
};

/// Connections that have been used in one way and then stay open in silence.
class idle_clients {
public:
    enum class use { none, hello, upload };

    idle_clients(unsigned short port, use how) : port_(port), use_(how) {}

    /// When it returns, the server has accepted and answered all of them, if it accepts in turn.
    void open(std::size_t count) {
        for (std::size_t i = 0; i != count; ++i) {
            auto& opened = clients_.emplace_back(port_);
            if (use_ == use::hello) {
                opened.get("/hello");
            } else if (use_ == use::upload) {
                opened.post("/upload", body_);
            } else if (i % 256 == 0) {
                wait_for_accept();  // else the queue of the listening socket would overflow
            }
        }
        wait_for_accept();
    }

private:
    void wait_for_accept() { client(port_).get("/hello"); }

    unsigned short port_;
    use use_;
    std::string body_ = std::string(64 * 1024, 'x');
    std::vector<client> clients_;
};

}  // namespace bench

#endif
