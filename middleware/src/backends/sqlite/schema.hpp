// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_BACKENDS_SQLITE_SCHEMA_HPP
#define POSTLUDE_SRC_BACKENDS_SQLITE_SCHEMA_HPP

#include "backends/sqlite/database.hpp"

#include <span>

namespace postlude::detail::sqlite {

/// "Post", in the file's header: by this `file` and Postlude tell a store from other databases.
inline constexpr int application_id = 0x506f7374;

/// Brings a store from the version before to this one.
struct migration {
    int version;
    /// The oldest version of the schema whose programs can still work with the store after it. A
    /// rolling deploy needs it to stay below `version`: then new columns have defaults, old ones
    /// keep their meaning, and what old programs write is complete.
    int min_reader;
    const char* sql;
};

/// From nothing to the present version; ascending.
std::span<const migration> migrations() noexcept;

/// Throws bad_store when it is neither empty nor a store of Postlude's, or too new. Changes
/// nothing.
void check_identity(connection& db, std::span<const migration> known);

/// Makes the tables in an empty file, or migrates an existing one forward, in one transaction.
/// Throws as `check_identity` does.
void bring_up_to_date(connection& db, std::span<const migration> steps);

/// Looks for damage where it costs nothing: the small tables whole, the large ones at both ends.
void check_quickly(connection& db);

}  // namespace postlude::detail::sqlite

#endif
