// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/mail/error.hpp"

#include <string>

namespace postlude::mail {

namespace {

class category final : public boost::system::error_category {
public:
    const char* name() const noexcept override { return "postlude.mail"; }

    std::string message(int value) const override {
        switch (static_cast<errc>(value)) {
        case errc::bad_field: return "a field of the message cannot be sent";
        case errc::bad_option: return "an option of the mailer is out of its range";
        case errc::rejected: return "the server refuses the mail for good";
        case errc::authentication_failed: return "the server does not accept the credentials";
        case errc::try_later: return "the server refuses the mail for now";
        case errc::connection_failed: return "there is no connection to the server";
        case errc::tls_failed: return "there is no trusted TLS connection to the server";
        case errc::timed_out: return "the server took too long";
        case errc::bad_reply: return "the server's answer is no SMTP";
        case errc::unconfirmed: return "the mail was handed over and not confirmed";
        }
        return "unknown error";
    }
};

}  // namespace

const boost::system::error_category& error_category() noexcept {
    static const category instance;
    return instance;
}

boost::system::error_code make_error_code(errc e) noexcept {
    return {static_cast<int>(e), error_category()};
}

bool is_permanent(const boost::system::error_code& ec) noexcept {
    return ec == errc::bad_field || ec == errc::bad_option || ec == errc::rejected ||
           ec == errc::authentication_failed;
}

bool is_passing(const boost::system::error_code& ec) noexcept {
    return ec.failed() && ec.category() == error_category() && !is_permanent(ec);
}

}  // namespace postlude::mail
