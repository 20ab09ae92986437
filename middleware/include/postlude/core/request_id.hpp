// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_CORE_REQUEST_ID_HPP
#define POSTLUDE_CORE_REQUEST_ID_HPP

#include <array>
#include <string_view>

namespace postlude {

/// The longest request id that is taken over from a client, in bytes.
inline constexpr std::size_t max_request_id = 64;

/// Whether an id may be taken over: 1 to `max_request_id` letters, digits, or one of `-_.:=/+@`.
/// Anything else could forge a log line or a header.
bool valid_request_id(std::string_view id) noexcept;

/// The trace id (32 lower-case hexadecimal digits) of a W3C `traceparent` header, or empty if
/// the header is not well formed. Format: W3C Trace Context, version 00, section 3.2.2.
std::string_view trace_id_of(std::string_view traceparent) noexcept;

/// A new id: 32 random lower-case hexadecimal digits, so that it is a valid trace id too.
/// Not a secret. Allocates nothing.
std::array<char, 32> make_request_id() noexcept;

}  // namespace postlude

#endif
