// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_JOBS_DETAIL_ARGUMENT_READER_HPP
#define POSTLUDE_JOBS_DETAIL_ARGUMENT_READER_HPP

#include "postlude/jobs/detail/argument_forms.hpp"
#include "postlude/jobs/detail/argument_path.hpp"
#include "postlude/jobs/detail/argument_time.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <boost/mp11/algorithm.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace postlude::detail {

const boost::json::object& read_object(const boost::json::value&, const argument_path&);
const boost::json::array& read_array(const boost::json::value&, const argument_path&);
/// Of exactly that many items.
const boost::json::array& read_array(const boost::json::value&, std::size_t size,
                                     const argument_path&);
std::string_view read_string(const boost::json::value&, std::string_view expected,
                             const argument_path&);
bool read_bool(const boost::json::value&, const argument_path&);
/// Whole numbers, whatever way they are written.
std::int64_t read_signed(const boost::json::value&, std::int64_t lowest, std::int64_t highest,
                         const argument_path&);
std::uint64_t read_unsigned(const boost::json::value&, std::uint64_t highest, const argument_path&);
double read_double(const boost::json::value&, const argument_path&);
float read_float(const boost::json::value&, const argument_path&);

template <class T>
void read_argument(const boost::json::value& from, T& to, const argument_path& path);

template <described T>
void read_members(const boost::json::value& from, T& to, const argument_path& path) {
    const auto& object = read_object(from, path);
    boost::mp11::mp_for_each<members_of<T>>([&](auto member) {
        if (const auto* found = object.if_contains(member.name)) {
            read_argument(*found, to.*member.pointer, path.member(member.name));
        }
    });
}

template <class T>
T read_number(const boost::json::value& from, const argument_path& path) {
    using limits = std::numeric_limits<T>;
    if constexpr (std::is_enum_v<T>) {
        return static_cast<T>(read_number<std::underlying_type_t<T>>(from, path));
    } else if constexpr (std::same_as<T, double>) {
        return read_double(from, path);
    } else if constexpr (std::same_as<T, float>) {
        return read_float(from, path);
    } else if constexpr (std::signed_integral<T>) {
        return static_cast<T>(read_signed(from, limits::min(), limits::max(), path));
    } else {
        return static_cast<T>(read_unsigned(from, limits::max(), path));
    }
}

template <class T>
std::string names_of() {
    std::string names = "one of";
    boost::mp11::mp_for_each<boost::describe::describe_enumerators<T>>([&](auto enumerator) {
        names += names.ends_with('f') ? " \"" : ", \"";
        names += enumerator.name;
        names += '"';
    });
    return names;
}

template <class T>
void read_name(const boost::json::value& from, T& to, const argument_path& path) {
    const auto* name = from.if_string();
    if (!name) {
        fail_kind(path, names_of<T>(), from);
    }
    bool found = false;
    boost::mp11::mp_for_each<boost::describe::describe_enumerators<T>>([&](auto enumerator) {
        if (!found && *name == enumerator.name) {
            to = enumerator.value;
            found = true;
        }
    });
    if (!found) {
        fail_string(path, names_of<T>());
    }
}

template <class T>
void read_time_of(const boost::json::value& from, T& to, const argument_path& path) {
    constexpr std::string_view expected = "a time like \"2026-11-24T14:30:00.25Z\"";
    const auto since_1970 = read_time(read_string(from, expected, path));
    if (!since_1970) {
        fail_string(path, expected);
    }
    const auto ticks = inexact<typename T::duration>(*since_1970);
    if (!ticks) {
        fail_argument(path, "expected a time in the range of its type, found one outside of it");
    }
    to = T(*ticks);
}

template <class T>
void read_duration_of(const boost::json::value& from, T& to, const argument_path& path) {
    constexpr std::string_view expected = "a duration in seconds like \"0.25s\"";
    const auto duration = read_duration(read_string(from, expected, path));
    if (!duration) {
        fail_string(path, expected);
    }
    const auto ticks = inexact<T>(*duration);
    if (!ticks) {
        fail_argument(path,
                      "expected a duration in the range of its type, found one outside of it");
    }
    to = *ticks;
}

template <class T>
void read_optional(const boost::json::value& from, std::optional<T>& to,
                   const argument_path& path) {
    static_assert(find_form<T>() != argument_form::optional && find_form<T>() != argument_form::any,
                  "null would be both: no value, and a value that is null");
    if (from.is_null()) {
        to.reset();
    } else {
        read_argument(from, to.emplace(), path);
    }
}

template <class T>
void read_map(const boost::json::value& from, T& to, const argument_path& path) {
    const auto& object = read_object(from, path);
    to.clear();
    for (const auto& [key, value] : object) {
        const auto added = to.try_emplace(std::string(key.data(), key.size())).first;
        read_argument(value, added->second, path.member(added->first));
    }
}

template <class T>
void read_list(const boost::json::value& from, T& to, const argument_path& path) {
    static_assert(std::default_initializable<typename T::value_type>,
                  "an item is made before it is read: give its type a default constructor");
    const auto& array = read_array(from, path);
    to.clear();
    std::size_t index = 0;
    for (const auto& item : array) {
        typename T::value_type value{};
        read_argument(item, value, path.item(index++));
        to.insert(to.end(), std::move(value));
    }
}

template <class T>
void read_fixed(const boost::json::value& from, T& to, const argument_path& path) {
    const auto& array = read_array(from, std::tuple_size_v<T>, path);
    std::size_t index = 0;
    const auto read_one = [&](auto& item) {
        read_argument(array[index], item, path.item(index));
        ++index;
    };
    if constexpr (iterable<T>) {
        for (auto& item : to) {
            read_one(item);
        }
    } else {
        std::apply([&](auto&... items) { (read_one(items), ...); }, to);
    }
}

template <class T>
void read_argument(const boost::json::value& from, T& to, const argument_path& path) {
    using enum argument_form;
    constexpr auto form = form_of<T>();
    if constexpr (form == structure) {
        read_members(from, to, path);
    } else if constexpr (form == boolean) {
        to = read_bool(from, path);
    } else if constexpr (form == number) {
        to = read_number<T>(from, path);
    } else if constexpr (form == name) {
        read_name(from, to, path);
    } else if constexpr (form == text) {
        to = read_string(from, "a string", path);
    } else if constexpr (form == time) {
        read_time_of(from, to, path);
    } else if constexpr (form == span_of_time) {
        read_duration_of(from, to, path);
    } else if constexpr (form == optional) {
        read_optional(from, to, path);
    } else if constexpr (form == any) {
        to = from;
    } else if constexpr (form == map) {
        read_map(from, to, path);
    } else if constexpr (form == list) {
        read_list(from, to, path);
    } else if constexpr (form == fixed) {
        read_fixed(from, to, path);
    }
}

}  // namespace postlude::detail

#endif
