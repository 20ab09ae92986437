// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/jobs/detail/argument_reader.hpp"

#include <cmath>

namespace postlude::detail {

namespace {

std::string range_text(std::int64_t lowest, std::uint64_t highest) {
    return std::string("a whole number from ")
        .append(std::to_string(lowest))
        .append(" to ")
        .append(std::to_string(highest));
}

/// The integer that a number is; nothing where it is none, or does not fit.
template <class T>
std::optional<T> whole(const boost::json::value& from) noexcept {
    if (const auto* i = from.if_int64()) {
        return std::in_range<T>(*i) ? std::optional(static_cast<T>(*i)) : std::nullopt;
    }
    if (const auto* u = from.if_uint64()) {
        return std::in_range<T>(*u) ? std::optional(static_cast<T>(*u)) : std::nullopt;
    }
    using limits = std::numeric_limits<T>;
    constexpr auto lowest = static_cast<double>(limits::min());
    constexpr T half = limits::max() / 2 + 1;  // a power of two, so the double is exact
    constexpr auto beyond = 2 * static_cast<double>(half);
    const auto d = from.get_double();
    const bool fits = d >= lowest && d < beyond && std::trunc(d) == d;
    return fits ? std::optional(static_cast<T>(d)) : std::nullopt;
}

void check_number(const boost::json::value& from, const argument_path& path) {
    if (!from.is_number()) {
        fail_kind(path, "a number", from);
    }
}

}  // namespace

const boost::json::object& read_object(const boost::json::value& from, const argument_path& path) {
    if (const auto* object = from.if_object()) {
        return *object;
    }
    fail_kind(path, "an object", from);
}

const boost::json::array& read_array(const boost::json::value& from, const argument_path& path) {
    if (const auto* array = from.if_array()) {
        return *array;
    }
    fail_kind(path, "an array", from);
}

const boost::json::array& read_array(const boost::json::value& from, std::size_t size,
                                     const argument_path& path) {
    const auto& array = read_array(from, path);
    if (array.size() != size) {
        fail_argument(path, std::string("expected an array of ")
                                .append(std::to_string(size))
                                .append(" items, found one of ")
                                .append(std::to_string(array.size())));
    }
    return array;
}

std::string_view read_string(const boost::json::value& from, std::string_view expected,
                             const argument_path& path) {
    if (const auto* string = from.if_string()) {
        return {string->data(), string->size()};
    }
    fail_kind(path, expected, from);
}

bool read_bool(const boost::json::value& from, const argument_path& path) {
    if (const auto* boolean = from.if_bool()) {
        return *boolean;
    }
    fail_kind(path, "a boolean", from);
}

std::int64_t read_signed(const boost::json::value& from, std::int64_t lowest, std::int64_t highest,
                         const argument_path& path) {
    check_number(from, path);
    if (const auto number = whole<std::int64_t>(from);
        number && *number >= lowest && *number <= highest) {
        return *number;
    }
    fail_number(path, range_text(lowest, static_cast<std::uint64_t>(highest)), from);
}

std::uint64_t read_unsigned(const boost::json::value& from, std::uint64_t highest,
                            const argument_path& path) {
    check_number(from, path);
    if (const auto number = whole<std::uint64_t>(from); number && *number <= highest) {
        return *number;
    }
    fail_number(path, range_text(0, highest), from);
}

double read_double(const boost::json::value& from, const argument_path& path) {
    check_number(from, path);
    return from.is_double()  ? from.get_double()
           : from.is_int64() ? static_cast<double>(from.get_int64())
                             : static_cast<double>(from.get_uint64());
}

float read_float(const boost::json::value& from, const argument_path& path) {
    // Halfway to what would follow the highest float; less is rounded down to that.
    constexpr double beyond = 0x1.ffffffp+127;
    const auto number = read_double(from, path);
    if (std::abs(number) >= beyond) {
        fail_number(path, "a number that a float can hold", from);
    }
    return static_cast<float>(number);
}

}  // namespace postlude::detail
