// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_JOBS_ARGUMENTS_HPP
#define POSTLUDE_JOBS_ARGUMENTS_HPP

#include "postlude/core/error.hpp"

#include <boost/describe/members.hpp>
#include <boost/system/system_error.hpp>

#include <span>
#include <string>
#include <string_view>

namespace postlude {

/// Arguments that can't be read: errc::bad_arguments. Its `what` names the member and says what was
/// expected there and what was found.
class arguments_error : public boost::system::system_error {
public:
    explicit arguments_error(const std::string& sentence)
        : boost::system::system_error(errc::bad_arguments, sentence) {}
};

/// The JSON text of a described struct.
template <class T>
std::string to_text(const T& value);

/// A described struct from its JSON text. Throws arguments_error.
template <class T>
T from_text(std::string_view text);

/// The text of arguments for a log or a page: the members named are replaced.
std::string redacted(std::string_view text, std::span<const std::string_view> secret);

}  // namespace postlude

#endif
