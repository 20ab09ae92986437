// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_MAIL_REPORT_HPP
#define POSTLUDE_MAIL_REPORT_HPP

#include <string>

namespace postlude::mail {

/// What became of a mail, in words.
struct report {
    /// The mail's Message-ID, without the angle brackets; empty if the message was not sendable.
    std::string message_id;
    /// What the failure is about: a field of the message such as "to[3].address"; else empty.
    std::string field;
    /// The server's last answer in one line, such as "250 OK id=1rYx-0004" or "550 No such user";
    /// if there is none, what libcurl or this module has to say.
    std::string reply;
};

}  // namespace postlude::mail

#endif
