// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_HTTP_SESSION_HPP
#define POSTLUDE_SRC_HTTP_SESSION_HPP

#include "http/router.hpp"
#include "postlude/http/server.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_set>
#include <vector>

namespace postlude::http::detail {

using strand = boost::asio::strand<boost::asio::io_context::executor_type>;
using stream_socket = boost::asio::basic_stream_socket<boost::asio::ip::tcp, strand>;
using session_clock = std::chrono::steady_clock;
/// What a coroutine awaits an operation with, to have the error with the result.
inline constexpr auto as_result = boost::asio::as_tuple(boost::asio::use_awaitable);

class session;

/// The connections that are open. From any thread.
class session_registry {
public:
    void add(session& s);
    void remove(session& s) noexcept;
    std::size_t size() const noexcept;
    /// Those alive at this moment.
    std::vector<std::shared_ptr<session>> all() const;
    /// Has each one whose time is over end what it waits for.
    void expire_overdue() const;

private:
    mutable std::mutex mutex_;
    std::unordered_set<session*> sessions_;
};

/// What the sessions of a server share. Outlives them.
struct service {
    explicit service(server_options o) : options(std::move(o)), work(options.dispatcher) {}

    const server_options options;
    dispatcher work;
    router routes;
    session_registry sessions;
    std::atomic<bool> stopping{false};
};

/// One connection: reads a request, has it answered, reads the next.
///
/// Its time-outs cost no timers: it notes when it began what it does now, and whoever calls
/// `session_registry::expire_overdue` once in a while sees which of them take too long.
class session : public std::enable_shared_from_this<session> {
public:
    session(service& shared, stream_socket socket);
    ~session();
    session(const session&) = delete;
    session& operator=(const session&) = delete;

    /// Serves until the connection ends; keeps itself alive for so long.
    void start();

    // From any thread:

    bool overdue(session_clock::time_point now) const noexcept;
    /// Cancels what it waits for, if it is overdue still.
    void expire();
    /// Cuts the connection and cancels the handler.
    void abandon();

private:
    enum class phase : std::uint8_t { idle, reading, handling, writing, closing };
    using parser = boost::beast::http::request_parser<boost::beast::http::string_body>;

    void enter(phase next) noexcept;
    session_clock::duration limit(phase now) const noexcept;
    /// Bytes of a further request have arrived.
    bool more_has_arrived() const noexcept;

    boost::asio::awaitable<void> serve();
    /// No error: the parser holds a request. end_of_stream: the connection ends without a word.
    boost::asio::awaitable<boost::system::error_code> read(parser& into);
    /// Whether the connection stays.
    boost::asio::awaitable<bool> answer(const request& req);
    boost::asio::awaitable<response> handle(const request& req, deferred& after);
    boost::asio::awaitable<bool> write(response& res, deferred& after);
    /// Answers what is no request, and ends.
    boost::asio::awaitable<void> refuse(boost::system::error_code why);
    /// Lets the client read the last response: closing while it sends would reset it.
    boost::asio::awaitable<void> linger();
    void log_handler_failure(const char* what) const;

    service& service_;
    stream_socket socket_;
    boost::beast::flat_buffer buffer_;
    boost::asio::cancellation_signal cancel_;
    std::atomic<phase> phase_{phase::idle};
    std::atomic<session_clock::time_point> since_{session_clock::now()};
    bool abandoned_ = false;
    std::string id_;      ///< of the request that is handled
    std::string target_;  ///< the same, for the log
};

}  // namespace postlude::http::detail

#endif
