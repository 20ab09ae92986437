// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_BACKENDS_RABBITMQ_FAILURE_HPP
#define POSTLUDE_SRC_BACKENDS_RABBITMQ_FAILURE_HPP

#include "postlude/core/error.hpp"

#include <boost/system/system_error.hpp>

#include <string>
#include <string_view>

namespace postlude::detail::rabbitmq {

/// Every error of a store begins with its URL, as it may be shown: a process may have several.
inline std::string sentence(const std::string& shown, std::string_view why) {
    return std::string("the job store ").append(shown).append(": ").append(why);
}
[[noreturn]] inline void fail(errc code, const std::string& shown, std::string_view why) {
    throw boost::system::system_error(make_error_code(code), sentence(shown, why));
}

}  // namespace postlude::detail::rabbitmq

#endif
