// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_HTTP_SERVER_HPP
#define POSTLUDE_HTTP_SERVER_HPP

#include "postlude/http/router.hpp"
#include "postlude/http/server_options.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

namespace postlude::http {

/// What a server has seen since it was made.
struct server_counters {
    std::uint64_t connections = 0;  ///< open now
    std::uint64_t accepted = 0;     ///< in all
    std::uint64_t refused = 0;      ///< connections over `connection_limit`
    std::uint64_t evicted = 0;      ///< silent ones that were closed to make room
    std::uint64_t requests = 0;     ///< whose header was read
    std::uint64_t malformed = 0;    ///< answered with an error instead of by a handler, or no TLS
    std::uint64_t timed_out = 0;    ///< reads and writes that took too long
};

/// An HTTP/1.1 server whose handlers may defer work until after their response.
///
/// Keep-alive, pipelining, 100-continue, TLS. Each response carries the request's id as
/// X-Request-Id, and Date. What is malformed or over a limit is answered with the status that says
/// so (400, 408, 413, 414, 417, 431, 501, 505), as the connection's last response.
class server {
public:
    /// Binds and listens; connections made from now on wait for `run`. Starts the pool. Throws
    /// system_error with a sentence: the address and port and why it cannot listen there, or
    /// errc::bad_option.
    explicit server(server_options options = {});
    /// Of a server that runs: call it only after `run` has returned.
    ~server();
    server(const server&) = delete;
    server& operator=(const server&) = delete;

    /// Adds a handler; see `router` for patterns such as "/users/{id}". Only before `run`, as all
    /// that follows.
    void route(verb method, std::string_view pattern, handler h);
    void get(std::string_view pattern, handler h) { route(verb::get, pattern, std::move(h)); }
    void post(std::string_view pattern, handler h) { route(verb::post, pattern, std::move(h)); }
    void put(std::string_view pattern, handler h) { route(verb::put, pattern, std::move(h)); }
    void patch(std::string_view pattern, handler h) { route(verb::patch, pattern, std::move(h)); }
    void del(std::string_view pattern, handler h) { route(verb::delete_, pattern, std::move(h)); }

    /// Adds a handler that reads or writes piece by piece, or takes the connection over.
    void stream(verb method, std::string_view pattern, exchange_handler h);

    /// Puts middleware around every handler, inside of what was there before.
    void use(middleware m);

    /// Serves until SIGTERM, SIGINT, `stop` or `shutdown`, then stops gracefully; blocks all the
    /// while. Call it once.
    ///
    /// From the stop on, under the one deadline of `server_options::drain`: no connection is
    /// accepted that had not been made by then. Connections that have been silent for half a
    /// second are closed. Every request of which a byte has arrived is answered, the last one of
    /// each connection with `Connection: close`, and may still register work. The responses may
    /// use four fifths of the time; then their connections are cut and their lists abandoned.
    /// In the time that is left the work is drained (see `thread_pool::drain`): what could not be
    /// finished is named in the log and returned.
    ///
    /// A handler that never returns is given up at the deadline, and `run` returns a few tenths of
    /// a second later at most: its thread is left to itself, and what it refers to must outlive the
    /// process's exit.
    drain_report run();

    // From any thread; these do not block:

    /// Begins the graceful stop.
    void stop() noexcept;

    /// The same, with another deadline than `server_options::drain`: 0 ms to a year, from now on.
    /// Once it has begun, the first one holds.
    void shutdown(std::chrono::milliseconds deadline);

    /// Reads the certificate and key again: what is accepted from now on gets them. Throws
    /// system_error(errc::bad_option), which says what is wrong with the files, and then keeps the
    /// old ones; also where there is no TLS.
    void reload_certificate();

    /// The port that it listens on; 0 for a Unix-domain socket.
    unsigned short port() const noexcept;

    server_counters counters() const noexcept;

    /// For queues, counters, and work outside any request. Lives as long as the server.
    dispatcher& get_dispatcher() noexcept;

private:
    struct state;
    std::shared_ptr<state> state_;
};

/// The listening sockets that systemd, or another supervisor that speaks its protocol, has
/// started this process with, in their order: for `server_options::inherited_socket`. From the
/// variables LISTEN_PID and LISTEN_FDS, which it removes; so a second call finds none. Empty if
/// they are not for this process. Format: sd_listen_fds(3). Not thread-safe: call it early in
/// main.
std::vector<int> inherited_sockets();

}  // namespace postlude::http

#endif
