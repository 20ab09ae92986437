// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_HTTP_SERVER_OPTIONS_HPP
#define POSTLUDE_HTTP_SERVER_OPTIONS_HPP

#include "postlude/dispatch/dispatcher.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace spdlog {
class logger;
}

namespace postlude::http {

/// TLS 1.2 and 1.3 by OpenSSL. Both files are PEM; `server::reload_certificate` reads them again.
struct tls_options {
    /// The server's certificate, then those that lead from it to a known authority.
    std::string certificate_chain{};
    /// Not encrypted.
    std::string private_key{};
};

/// Everything that a server can be told; the defaults suit a service behind nothing. Time-outs
/// are 1 s to a year and looked at once a second.
struct server_options {
    /// An IPv4 or IPv6 address of this machine, in figures ("::" listens on every one of both), or
    /// "unix:" and the path of a Unix-domain socket. The socket's file is made with the process's
    /// umask and removed at the end; one that nobody listens on any more is replaced.
    std::string address = "127.0.0.1";
    /// 0 takes any free port; `server::port` tells which.
    unsigned short port = 8080;
    /// A descriptor that listens already, instead of the address: from a supervisor that keeps it
    /// open while one server process takes over from another, so that no connection is refused;
    /// see `inherited_sockets`. The server closes its own copy when it stops. -1 is none.
    int inherited_socket = -1;
    /// Serves HTTPS, and nothing else.
    std::optional<tls_options> tls{};
    /// Threads that serve; 1 to 1,024. Deferred work has threads of its own.
    unsigned threads = 1;

    /// Connections at one time. Over it, those that have been silent between requests for the
    /// longest time are closed to make room; if there is none, the new one gets a 503 (with TLS it
    /// is closed). 1 or more. The server raises the process's soft limit of open files to fit, as
    /// far as the hard limit allows, and warns if that is not enough.
    std::size_t connection_limit = 16'384;
    /// Bytes of the request line and the header together; over it the answer is 431, or 414 where
    /// the request line alone is longer. 64 to 65,000.
    std::uint32_t header_limit = 8 * 1024;
    /// Bytes of a request's body; over it the answer is 413.
    std::uint64_t body_limit = 1024 * 1024;

    /// From a request's first byte to the end of its header, and for TLS's handshake. Then the
    /// answer is 408.
    std::chrono::seconds header_timeout{30};
    /// For each 64 KiB of a request's body, and what is left at its end. Then the answer is 408.
    std::chrono::seconds body_timeout{30};
    /// For each 64 KiB of a response, and what is left at its end. Then the connection is cut.
    /// A handler may take as long as it wants.
    std::chrono::seconds write_timeout{30};
    /// How long a connection may be silent before a request.
    std::chrono::seconds keep_alive_timeout{75};
    /// The one deadline of a graceful stop; see `server::run`.
    std::chrono::milliseconds drain{25'000};

    /// Whether `run` stops on SIGTERM and SIGINT and, with `tls`, reads the certificate again on
    /// SIGHUP. A second SIGTERM or SIGINT ends the process at once.
    bool handle_signals = true;
    /// Gets one line for each response: the client's address, method, path without the query,
    /// status, bytes sent, milliseconds, the number of tasks deferred, the request's id; also for
    /// what is no request (then method and path are "-"). Null writes none.
    std::shared_ptr<spdlog::logger> access_log{};
    /// The pool that the deferred work runs on.
    dispatcher_options dispatcher{};
};

}  // namespace postlude::http

#endif
