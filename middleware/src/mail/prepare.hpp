// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_MAIL_PREPARE_HPP
#define POSTLUDE_SRC_MAIL_PREPARE_HPP

#include "postlude/mail/message.hpp"

#include <chrono>
#include <string>
#include <vector>

namespace postlude::mail::detail {

/// A message ready for the wire.
struct prepared {
    struct recipient {
        std::string address;
        std::string field;  ///< such as "to[3].address"
    };
    std::string message_id;
    std::string sender;
    std::vector<recipient> recipients;  ///< no address twice
    /// What follows DATA: header and parts, dots doubled, with the line of one dot at the end.
    std::string data;
};

/// Checks and encodes a message. Throws an outcome: errc::bad_field, or errc::connection_failed
/// when the system has no file descriptor left.
prepared prepare(const message& message,
                 std::chrono::system_clock::time_point now = std::chrono::system_clock::now());

}  // namespace postlude::mail::detail

#endif
