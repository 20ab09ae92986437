// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_TESTS_SUPPORT_SOCKET_QUEUE_HPP
#define POSTLUDE_TESTS_SUPPORT_SOCKET_QUEUE_HPP

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

namespace test {

/// Asks the system for the state of one IPv4 connection on the loopback, by its two ends.
class socket_queue {
public:
    socket_queue() : fd_(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG)) {
        if (fd_ < 0) {
            throw std::system_error(errno, std::generic_category(), "NETLINK_SOCK_DIAG");
        }
    }
    socket_queue(const socket_queue&) = delete;
    socket_queue& operator=(const socket_queue&) = delete;
    ~socket_queue() { ::close(fd_); }

    /// Bytes that have come for the end `to` and that it has not read; 0 when it has closed.
    unsigned unread(const sockaddr_in& to, const sockaddr_in& from) const {
        question ask{};
        ask.header.nlmsg_len = sizeof ask;
        ask.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
        ask.header.nlmsg_flags = NLM_F_REQUEST;
        ask.body.sdiag_family = AF_INET;
        ask.body.sdiag_protocol = IPPROTO_TCP;
        ask.body.idiag_states = ~0U;
        ask.body.id.idiag_sport = to.sin_port;
        ask.body.id.idiag_dport = from.sin_port;
        ask.body.id.idiag_src[0] = to.sin_addr.s_addr;
        ask.body.id.idiag_dst[0] = from.sin_addr.s_addr;
        ask.body.id.idiag_cookie[0] = ask.body.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
        alignas(nlmsghdr) char answer[4'096];
        if (::send(fd_, &ask, sizeof ask, 0) < 0) {
            throw std::system_error(errno, std::generic_category(), "NETLINK_SOCK_DIAG");
        }
        const auto n = ::recv(fd_, answer, sizeof answer, 0);
        nlmsghdr header{};
        inet_diag_msg found{};
        if (n < static_cast<ssize_t>(sizeof header + sizeof found)) {
            return 0;
        }
        std::memcpy(&header, answer, sizeof header);
        std::memcpy(&found, answer + NLMSG_HDRLEN, sizeof found);
        return header.nlmsg_type == SOCK_DIAG_BY_FAMILY ? found.idiag_rqueue : 0;
    }

private:
    struct question {
        nlmsghdr header;
        inet_diag_req_v2 body;
    };
    int fd_;
};

}  // namespace test

#endif
