// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_HTTP_STAMP_HPP
#define POSTLUDE_SRC_HTTP_STAMP_HPP

#include "http/date.hpp"
#include "postlude/dispatch/deferred.hpp"
#include "postlude/http/message.hpp"

#include <algorithm>
#include <array>
#include <string_view>

namespace postlude::http::detail {

/// The header lines that the server adds to each response: the request's id, instead of any other,
/// and Date, unless the handler has set one.
class stamp {
public:
    stamp(response& res, const deferred& after) noexcept {
        res.erase("X-Request-Id");
        add("X-Request-Id: ");
        add(after.request_id());
        add("\r\n");
        if (res.find(field::date) == res.end()) {
            add("Date: ");
            add(date_now());
            add("\r\n");
        }
    }
    std::string_view text() const noexcept { return {buffer_.data(), size_}; }

private:
    void add(std::string_view s) noexcept {
        std::ranges::copy(s, buffer_.begin() + static_cast<std::ptrdiff_t>(size_));
        size_ += s.size();
    }

    std::size_t size_ = 0;
    std::array<char, 192> buffer_;  ///< ids have at most `max_request_id` bytes
};

}  // namespace postlude::http::detail

#endif
