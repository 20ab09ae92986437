// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "http/date.hpp"

#include <array>
#include <cstdio>
#include <ctime>

namespace postlude::http::detail {

namespace {

constexpr std::array days{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
constexpr std::array months{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

struct written_date {
    std::time_t of = -1;
    std::array<char, 64> text{};
    std::size_t size = 0;
};

}  // namespace

std::string_view date_now() noexcept {
    thread_local written_date last;
    const auto now = std::time(nullptr);
    if (now != last.of) {
        std::tm at{};
        gmtime_r(&now, &at);
        const auto n =
            std::snprintf(last.text.data(), last.text.size(), "%s, %02d %s %04d %02d:%02d:%02d GMT",
                          days[static_cast<std::size_t>(at.tm_wday)], at.tm_mday,
                          months[static_cast<std::size_t>(at.tm_mon)], at.tm_year + 1900,
                          at.tm_hour, at.tm_min, at.tm_sec);
        last.size = static_cast<std::size_t>(n);
        last.of = now;
    }
    return {last.text.data(), last.size};
}

}  // namespace postlude::http::detail
