// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_MAIL_ERROR_HPP
#define POSTLUDE_MAIL_ERROR_HPP

#include <boost/system/error_code.hpp>

namespace postlude::mail {

/// Why a mail was not sent. The numbers are stable.
enum class errc {
    /// Permanent. A field of the message cannot be sent; libcurl has not seen it. Named in the
    /// report.
    bad_field = 1,
    /// Permanent. An option of the mailer is out of its range; the message names it.
    bad_option = 2,
    /// Permanent. The server answered 5xx.
    rejected = 3,
    /// Permanent. The server does not accept the user name and password, or offers no way to give
    /// them that libcurl knows.
    authentication_failed = 4,
    /// Passing. The server answered 4xx.
    try_later = 5,
    /// Passing. The host was not found, did not answer, or the connection was lost before the mail
    /// had been handed over.
    connection_failed = 6,
    /// Passing. There is no TLS with that server, or its certificate does not prove who it is.
    tls_failed = 7,
    /// Passing. A time-out passed before the mail had been handed over.
    timed_out = 8,
    /// Passing. The server answered with something that is not SMTP.
    bad_reply = 9,
    /// Passing. The whole mail was handed over, and then the server's answer did not arrive: the
    /// connection was lost, a time-out passed, or the caller gave up. It may have been delivered;
    /// sending it again may deliver it twice.
    unconfirmed = 10,
};

/// The category of `errc`; its name is "postlude.mail".
const boost::system::error_category& error_category() noexcept;

/// Found by argument-dependent lookup, so that `errc` converts to `error_code`.
boost::system::error_code make_error_code(errc) noexcept;

/// Whether sending the same mail again would fail again: the server refuses it (5xx), or it cannot
/// be sent as it is. False for what is no error of this module.
bool is_permanent(const boost::system::error_code& ec) noexcept;

/// Whether sending the same mail later may succeed (4xx, network, TLS, time-outs). False for what
/// is no error of this module: a send that was cancelled is neither permanent nor passing.
bool is_passing(const boost::system::error_code& ec) noexcept;

}  // namespace postlude::mail

template <>
struct boost::system::is_error_code_enum<postlude::mail::errc> : std::true_type {};

#endif
