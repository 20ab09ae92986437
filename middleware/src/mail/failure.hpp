// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_MAIL_FAILURE_HPP
#define POSTLUDE_SRC_MAIL_FAILURE_HPP

#include "postlude/mail/error.hpp"
#include "postlude/mail/report.hpp"

namespace postlude::mail::detail {

/// How a mail ended. Thrown where a message cannot be sent; no user sees it.
struct outcome {
    boost::system::error_code code{};
    report about{};
};

[[noreturn]] inline void refuse(std::string field, std::string why) {
    throw outcome{errc::bad_field, {{}, std::move(field), std::move(why)}};
}

}  // namespace postlude::mail::detail

#endif
