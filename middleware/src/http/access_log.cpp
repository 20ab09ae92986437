// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "http/access_log.hpp"

#include <boost/asio/ip/address.hpp>

#include <spdlog/spdlog.h>

#include <algorithm>

#include <netinet/in.h>
#include <sys/socket.h>

namespace postlude::http::detail {

namespace {

std::string visible(std::string_view text) {
    std::string result;
    for (const char c : text) {
        if (c > ' ' && c < 0x7f && c != '"' && c != '\\') {
            result += c;
        } else {
            result += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
        }
    }
    return result;
}

}  // namespace

std::string client_of(const stream_socket& socket) {
    namespace ip = boost::asio::ip;
    boost::system::error_code ec;
    auto peer = socket.remote_endpoint(ec);
    if (ec) {
        return "-";
    }
    if (peer.protocol().family() == AF_INET) {
        const auto* at = reinterpret_cast<const sockaddr_in*>(peer.data());
        return ip::address_v4(ntohl(at->sin_addr.s_addr)).to_string();
    }
    if (peer.protocol().family() == AF_INET6) {
        const auto* at = reinterpret_cast<const sockaddr_in6*>(peer.data());
        ip::address_v6::bytes_type bytes;
        std::copy_n(at->sin6_addr.s6_addr, bytes.size(), bytes.begin());
        const ip::address_v6 address(bytes);
        return address.is_v4_mapped() ? ip::make_address_v4(ip::v4_mapped, address).to_string()
                                      : address.to_string();
    }
    return "unix";
}

void write_access_line(spdlog::logger& log, const access& a) {
    log.info(R"({} "{} {}" {} {} {:.3f} ms {} tasks {})", a.client.empty() ? "-" : a.client,
             a.method.empty() ? "-" : a.method, a.path.empty() ? "-" : visible(a.path), a.status,
             a.sent ? std::to_string(*a.sent) : "-",
             std::chrono::duration<double, std::milli>(a.took).count(), a.tasks,
             a.id.empty() ? "-" : a.id);
}

}  // namespace postlude::http::detail
