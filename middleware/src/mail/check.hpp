// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_MAIL_CHECK_HPP
#define POSTLUDE_SRC_MAIL_CHECK_HPP

#include "postlude/mail/message.hpp"

namespace postlude::mail::detail {

/// Throws an outcome with errc::bad_field that names the first field that cannot be sent.
void check(const message& message);

}  // namespace postlude::mail::detail

#endif
