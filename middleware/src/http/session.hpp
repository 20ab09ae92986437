// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_HTTP_SESSION_HPP
#define POSTLUDE_SRC_HTTP_SESSION_HPP

#include "http/exchange_state.hpp"
#include "http/pace.hpp"
#include "http/request_reader.hpp"
#include "http/route_table.hpp"
#include "http/send_ring.hpp"
#include "http/service.hpp"
#include "http/transports.hpp"

#include <boost/asio/cancellation_signal.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/intrusive/list_hook.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace postlude::http::detail {

/// One connection: reads a request, has it answered, reads the next.
///
/// Its time-outs cost no timers: whoever calls `session_registry::expire_overdue` once in a while
/// sees by its `pace` whether it takes too long.
///
/// What needs no waiting, the most usual request, is served within the callback of its read; all
/// else, and the rest of what was begun there, in a coroutine. A silent connection has neither.
class session final : public std::enable_shared_from_this<session>,
                      public read_client,
                      public boost::intrusive::list_base_hook<> {
public:
    session(service& shared, std::shared_ptr<transport> on);
    ~session();
    session(const session&) = delete;
    session& operator=(const session&) = delete;

    /// Serves until the connection ends; keeps itself alive for so long.
    void start();

    // From any thread:

    bool overdue(session_clock::time_point now) const noexcept;
    /// Silent between two requests since when; `time_point::max()` if it is not.
    session_clock::time_point silent_since() const noexcept;
    /// Cancels what it waits for, if it is overdue still.
    void expire();
    /// Closes it, if it is silent still.
    void evict();
    /// Tells a handler that wants to know that the server stops.
    void announce_stop();
    /// Cuts the connection and cancels the handler.
    void abandon();

    /// Cuts the connection; when no thread serves any more.
    void close() { transport_->close(); }

private:
    friend class exchange_state;
    friend class turn;

    using clock = session_clock;

    /// Bytes of a further request have arrived. While no read waits.
    bool more_has_arrived() const noexcept;
    /// The same while one waits, which will return them.
    bool is_about_to_read() const noexcept;
    /// Whether a connection that has been silent for long enough has begun to send something, for
    /// which it has time left.
    bool asks(session_clock::time_point now);

    /// A response on its way, with what is to be said of it afterwards.
    struct answer {
        postlude::detail::outgoing<std::allocator<char>> out;
        bool stays;  ///< the connection, if all is written
        unsigned status = 0;
        std::size_t tasks = 0;
        std::string method{}, path{}, id{};  ///< for the access log, if there is one
    };
    /// A request whose header was read.
    struct exchange_parts {
        request_reader reader;
        request req;
        deferred after;
        route_match match;
    };

    void wait(clock::time_point now);
    void on_read(std::shared_ptr<read_client> self, boost::system::error_code ec,
                 std::size_t n) override;
    /// Serves what has arrived, until a coroutine has to go on.
    void go_on(clock::time_point now = clock::now());
    /// RFC 9112, section 2.2: some clients end a body with an empty line. False when there are too
    /// many.
    bool skip_empty_lines();
    /// Something has arrived: makes the answer to a request. False if there is none, and somebody
    /// else goes on.
    bool handle_arrived(std::optional<answer>& made);
    bool handle_now(std::optional<answer>& made);
    /// What an answer begins with, to be sent by a ring. No socket where it is not to be sent so.
    send_ring::item first_send(answer& a);
    void was_sent(answer& a, const send_ring::item& what);
    /// Writes an answer, or the rest of it; false if a coroutine goes on with it.
    bool write_or_go_on(answer& a, boost::system::error_code& ec);
    /// An answer was written.
    void conclude(answer& a, boost::system::error_code ec, clock::time_point now);
    exchange_parts begin(request_reader&& reader);
    /// Runs the coroutine that `work` makes, which says whether the connection stays; then goes on.
    template <class Work>
    void spawn(Work work);

    boost::asio::awaitable<bool> handshake();
    boost::asio::awaitable<bool> serve(request_reader& reader);
    boost::asio::awaitable<bool> serve(exchange_parts& parts);
    boost::asio::awaitable<bool> serve_whole(exchange_parts& parts);
    /// Makes a response that can't be sent a 500: before its jobs are stored for it.
    void make_sound(response& res, const request& req, const deferred& after);
    /// Writes a response when its request's jobs are stored.
    boost::asio::awaitable<bool> answer_when_stored(response& res, const request& req,
                                                    deferred& after, bool stays);
    boost::asio::awaitable<void> commit(unsigned status, deferred& after);
    boost::asio::awaitable<bool> read_head(request_reader& reader);
    boost::asio::awaitable<bool> read_body(exchange_parts& parts);
    /// Reads more into `in_`.
    boost::asio::awaitable<boost::system::error_code> fill(std::size_t most);
    boost::asio::awaitable<boost::system::error_code> say_continue();
    boost::asio::awaitable<boost::system::error_code> send(
        std::span<const boost::asio::const_buffer> pieces, std::size_t& sent);

    /// @param res as `make_sound` leaves it.
    /// @param req null for what was no request.
    answer compose(response&& res, const request* req, deferred& after, bool stays);
    /// Writes what can be without waiting. True when all was, or on an error.
    bool write_now(answer& a, boost::system::error_code& ec);
    boost::asio::awaitable<bool> write(answer& a);
    /// Lets the deferred work go. Whether the connection stays.
    bool end(answer& a, boost::system::error_code ec);
    /// Answers what is no request; the connection ends with it.
    boost::asio::awaitable<bool> refuse(status why);
    /// Answers a request whose body is no good; likewise.
    boost::asio::awaitable<bool> refuse(status why, exchange_parts& parts);
    /// Ends the connection so that the client can read the last response: closing while it still
    /// sends would reset it. What it sends is dropped while it gets on with that, but not for much
    /// longer than `body_timeout`.
    boost::asio::awaitable<void> linger();
    void leave();
    void cut(const std::exception_ptr& error) const;
    bool stopping() const noexcept { return service_.stopping.load(std::memory_order_relaxed); }

    service& service_;
    std::shared_ptr<transport> transport_;
    boost::beast::flat_buffer in_;
    boost::asio::cancellation_signal cancel_;
    std::function<void()> on_stop_;
    pace pace_;
    std::optional<pace> record_;  ///< of TLS, whose beginning was there when the silence was to end
    clock::time_point begun_;     ///< the request, its first byte
    std::size_t skipped_ = 0;     ///< bytes of empty lines before the next request
    std::string client_;          ///< for the access log, if there is one
    const request* handled_ = nullptr;  ///< while its handler runs
    const deferred* list_ = nullptr;    ///< the same
    std::atomic<bool> evicted_{false};
    std::atomic<bool> expiring_{false};
    bool abandoned_ = false;
};

}  // namespace postlude::http::detail

#endif
