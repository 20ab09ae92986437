// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_HTTP_DATE_HPP
#define POSTLUDE_SRC_HTTP_DATE_HPP

#include <string_view>

namespace postlude::http::detail {

/// The time as the Date field has it (RFC 9110, section 5.6.7). The view is the calling thread's
/// until its next call.
std::string_view date_now() noexcept;

}  // namespace postlude::http::detail

#endif
