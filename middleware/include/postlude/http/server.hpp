// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_HTTP_SERVER_HPP
#define POSTLUDE_HTTP_SERVER_HPP

#include "postlude/dispatch/deferred.hpp"
#include "postlude/http/message.hpp"

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <variant>

namespace postlude::http {

/// What answers a request: a function that returns the response, or a coroutine.
///
/// A function must not block for long: it holds one of the threads that serve. A coroutine runs
/// on the connection's strand. Both references live until the handler has returned; what a task
/// needs of them is captured by value. What a handler throws is logged with the request's id and
/// answered with 500. It may be called from several threads at once, for different connections.
using handler =
    std::variant<std::function<response(const request&, deferred&)>,
                 std::function<boost::asio::awaitable<response>(const request&, deferred&)>>;

/// Everything that a server can be told; the defaults suit a service behind nothing.
struct server_options {
    /// An IPv4 or IPv6 address of this machine, in figures.
    std::string address = "127.0.0.1";
    /// 0 takes any free port; `server::port` tells which.
    unsigned short port = 8080;
    /// Threads that serve; 1 to 1,024. Deferred work has threads of its own.
    unsigned threads = 1;
    /// Bytes of the request line and the header together; over it the answer is 431.
    std::uint32_t header_limit = 8 * 1024;
    /// Bytes of a request's body; over it the answer is 413.
    std::uint64_t body_limit = 1024 * 1024;
    /// From a request's first byte to its last (then the answer is 408), and again for writing
    /// its response. 1 s or more; looked at once a second. A handler may take as long as it wants.
    std::chrono::seconds request_timeout{30};
    /// How long a connection may be silent between requests; 1 s or more.
    std::chrono::seconds keep_alive_timeout{75};
    /// The one deadline of a graceful stop; see `server::run`.
    std::chrono::milliseconds drain{25'000};
    /// Whether `run` stops on SIGTERM and SIGINT. A second signal ends the process at once.
    bool handle_signals = true;
    /// The pool that the deferred work runs on.
    dispatcher_options dispatcher{};
};

/// A small HTTP/1.1 server whose handlers may defer work until after their response.
///
/// Keep-alive, pipelining, HEAD from GET, 404, and 405 with Allow. Paths are compared exactly.
/// Each response carries the request's id as X-Request-Id. A malformed request is answered with
/// 400 and the connection closed.
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

    /// Adds a handler for a path, which begins with '/'. A later one for the same replaces it.
    /// Only before `run`.
    void route(verb method, std::string path, handler h);
    void get(std::string path, handler h) { route(verb::get, std::move(path), std::move(h)); }
    void post(std::string path, handler h) { route(verb::post, std::move(path), std::move(h)); }

    /// Serves until SIGTERM, SIGINT or `stop`, then stops gracefully; blocks all the while. Call
    /// it once.
    ///
    /// From the stop on, under the one deadline of `server_options::drain`: no connection is
    /// accepted that had not been made by then. Connections that have been silent for half a
    /// second are closed. Every request of which a byte has arrived is answered, the last one of
    /// each connection with `Connection: close`, and may still register work. The responses may
    /// use four fifths of the time; then their connections are cut and their lists abandoned.
    /// In the time that is left the work is drained (see `thread_pool::drain`): what could not be
    /// finished is named in the log and returned.
    ///
    /// A handler that never returns is given up at the deadline: its thread is left to itself,
    /// and what it refers to must outlive the process's exit.
    drain_report run();

    /// Begins the graceful stop. From any thread; does not block.
    void stop() noexcept;

    /// The port that it listens on.
    unsigned short port() const noexcept;

    /// For queues, counters, and work outside any request. Lives as long as the server.
    dispatcher& get_dispatcher() noexcept;

private:
    struct state;
    std::shared_ptr<state> state_;
};

}  // namespace postlude::http

#endif
