// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_BACKENDS_POSTGRES_SCHEMA_HPP
#define POSTLUDE_SRC_BACKENDS_POSTGRES_SCHEMA_HPP

#include "backends/postgres/connection.hpp"

#include <span>

namespace postlude::detail::postgres {

/// A step of the store's format. Forward only; old and new programs share a store while a deploy
/// rolls, as long as `min_reader` allows it.
struct migration {
    int version;
    int min_reader;   ///< the oldest version that a program must know to use the store afterwards
    const char* sql;  ///< statements with a semicolon at the end of a line; @ is the schema
};

std::span<const migration> migrations() noexcept;

/// Makes the schema and what is in it, or brings that up to date; one process at a time. Throws
/// bad_store for what is not Postlude's, or of a version that needs a newer program.
void bring_up_to_date(connection& db, const place& where, std::span<const migration> steps);

}  // namespace postlude::detail::postgres

#endif
