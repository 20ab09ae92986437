// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_BACKENDS_POSTGRES_CHECKS_HPP
#define POSTLUDE_SRC_BACKENDS_POSTGRES_CHECKS_HPP

#include "backends/postgres/connection.hpp"
#include "postlude/backends/postgres.hpp"

namespace postlude::detail::postgres {

/// Where these options say that the store is; throws bad_option for what is wrong in them.
place checked_place(const postgres_options& options);

/// Whether a pooler stands between this connection and its server: what numbers the server's
/// process for its client is then not what that process says of itself.
bool is_pooled(connection& db);

/// Sentences on what is unwise in how the server is set up, and on who keeps dead rows there.
std::vector<std::string> warnings_of(connection& db, const place& where,
                                     std::chrono::milliseconds old_snapshot);

}  // namespace postlude::detail::postgres

#endif
