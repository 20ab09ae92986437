// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_JOBS_DETAIL_ARGUMENT_TIME_HPP
#define POSTLUDE_JOBS_DETAIL_ARGUMENT_TIME_HPP

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace postlude::detail {

/// seconds + nanoseconds, of which the latter are never negative and less than a second. Together
/// they hold the ticks of any integer.
struct exact_duration {
    std::int64_t seconds = 0;
    std::int32_t nanoseconds = 0;
};

/// Nothing where the seconds do not fit.
template <class Rep, class Period>
std::optional<exact_duration> exact(std::chrono::duration<Rep, Period> from) {
    if (!std::in_range<std::int64_t>(from.count())) {
        return std::nullopt;
    }
    const auto ticks = static_cast<std::int64_t>(from.count());
    if constexpr (Period::den == 1) {
        if (ticks > INT64_MAX / Period::num || ticks < INT64_MIN / Period::num) {
            return std::nullopt;
        }
        return exact_duration{ticks * Period::num, 0};
    } else {
        auto seconds = ticks / Period::den;
        auto rest = ticks % Period::den;
        if (rest < 0) {
            --seconds;
            rest += Period::den;
        }
        constexpr auto tick = 1'000'000'000 / Period::den;
        return exact_duration{seconds, static_cast<std::int32_t>(rest * tick)};
    }
}

/// The last tick that is not later; nothing where it does not fit.
template <class Duration>
std::optional<Duration> inexact(exact_duration from) {
    using rep = typename Duration::rep;
    using period = typename Duration::period;
    std::int64_t ticks = 0;
    if constexpr (period::den == 1) {
        ticks = from.seconds / period::num - (from.seconds % period::num < 0 ? 1 : 0);
    } else {
        // Towards zero, so that the ticks of the lowest value do not pass through what can't be.
        const bool negative = from.seconds < 0;
        const auto whole = from.seconds + (negative ? 1 : 0);
        constexpr auto most = INT64_MAX / period::den;
        if (whole > most || whole < -most) {
            return std::nullopt;
        }
        constexpr auto tick = 1'000'000'000 / period::den;
        const auto rest = from.nanoseconds / tick - (negative ? period::den : 0);
        ticks = whole * period::den;
        if (rest < 0 ? ticks < INT64_MIN - rest : ticks > INT64_MAX - rest) {
            return std::nullopt;
        }
        ticks += rest;
    }
    if (!std::in_range<rep>(ticks)) {
        return std::nullopt;
    }
    return Duration(static_cast<rep>(ticks));
}

/// "2026-11-24T14:30:00.25Z" of what has passed since 1970, as RFC 3339 has it, with as many
/// digits as it takes. False, and nothing appended, outside of the years 0 to 9999.
bool append_time(std::string& to, exact_duration since_1970);
/// Any offset; digits beyond nanoseconds are cut off. Nothing where it is no such time, or one
/// that can't be written.
std::optional<exact_duration> read_time(std::string_view text);

/// "-0.25s": seconds, as the JSON of Protocol Buffers has it.
void append_duration(std::string& to, exact_duration);
/// Digits beyond nanoseconds are cut off. Nothing where it is no such text, or does not fit.
std::optional<exact_duration> read_duration(std::string_view text);

}  // namespace postlude::detail

#endif
