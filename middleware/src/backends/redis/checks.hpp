// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_BACKENDS_REDIS_CHECKS_HPP
#define POSTLUDE_SRC_BACKENDS_REDIS_CHECKS_HPP

#include "backends/redis/connection.hpp"

#include <map>
#include <string>
#include <vector>

namespace postlude::detail::redis {

/// Throws bad_store when the user may not use a command that the scripts need: found out later, a
/// script would end in the middle.
void check_permissions(connection& server, const location& to, deadline until);

/// What is unwise in how the server is set up.
std::vector<std::string> warnings(connection& server, deadline until);

/// The same, of settings by their names.
std::vector<std::string> unwise(const std::map<std::string, std::string>& settings);

}  // namespace postlude::detail::redis

#endif
