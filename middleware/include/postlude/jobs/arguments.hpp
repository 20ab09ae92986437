// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_JOBS_ARGUMENTS_HPP
#define POSTLUDE_JOBS_ARGUMENTS_HPP

#include "postlude/core/error.hpp"
#include "postlude/jobs/detail/argument_document.hpp"
#include "postlude/jobs/detail/argument_forms.hpp"
#include "postlude/jobs/detail/argument_path.hpp"
#include "postlude/jobs/detail/argument_reader.hpp"
#include "postlude/jobs/detail/argument_writer.hpp"

#include <boost/describe/members.hpp>
#include <boost/system/system_error.hpp>

#include <span>
#include <string>
#include <string_view>

namespace postlude {

/// Arguments that can't be read or written: errc::bad_arguments. Its `what` names the member and
/// says what was expected there and what was found, as in
/// `member "items[3].price": expected a number, found a string`. It shows no value but a number
/// that is out of its range, and none of a secret member (see job_traits::secret).
class arguments_error : public boost::system::system_error {
public:
    explicit arguments_error(const std::string& sentence)
        : boost::system::system_error(errc::bad_arguments, sentence) {}
};

/// The JSON text of a described struct: compact, its members in the order of their description,
/// those of described bases first. Equal values have equal texts.
///
/// A member may be
/// - bool, an integer of at most 64 bits, float or double (finite): true, 1, 1.5
/// - std::string: a string, and must be UTF-8
/// - an enum: its enumerator's name if it is described (BOOST_DESCRIBE_ENUM), else a number
/// - std::optional: null, or as its value
/// - a time of std::chrono::system_clock in the years 0 to 9999: "2026-11-24T14:30:00.25Z"
/// - a std::chrono::duration: in seconds whatever its unit is, "0.25s"
/// - std::vector, list, set and their like, std::array, pair and tuple: an array
/// - std::map and std::unordered_map of std::string: an object
/// - another described struct: an object
/// - boost::json::value: itself
/// of each other as well, down to 32 objects and arrays within each other. A type that is none of
/// these does not compile. Character types are none; times and durations are of integer ticks, and
/// of a period that decimal digits can tell (thirds of a second are none).
///
/// Throws arguments_error for a value that has no JSON, or that could not be read again: a number
/// that is not finite, text that is not UTF-8, an enum without a name, a time outside its years,
/// deeper nesting.
template <class T>
std::string to_text(const T& value) {
    static_assert(detail::described<T>, "describe the arguments with BOOST_DESCRIBE_STRUCT");
    std::string text;
    detail::append_argument(text, value, detail::argument_path());
    return text;
}

/// A described struct from its JSON text, which may be of another version of the struct: a member
/// that is missing keeps its initialiser, also within a struct that is a member, and one that is
/// unknown is ignored. Null is read as std::nullopt only. 3.0 is an integer as well, times may have
/// any offset, and what is finer than the type's ticks is rounded down. Of members with the same
/// name the last one counts. Throws arguments_error.
template <class T>
T from_text(std::string_view text) {
    static_assert(detail::described<T>, "describe the arguments with BOOST_DESCRIBE_STRUCT");
    const detail::argument_document document(text);
    T value{};
    if constexpr (requires { T::job.secret; }) {
        detail::read_argument(document.root(), value, detail::argument_path(T::job.secret));
    } else {
        detail::read_argument(document.root(), value, detail::argument_path());
    }
    return value;
}

/// The text of arguments for a log or a page: the members named are replaced by "[secret]", and
/// with them whatever they hold.
///
/// @param secret dotted paths, which pass through arrays: `items.card` is that of each item. Empty
///     ones are ignored. A member on the way that can't be passed through, since another version
///     of the arguments has a string there, is replaced too.
/// @return JSON, made anew from what the text says; "[unreadable]" for what is no JSON.
std::string redacted(std::string_view text, std::span<const std::string_view> secret);

}  // namespace postlude

#endif
