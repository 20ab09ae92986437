// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_BACKENDS_POSTGRES_HPP
#define POSTLUDE_BACKENDS_POSTGRES_HPP

#include "postlude/backends/url.hpp"

#include <chrono>
#include <memory>
#include <string>

namespace postlude {

struct postgres_options {
    /// `postgresql://user:password@host:5432/database`, with libpq's own parameters: `?sslmode=`,
    /// `?target_session_attrs=` and so on, but for `connect_timeout`: `timeout` counts. Several
    /// hosts are tried in turn, and share it. The database is encoded as UTF-8.
    std::string url;
    /// Holds all that the store keeps, and nothing else; made if it does not exist and the user may
    /// make it. 1 to 40 lower-case letters, digits and `_`, none of the digits first,
    /// and not `pg_` either.
    std::string schema = "postlude";
    /// For connecting, and for each call: past it the connection counts as broken. Questions
    /// (`stats`, `find`, `history`) have six times as much. 1 ms to 1 h.
    std::chrono::milliseconds timeout{5'000};
    /// How often to look for jobs that other processes have stored, where the server's notice of
    /// them can't arrive (behind a pooler), while there are none. Where it can,
    /// a look is made 50 times as rarely, in case that it was lost. 1 ms to 24 h.
    std::chrono::milliseconds poll{100};
    /// There is a pooler before the server that lends a connection for a transaction at a time.
    /// PgBouncer is found out without this.
    bool pooled = false;
    /// A transaction that is open for so long is warned of: it keeps what is deleted from being
    /// cleared away, and every claim has to pass that. 1 ms or more.
    std::chrono::milliseconds old_snapshot = std::chrono::minutes(5);
};

/// A store in a schema of a PostgreSQL database, 13 or later, which any number of processes on any
/// hosts may share. Throws system_error with errc::bad_option when an option is wrong. Connects to
/// nothing before `backend::open`, and by itself whenever a connection was lost.
std::unique_ptr<backend> postgres_backend(postgres_options options);

/// `postgresql://…` and `postgres://…`.
backend_scheme postgres_scheme();

}  // namespace postlude

#endif
