// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_MAIL_ASYNC_SENDER_HPP
#define POSTLUDE_SRC_MAIL_ASYNC_SENDER_HPP

#include "mail/connection.hpp"
#include "postlude/mail/detail/send_operation.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>

#include <deque>
#include <map>
#include <memory>
#include <set>

namespace postlude::mail::detail {

/// libcurl's multi interface on an event loop: its sockets and its timer are Asio's. All of it
/// runs on one strand; what comes from other threads is posted there. Lives as long as something
/// is under way or its owner keeps it.
class async_sender : public std::enable_shared_from_this<async_sender> {
public:
    async_sender(const mailer_options& options, const boost::asio::any_io_executor& executor);
    async_sender(const async_sender&) = delete;
    async_sender& operator=(const async_sender&) = delete;
    ~async_sender();

    /// From any thread.
    void start(prepared mail, std::unique_ptr<send_operation> operation);
    /// Gives up everything under way. From any thread.
    void close();

private:
    using strand = boost::asio::strand<boost::asio::any_io_executor>;
    struct job;
    struct line;
    struct watch;
    class borrowed;

    void enqueue(const std::shared_ptr<job>& job);
    void give_up(const std::shared_ptr<job>& job, boost::system::error_code why);
    void start_waiting();
    void finish(const std::shared_ptr<job>& job, outcome end);
    boost::asio::awaitable<outcome> deliver(std::shared_ptr<job> job);
    boost::asio::awaitable<void> deliver_on(std::unique_ptr<line>& line, job& job, outcome& end,
                                            bool& stale);
    boost::asio::awaitable<void> converse(connection& connection, transaction& transaction,
                                          const job& job);
    void keep(std::unique_ptr<line> line);
    std::unique_ptr<line> take_idle();

    // What libcurl asks for.
    static int on_socket(CURL* handle, curl_socket_t socket, int what, void* self, void* known);
    static int on_timer(CURLM* multi, long ms, void* self);
    void watch_socket(curl_socket_t socket, int what);
    void set_timer(long ms);
    void wait_for(const std::shared_ptr<watch>& watch);
    void ready(curl_socket_t socket, int events);

    const mailer_options options_;
    strand strand_;
    boost::asio::steady_timer timer_;
    multi_handle multi_;
    std::map<curl_socket_t, std::shared_ptr<watch>> watches_;
    std::deque<std::unique_ptr<line>> idle_;  ///< the one used last at the end
    std::deque<std::shared_ptr<job>> waiting_;
    std::set<std::shared_ptr<job>> running_;
    bool closed_ = false;
};

}  // namespace postlude::mail::detail

#endif
