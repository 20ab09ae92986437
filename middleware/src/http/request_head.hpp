// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_HTTP_REQUEST_HEAD_HPP
#define POSTLUDE_SRC_HTTP_REQUEST_HEAD_HPP

#include "postlude/http/message.hpp"

#include <boost/beast/http/fields.hpp>

#include <cstdint>
#include <optional>
#include <string_view>

namespace postlude::http::detail {

/// Looks at the bytes of a header as they come, before Beast's parser does: that one takes lines
/// which other servers end elsewhere or refuse (folded ones, a bare LF in some places), and
/// answers differently when the same bytes come in other pieces. RFC 9112, sections 2.2 and 5.2.
class head_scanner {
public:
    /// @param bytes of the header, all that have come so far. Returns the header's size, its empty
    /// line included; 0 while that has not come, or when the bytes are bad.
    std::size_t scan(std::string_view bytes) noexcept;

    bool bad() const noexcept { return bad_; }
    /// The request line has come whole.
    bool has_line() const noexcept { return lines_ != 0; }

private:
    bool good_end(std::string_view bytes, std::size_t lf) noexcept;

    std::size_t seen_ = 0;
    std::size_t line_ = 0;  ///< where the current line begins
    std::size_t lines_ = 0;
    bool bad_ = false;
};

/// What is wrong with a request line, its end not included: 400, or 505 for a version that is
/// one, but not HTTP/1.0 or 1.1.
std::optional<status> check_request_line(std::string_view line) noexcept;

/// Reads the header of a request of the most usual kind: HTTP/1.1 with a path and one host, and no
/// field that tells of a body, the connection or an expectation. False for all others, among them
/// everything that is wrong; then `into` holds what was read by then. Gives what Beast's parser
/// would, in one pass.
/// @param head all of it, which `head_scanner` and `check_request_line` have let through.
bool read_plain_head(std::string_view head, request::message& into);

/// What a header says about the request's body and connection.
struct head_facts {
    std::optional<status>
        refusal{};  ///< the request is answered with that, and the connection ends
    std::uint64_t length = 0;
    bool chunked = false;
    bool expects_continue = false;
};

/// What Beast's parser lets through and HTTP does not. RFC 9112, sections 3.2, 6.1 and 6.3;
/// RFC 9110, section 10.1.1.
head_facts check_head(const boost::beast::http::request_header<>& head) noexcept;

}  // namespace postlude::http::detail

#endif
