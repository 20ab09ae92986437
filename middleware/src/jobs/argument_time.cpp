// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/jobs/detail/argument_time.hpp"

#include <algorithm>
#include <charconv>

namespace postlude::detail {

namespace {

namespace chrono = std::chrono;

constexpr std::int32_t one_second = 1'000'000'000;
constexpr chrono::sys_days first_day{chrono::year(0) / 1 / 1};
constexpr chrono::sys_days day_beyond{chrono::year(10'000) / 1 / 1};

bool is_writable(chrono::sys_seconds time) noexcept {
    return time >= first_day && time < day_beyond;
}

bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

void append_padded(std::string& to, std::uint64_t number, std::size_t width) {
    const auto digits = std::to_string(number);
    to.append(width - std::min(width, digits.size()), '0').append(digits);
}

/// ".25", and nothing for 0.
void append_fraction(std::string& to, std::int32_t nanoseconds) {
    if (nanoseconds == 0) {
        return;
    }
    to += '.';
    append_padded(to, static_cast<std::uint64_t>(nanoseconds), 9);
    to.erase(to.find_last_not_of('0') + 1);
}

/// What is left of a text; each step is false where it does not go on as expected.
class text_reader {
public:
    explicit text_reader(std::string_view text) : rest_(text) {}

    bool done() const noexcept { return rest_.empty(); }

    bool skip(char c) noexcept {
        const bool found = !rest_.empty() && rest_[0] == c;
        rest_.remove_prefix(found ? 1 : 0);
        return found;
    }
    bool skip_letter(char upper, char lower) noexcept { return skip(upper) || skip(lower); }

    /// Exactly two or four digits.
    template <class T>
    bool number(std::size_t width, T& to, T highest) noexcept {
        if (rest_.size() < width || !std::ranges::all_of(rest_.substr(0, width), is_digit)) {
            return false;
        }
        std::from_chars(rest_.data(), rest_.data() + width, to);
        rest_.remove_prefix(width);
        return to <= highest;
    }

    /// One digit or more.
    bool number(std::uint64_t& to) noexcept {
        const auto [end, ec] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), to);
        if (ec != std::errc{}) {
            return false;
        }
        rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
        return true;
    }

    /// A point and digits, or nothing.
    bool fraction(std::int32_t& nanoseconds) noexcept {
        if (!skip('.')) {
            return true;
        }
        auto unit = one_second;
        const auto digits = std::min(rest_.find_first_not_of("0123456789"), rest_.size());
        for (const char c : rest_.substr(0, digits)) {
            unit /= 10;
            nanoseconds += (c - '0') * unit;
        }
        rest_.remove_prefix(digits);
        return digits > 0;
    }

private:
    std::string_view rest_;
};

bool read_date(text_reader& text, chrono::sys_days& to) {
    int year = 0;
    unsigned month = 0;
    unsigned day = 0;
    if (!text.number(4, year, 9999) || !text.skip('-') || !text.number(2, month, 12U) ||
        !text.skip('-') || !text.number(2, day, 31U)) {
        return false;
    }
    const auto date = chrono::year(year) / chrono::month(month) / chrono::day(day);
    to = date.ok() ? chrono::sys_days(date) : to;
    return date.ok();
}

/// "14:30"
bool read_minutes(text_reader& text, std::int64_t& seconds) {
    std::int64_t hours = 0;
    std::int64_t minutes = 0;
    const bool valid = text.number(2, hours, std::int64_t{23}) && text.skip(':') &&
                       text.number(2, minutes, std::int64_t{59});
    seconds = hours * 3600 + minutes * 60;
    return valid;
}

/// "Z" or "+02:00"
bool read_offset(text_reader& text, std::int64_t& seconds) {
    if (text.skip_letter('Z', 'z')) {
        return true;
    }
    const bool west = text.skip('-');
    if ((!west && !text.skip('+')) || !read_minutes(text, seconds)) {
        return false;
    }
    seconds = west ? -seconds : seconds;
    return true;
}

}  // namespace

bool append_time(std::string& to, exact_duration since_1970) {
    const chrono::sys_seconds time(chrono::seconds(since_1970.seconds));
    if (!is_writable(time)) {
        return false;
    }
    const auto day = chrono::floor<chrono::days>(time);
    const chrono::year_month_day date(day);
    const auto second = static_cast<std::uint64_t>((time - day).count());
    append_padded(to, static_cast<std::uint64_t>(static_cast<int>(date.year())), 4);
    to += '-';
    append_padded(to, static_cast<unsigned>(date.month()), 2);
    to += '-';
    append_padded(to, static_cast<unsigned>(date.day()), 2);
    to += 'T';
    append_padded(to, second / 3600, 2);
    to += ':';
    append_padded(to, second / 60 % 60, 2);
    to += ':';
    append_padded(to, second % 60, 2);
    append_fraction(to, since_1970.nanoseconds);
    to += 'Z';
    return true;
}

std::optional<exact_duration> read_time(std::string_view text) {
    text_reader reader(text);
    chrono::sys_days day;
    std::int64_t second = 0;
    std::int64_t minutes = 0;
    std::int64_t offset = 0;
    exact_duration made;
    if (!read_date(reader, day) || !reader.skip_letter('T', 't') ||
        !read_minutes(reader, minutes) || !reader.skip(':') ||
        !reader.number(2, second, std::int64_t{59}) || !reader.fraction(made.nanoseconds) ||
        !read_offset(reader, offset) || !reader.done()) {
        return std::nullopt;
    }
    const auto time = day + chrono::seconds(minutes + second - offset);
    made.seconds = time.time_since_epoch().count();
    return is_writable(time) ? std::optional(made) : std::nullopt;
}

void append_duration(std::string& to, exact_duration duration) {
    auto seconds = static_cast<std::uint64_t>(duration.seconds);
    auto nanoseconds = duration.nanoseconds;
    if (duration.seconds < 0) {
        to += '-';
        seconds = -seconds;
        if (nanoseconds != 0) {
            --seconds;
            nanoseconds = one_second - nanoseconds;
        }
    }
    to += std::to_string(seconds);
    append_fraction(to, nanoseconds);
    to += 's';
}

std::optional<exact_duration> read_duration(std::string_view text) {
    text_reader reader(text);
    const bool negative = reader.skip('-');
    std::uint64_t seconds = 0;
    std::int32_t nanoseconds = 0;
    if (!reader.number(seconds) || !reader.fraction(nanoseconds) || !reader.skip('s') ||
        !reader.done()) {
        return std::nullopt;
    }
    const auto most = static_cast<std::uint64_t>(INT64_MAX) + (negative ? 1 : 0);
    if (seconds > most - (negative && nanoseconds != 0 ? 1 : 0)) {
        return std::nullopt;
    }
    if (negative && nanoseconds != 0) {
        ++seconds;
        nanoseconds = one_second - nanoseconds;
    }
    return exact_duration{static_cast<std::int64_t>(negative ? -seconds : seconds), nanoseconds};
}

}  // namespace postlude::detail
