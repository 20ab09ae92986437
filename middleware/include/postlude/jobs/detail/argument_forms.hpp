// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_JOBS_DETAIL_ARGUMENT_FORMS_HPP
#define POSTLUDE_JOBS_DETAIL_ARGUMENT_FORMS_HPP

#include <boost/describe/bases.hpp>
#include <boost/describe/enumerators.hpp>
#include <boost/describe/members.hpp>
#include <boost/json/fwd.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace postlude::detail {

/// How a type looks in JSON.
enum class argument_form {
    structure,     ///< described: an object
    boolean,       ///< true, false
    number,        ///< a number, or an enum that is not described
    name,          ///< a described enum: the name as a string
    text,          ///< a string
    time,          ///< a time of the system's clock: a string
    span_of_time,  ///< a duration: a string
    optional,      ///< null, or as its value
    any,           ///< JSON itself
    map,           ///< strings to values: an object
    list,          ///< as many as there are: an array
    fixed,         ///< a fixed number of values: an array
    none,
};

template <class T>
concept described = boost::describe::has_describe_members<T>::value;

template <class T>
concept argument_integer = std::integral<T> && !std::same_as<T, bool> && sizeof(T) <= 8;

/// Not the types of characters: a number and a letter are both meant by them.
template <class T>
concept argument_number =
    (argument_integer<T> && !std::same_as<T, char> && !std::same_as<T, wchar_t> &&
     !std::same_as<T, char8_t> && !std::same_as<T, char16_t> && !std::same_as<T, char32_t>) ||
    std::same_as<T, float> || std::same_as<T, double>;

template <class T>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;

/// Of whole ticks, that are a whole number of seconds or whose number in a second and in a
/// nanosecond is whole: those have exact decimal digits.
template <class T>
inline constexpr bool is_duration = false;
template <argument_integer Rep, class Period>
inline constexpr bool is_duration<std::chrono::duration<Rep, Period>> =
    Period::den == 1 || (Period::num == 1 && 1'000'000'000 % Period::den == 0);

template <class T>
inline constexpr bool is_time = false;
template <class Duration>
inline constexpr bool is_time<std::chrono::sys_time<Duration>> = is_duration<Duration>;

template <class T>
concept argument_map =
    std::same_as<typename T::key_type, std::string> && requires(T& map, std::string key) {
        typename T::mapped_type;
        map.clear();
        map.try_emplace(std::move(key));
    };

template <class T>
concept argument_list = !requires { typename T::mapped_type; } && !requires {
    typename T::traits_type;
} && requires(T& list, typename T::value_type item) {
    list.clear();
    list.size();
    list.insert(list.end(), std::move(item));
};

template <class T>
concept fixed_number = requires { std::tuple_size<T>::value; };

template <class T>
concept iterable = requires(T& range) { range.begin(); };

/// Their order is no part of their value.
template <class T>
concept unordered = requires { typename T::hasher; };

template <class T>
consteval argument_form find_form() {
    using enum argument_form;
    // clang-format off
    return described<T> ? structure
        : std::same_as<T, bool> ? boolean
        : boost::describe::has_describe_enumerators<T>::value ? name
        : argument_number<T> || std::is_enum_v<T> ? number
        : std::same_as<T, std::string> ? text
        : is_time<T> ? time
        : is_duration<T> ? span_of_time
        : is_optional<T> ? optional
        : std::same_as<T, boost::json::value> ? any
        : argument_map<T> ? map
        : argument_list<T> ? list
        : fixed_number<T> ? fixed
        : none;
    // clang-format on
}

template <class T>
consteval argument_form form_of() {
    static_assert(!std::is_pointer_v<T> && !std::same_as<T, std::string_view>,
                  "a job outlives what its arguments point to: use std::string or another value");
    static_assert(find_form<T>() != argument_form::none,
                  "a job's arguments can't have a member of this type: see to_text in "
                  "postlude/jobs/arguments.hpp for those that can be stored");
    return find_form<T>();
}

/// The data members that are described, those of described bases first.
template <described T>
using members_of = boost::describe::describe_members<T, boost::describe::mod_any_access |
                                                            boost::describe::mod_inherited>;

}  // namespace postlude::detail

#endif
