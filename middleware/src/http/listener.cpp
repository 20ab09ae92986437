// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "http/listener.hpp"

#include "http/access_log.hpp"
#include "http/session.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/system/system_error.hpp>

#include <spdlog/spdlog.h>

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <sstream>
#include <utility>

namespace postlude::http::detail {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using boost::system::system_error;
using local = asio::local::stream_protocol;

namespace {

/// After an accept that failed for want of descriptors or memory.
constexpr std::chrono::milliseconds pause_after_failure{100};
constexpr std::string_view unix_prefix = "unix:";

template <class Endpoint>
[[noreturn]] void refuse(const Endpoint& endpoint, const error_code& ec) {
    std::ostringstream sentence;
    sentence << endpoint;
    if (ec == asio::error::address_in_use) {
        sentence << " is in use by another program; choose another "
                 << (std::is_same_v<Endpoint, local::endpoint> ? "path" : "port");
    } else if (ec == asio::error::access_denied) {
        sentence << ": no permission to listen there";
        if constexpr (std::is_same_v<Endpoint, tcp::endpoint>) {
            sentence << "; ports below 1024 take a privilege";
        }
    } else if (ec == error_code(EADDRNOTAVAIL, boost::system::system_category())) {
        sentence << ": this machine has no such address";
    } else {
        sentence << ": cannot listen there";
    }
    throw system_error(error_code(ec.value(), ec.category()), sentence.str());
}

unsigned long inode_of(const std::string& path) noexcept {
    struct stat file{};
    return ::lstat(path.c_str(), &file) == 0 && S_ISSOCK(file.st_mode) ? file.st_ino : 0;
}

}  // namespace

listener::listener(asio::io_context& io, service& shared)
    : io_(io),
      service_(shared),
      acceptor_(asio::make_strand(io)),
      pause_(acceptor_.get_executor()) {
    const auto& options = service_.options;
    if (options.inherited_socket != -1) {
        inherit(options.inherited_socket);
    } else if (options.address.starts_with(unix_prefix)) {
        listen_at_path(options.address.substr(unix_prefix.size()));
    } else {
        listen_at(options.address, options.port);
    }
}

listener::~listener() { remove_file(); }

void listener::remove_file() noexcept {
    // Another server may have put its own there since. Only as long as the socket is open can its
    // file not have the same number.
    if (acceptor_.is_open() && inode_ != 0 && inode_of(path_) == inode_) {
        ::unlink(path_.c_str());
    }
}

template <class Endpoint>
error_code listener::bind(const Endpoint& endpoint) {
    error_code ec;
    const auto attempt = [&ec](auto step) {
        if (!ec) {
            step();
        }
    };
    attempt([&] { acceptor_.open(endpoint.protocol(), ec); });
    attempt([&] { acceptor_.set_option(asio::socket_base::reuse_address(true), ec); });
    if (endpoint.protocol().family() == AF_INET6) {
        // Whatever the system's default is.
        attempt([&] { acceptor_.set_option(asio::ip::v6_only(false), ec); });
    }
    attempt([&] { acceptor_.bind(endpoint, ec); });
    attempt([&] { acceptor_.listen(asio::socket_base::max_listen_connections, ec); });
    attempt([&] { acceptor_.non_blocking(true, ec); });
    if (ec) {
        error_code ignored;
        acceptor_.close(ignored);
    }
    return ec;
}

void listener::listen_at(const std::string& address, unsigned short port) {
    error_code ec;
    const auto ip = asio::ip::make_address(address, ec);
    if (ec) {
        throw system_error(errc::bad_option,
                           "server_options::address is '" + address +
                               "', which is no IP address, nor 'unix:' and a path");
    }
    const tcp::endpoint endpoint(ip, port);
    ec = bind(endpoint);
    if (ec) {
        refuse(endpoint, ec);
    }
    note_port();
}

void listener::listen_at_path(const std::string& path) {
    local::endpoint endpoint;
    try {
        endpoint = local::endpoint(path);
    } catch (const system_error&) {
        throw system_error(errc::bad_option, "server_options::address: the path '" + path +
                                                 "' is too long for a Unix-domain socket");
    }
    auto ec = bind(endpoint);
    if (ec == asio::error::address_in_use && inode_of(path) == 0) {
        throw system_error(ec, "'" + path + "' is a file, and no socket; choose another path");
    }
    if (ec == asio::error::address_in_use) {
        // A server that was killed has left it there, if nobody answers.
        asio::io_context io;
        local::socket probe(io);
        error_code answer;
        probe.open(endpoint.protocol(), answer);
        probe.non_blocking(true, answer);
        probe.connect(endpoint, answer);
        if (answer == asio::error::connection_refused) {
            ::unlink(path.c_str());
            ec = bind(endpoint);
        }
    }
    if (ec) {
        refuse(endpoint, ec);
    }
    path_ = path;
    inode_ = inode_of(path);
}

void listener::inherit(int descriptor) {
    const auto bad = [descriptor](const char* why) {
        throw system_error(errc::bad_option, "server_options::inherited_socket: descriptor " +
                                                 std::to_string(descriptor) + why);
    };
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    int listens = 0;
    socklen_t size_of_listens = sizeof listens;
    if (::getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size) != 0 ||
        ::getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size_of_listens) != 0) {
        bad(" is no socket");
    }
    if (listens == 0) {
        bad(" is a socket that does not listen");
    }
    const asio::generic::stream_protocol protocol(address.ss_family, 0);
    error_code ec;
    acceptor_.assign(protocol, descriptor, ec);
    if (!ec) {
        acceptor_.non_blocking(true, ec);
    }
    if (ec) {
        bad((" cannot be used: " + ec.message()).c_str());
    }
    note_port();
}

void listener::note_port() {
    error_code ec;
    const auto here = acceptor_.local_endpoint(ec);
    const auto family = here.protocol().family();
    if (!ec && (family == AF_INET || family == AF_INET6)) {
        tcp::endpoint ip;
        ip.resize(here.size());
        std::copy_n(reinterpret_cast<const char*>(here.data()), here.size(),
                    reinterpret_cast<char*>(ip.data()));
        port_ = ip.port();
    }
}

void listener::start() {
    asio::co_spawn(acceptor_.get_executor(), accept(), [this](const std::exception_ptr& error) {
        if (error) {
            service_.log().critical("out of memory: no more connections are accepted");
            closed_.store(true, std::memory_order_release);
        }
    });
}

asio::awaitable<void> listener::accept() {
    bool failed_before = false;
    while (!closing_) {
        auto [ec, socket] = co_await acceptor_.async_accept(asio::make_strand(io_), as_result);
        if (!ec) {
            failed_before = false;
            begin_session(std::move(socket));
        } else if (ec != asio::error::operation_aborted && ec != asio::error::connection_aborted) {
            const bool no_descriptor = ec == asio::error::no_descriptors ||
                                       ec == error_code(ENFILE, boost::system::system_category());
            if (no_descriptor) {
                service_.sessions.evict(evicted_at_once());
            }
            if (!std::exchange(failed_before, true)) {
                service_.log().error("cannot accept connections: {}; trying again", ec.message());
            }
            pause_.expires_after(pause_after_failure);
            co_await pause_.async_wait(as_result);
        }
    }
    closed_.store(true, std::memory_order_release);
}

void listener::begin_session(stream_socket socket) {
    ++service_.counts.accepted;
    try {
        if (!admit(socket)) {
            return;
        }
        error_code ignored;
        socket.set_option(tcp::no_delay(true), ignored);
        auto on = service_.identity
                      ? service_.identity->make_transport(std::move(socket))
                      : make_plain_transport(std::move(socket), service_.options.threads == 1);
        std::make_shared<session>(service_, std::move(on))->start();
    } catch (const std::exception& e) {
        service_.log().error("a connection was cut: {}", e.what());
    }
}

bool listener::admit(stream_socket& socket) {
    const auto limit = service_.options.connection_limit;
    if (service_.sessions.size() < limit) {
        return true;
    }
    const auto evicted = service_.sessions.evict(evicted_at_once());
    service_.counts.refused += evicted == 0 ? 1 : 0;
    if (const auto now = session_clock::now(); now - warned_at_ > std::chrono::seconds(1)) {
        warned_at_ = now;
        service_.log().warn("there are {} connections already: {}", limit,
                            evicted == 0 ? "new ones are refused" : "silent ones are closed");
    }
    if (evicted != 0) {
        return true;
    }
    if (const auto& log = service_.options.access_log) {
        write_access_line(*log, {.client = client_of(socket), .status = 503});
    }
    if (!service_.identity) {
        static constexpr std::string_view busy =
            "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n"
            "Connection: close\r\n\r\n";
        error_code ignored;
        socket.non_blocking(true, ignored);
        socket.write_some(asio::buffer(busy), ignored);
        socket.shutdown(asio::socket_base::shutdown_send, ignored);
        // What has come of its request, so that the end is no reset, which would drop the answer.
        std::array<char, 4096> unread;
        socket.read_some(asio::buffer(unread), ignored);
    }
    return false;
}

void listener::close() {
    asio::post(acceptor_.get_executor(), [this] {
        closing_ = true;
        remove_file();
        take_backlog();
        error_code ignored;
        acceptor_.close(ignored);
        pause_.cancel(ignored);
    });
}

std::size_t listener::evicted_at_once() const noexcept {
    // To look for them takes a look at all: not again for each that comes.
    return service_.options.connection_limit / 512 + 1;
}

void listener::take_backlog() {
    // No more than the system keeps: clients that come faster must not hold up the stop.
    for (int i = 0; i < asio::socket_base::max_listen_connections; ++i) {
        error_code ec;
        stream_socket socket(asio::make_strand(io_));
        acceptor_.accept(socket, ec);
        if (ec == asio::error::would_block) {
            return;
        }
        if (!ec) {
            begin_session(std::move(socket));
        } else if (ec != asio::error::connection_aborted) {
            service_.log().error("connections that wait cannot be accepted: {}", ec.message());
            return;
        }
    }
}

}  // namespace postlude::http::detail
