// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_MAIL_BLOCKING_SENDER_HPP
#define POSTLUDE_SRC_MAIL_BLOCKING_SENDER_HPP

#include "mail/connection.hpp"

#include <deque>
#include <memory>
#include <mutex>
#include <stop_token>

namespace postlude::mail::detail {

/// Sends on the calling thread. Keeps the connections that work, for the next caller.
class blocking_sender {
public:
    explicit blocking_sender(const mailer_options& options) : options_(options) {}

    outcome send(const prepared& mail, const std::stop_token& stop);

private:
    class line;

    outcome deliver(const prepared& mail, const std::stop_token& stop);
    std::shared_ptr<line> take_idle();
    void keep(const std::shared_ptr<line>& line);
    outcome send_on(const std::shared_ptr<line>& line, const prepared& mail,
                    const std::stop_token& stop, std::chrono::steady_clock::time_point deadline,
                    bool& stale);

    const mailer_options& options_;
    std::mutex mutex_;
    std::deque<std::shared_ptr<line>> idle_;  ///< the one used last at the end
};

}  // namespace postlude::mail::detail

#endif
