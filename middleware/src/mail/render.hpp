// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_MAIL_RENDER_HPP
#define POSTLUDE_SRC_MAIL_RENDER_HPP

#include "mail/curl.hpp"

namespace postlude::mail::detail {

/// The bytes that libcurl would send after DATA for a message whose header and MIME parts are set
/// on an easy handle. Blocks for as long as encoding takes. Throws an outcome.
///
/// libcurl encodes a mail only while it sends it, and in SMTP it then waits for the server's answer
/// without giving its caller's event loop a turn (curl issue 8555). So it sends the mail here, over
/// a local socket whose other end agrees to everything, and the bytes go to the server by
/// `transaction`.
std::string render(CURL* handle);

}  // namespace postlude::mail::detail

#endif
