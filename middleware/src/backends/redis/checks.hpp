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

/// By their names.
using server_settings = std::map<std::string, std::string>;

/// What matters of how the server is set up; nothing when the user may not know.
server_settings read_settings(connection& server, deadline until);

/// A sentence on each that is unwise, or on that nobody could look.
std::vector<std::string> unwise(const server_settings& settings);

/// Whether each command waits for the disk.
bool syncs_always(const server_settings& settings);

}  // namespace postlude::detail::redis

#endif
