// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_JOBS_DETAIL_SECRET_PATHS_HPP
#define POSTLUDE_JOBS_DETAIL_SECRET_PATHS_HPP

#include "postlude/jobs/detail/argument_forms.hpp"
#include "postlude/jobs/traits.hpp"

#include <boost/mp11/algorithm.hpp>

#include <string_view>
#include <utility>

namespace postlude::detail {

template <class T>
bool has_member(std::string_view path);

template <described T>
bool has_described_member(std::string_view path) {
    bool found = false;
    boost::mp11::mp_for_each<members_of<T>>([&](auto member) {
        const std::string_view name = member.name;
        if (found || !path.starts_with(name)) {
            return;
        }
        auto rest = path.substr(name.size());
        if (rest.empty()) {
            found = true;
        } else if (rest.starts_with('.')) {
            using type = std::remove_cvref_t<decltype(std::declval<T&>().*member.pointer)>;
            found = has_member<type>(rest.substr(1));
        }
    });
    return found;
}

template <class T, std::size_t... I>
bool has_fixed_member(std::string_view path, std::index_sequence<I...>) {
    return (has_member<std::tuple_element_t<I, T>>(path) || ...);
}

/// Whether a dotted path leads to a member within T, as `redacted` follows it.
template <class T>
bool has_member(std::string_view path) {
    using enum argument_form;
    constexpr auto form = form_of<T>();
    if constexpr (form == structure) {
        return has_described_member<T>(path);
    } else if constexpr (form == optional || form == list) {
        return has_member<typename T::value_type>(path);
    } else if constexpr (form == fixed && iterable<T>) {
        return has_member<typename T::value_type>(path);
    } else if constexpr (form == fixed) {
        return has_fixed_member<T>(path, std::make_index_sequence<std::tuple_size_v<T>>());
    } else {
        // What keys there will be is not known.
        return (form == map || form == any) && !path.empty();
    }
}

[[noreturn]] void fail_secret(const job_traits&, std::string_view path);

/// A secret that is spelt wrong would be shown: throws system_error(errc::bad_kind).
template <job_type Args>
void check_secrets() {
    const job_traits& traits = Args::job;
    for (const auto path : traits.secret) {
        if (!path.empty() && !has_member<Args>(path)) {
            fail_secret(traits, path);
        }
    }
}

}  // namespace postlude::detail

#endif
