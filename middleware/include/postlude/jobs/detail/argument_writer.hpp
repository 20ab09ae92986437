// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_JOBS_DETAIL_ARGUMENT_WRITER_HPP
#define POSTLUDE_JOBS_DETAIL_ARGUMENT_WRITER_HPP

#include "postlude/jobs/detail/argument_forms.hpp"
#include "postlude/jobs/detail/argument_path.hpp"
#include "postlude/jobs/detail/argument_time.hpp"

#include <boost/mp11/algorithm.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <vector>

namespace postlude::detail {

/// In quotes. Throws for what is not UTF-8: it could not be read.
void append_string(std::string& to, std::string_view text, const argument_path&);
void append_integer(std::string& to, std::int64_t);
void append_integer(std::string& to, std::uint64_t);
/// The fewest digits that give it back, with a point or an exponent: it stays a double when JSON
/// is all that is known of it. Throws for what is not finite.
void append_double(std::string& to, double, const argument_path&);
void append_double(std::string& to, float, const argument_path&);
void append_json(std::string& to, const boost::json::value&, const argument_path&);
/// In the order of their texts, so that equal arguments have equal text.
void append_sorted(std::string& to, std::vector<std::string>& parts);

template <class T>
void append_argument(std::string& to, const T& value, const argument_path& path);

template <described T>
void append_members(std::string& to, const T& value, const argument_path& path) {
    check_depth(path);
    to += '{';
    char before = 0;
    boost::mp11::mp_for_each<members_of<T>>([&](auto member) {
        if (before != 0) {
            to += before;
        }
        before = ',';
        to += '"';
        to += member.name;
        to += "\":";
        append_argument(to, value.*member.pointer, path.member(member.name));
    });
    to += '}';
}

template <class T>
void append_number(std::string& to, T value, const argument_path& path) {
    if constexpr (std::is_enum_v<T>) {
        append_number(to, static_cast<std::underlying_type_t<T>>(value), path);
    } else if constexpr (std::floating_point<T>) {
        append_double(to, value, path);
    } else if constexpr (std::signed_integral<T>) {
        append_integer(to, std::int64_t{value});
    } else {
        append_integer(to, std::uint64_t{value});
    }
}

template <class T>
void append_name(std::string& to, T value, const argument_path& path) {
    const char* name = nullptr;
    boost::mp11::mp_for_each<boost::describe::describe_enumerators<T>>([&](auto enumerator) {
        if (!name && enumerator.value == value) {
            name = enumerator.name;
        }
    });
    if (!name) {
        fail_argument(path, "its value has no name");
    }
    to += '"';
    to += name;
    to += '"';
}

template <class T>
void append_time_of(std::string& to, const T& value, const argument_path& path) {
    const auto since_1970 = exact(value.time_since_epoch());
    to += '"';
    if (!since_1970 || !append_time(to, *since_1970)) {
        fail_argument(path, "a time outside of the years 0 to 9999");
    }
    to += '"';
}

template <class T>
void append_duration_of(std::string& to, const T& value, const argument_path& path) {
    const auto duration = exact(value);
    if (!duration) {
        fail_argument(path, "a duration of more than 2^63 seconds");
    }
    to += '"';
    append_duration(to, *duration);
    to += '"';
}

/// A range whose items are put by append_item(to, item, index).
template <class Range, class F>
void append_items(std::string& to, const Range& range, F append_item) {
    std::size_t index = 0;
    if constexpr (unordered<Range>) {
        std::vector<std::string> parts;
        parts.reserve(range.size());
        for (const auto& item : range) {
            append_item(parts.emplace_back(), item, index++);
        }
        append_sorted(to, parts);
    } else {
        for (const auto& item : range) {
            if (index != 0) {
                to += ',';
            }
            append_item(to, item, index++);
        }
    }
}

template <class T>
void append_map(std::string& to, const T& map, const argument_path& path) {
    to += '{';
    append_items(to, map, [&](std::string& out, const auto& entry, std::size_t) {
        append_string(out, entry.first, path);
        out += ':';
        append_argument(out, entry.second, path.member(entry.first));
    });
    to += '}';
}

template <class T>
void append_list(std::string& to, const T& list, const argument_path& path) {
    to += '[';
    append_items(to, list, [&](std::string& out, const auto& item, std::size_t index) {
        // vector<bool> gives something that only converts to a bool.
        append_argument<typename T::value_type>(out, item, path.item(index));
    });
    to += ']';
}

template <class T>
void append_fixed(std::string& to, const T& values, const argument_path& path) {
    if constexpr (iterable<T>) {
        append_list(to, values, path);
    } else {
        to += '[';
        std::apply(
            [&](const auto&... items) {
                std::size_t index = 0;
                ((index != 0 ? void(to += ',') : void(),
                  append_argument(to, items, path.item(index++))),
                 ...);
            },
            values);
        to += ']';
    }
}

template <class T>
void append_argument(std::string& to, const T& value, const argument_path& path) {
    using enum argument_form;
    constexpr auto form = form_of<T>();
    if constexpr (form == map || form == list || form == fixed) {
        check_depth(path);
    }
    if constexpr (form == structure) {
        append_members(to, value, path);
    } else if constexpr (form == boolean) {
        to += value ? "true" : "false";
    } else if constexpr (form == number) {
        append_number(to, value, path);
    } else if constexpr (form == name) {
        append_name(to, value, path);
    } else if constexpr (form == text) {
        append_string(to, value, path);
    } else if constexpr (form == time) {
        append_time_of(to, value, path);
    } else if constexpr (form == span_of_time) {
        append_duration_of(to, value, path);
    } else if constexpr (form == optional) {
        if (value) {
            append_argument(to, *value, path);
        } else {
            to += "null";
        }
    } else if constexpr (form == any) {
        append_json(to, value, path);
    } else if constexpr (form == map) {
        append_map(to, value, path);
    } else if constexpr (form == list) {
        append_list(to, value, path);
    } else if constexpr (form == fixed) {
        append_fixed(to, value, path);
    }
}

}  // namespace postlude::detail

#endif
