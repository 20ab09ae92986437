// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_BACKENDS_POSTGRES_ENQUEUE_HPP
#define POSTLUDE_BACKENDS_POSTGRES_ENQUEUE_HPP

#include "postlude/jobs/arguments.hpp"
#include "postlude/jobs/record.hpp"
#include "postlude/jobs/traits.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// As <libpq-fe.h> has it.
struct pg_conn;
typedef struct pg_conn PGconn;

namespace postlude::postgres {

/// What may be said of one job beside its arguments.
struct enqueue_options {
    /// Not before this has passed after the transaction's start; 0 to a year.
    std::chrono::milliseconds delay{0};
    /// What it concerns, to be found by it: "customer:17". Up to 16 of 1 to 128 bytes.
    std::vector<std::string> tags{};
    /// Instead of the kind's; 0 is taken first, 3 last.
    std::optional<std::uint8_t> priority{};
    /// Of the request that causes it: `after.request_id()` within a handler.
    std::string request_id{};
    /// Where the store is: postgres_options::schema.
    std::string schema = "postlude";
};

/// Puts a job, in words already, on the transaction that is open on the connection.
job_id enqueue(PGconn* connection, const job_traits& kind, const std::string& arguments,
               const enqueue_options& options);

/// Stores a job on the caller's own transaction: the job exists if and only if what the transaction
/// has changed does. No process takes it before the commit, which wakes those that wait; after a
/// rollback, also one to a savepoint, there is no trace of it.
///
///     PQclear(PQexec(connection, "BEGIN"));
///     …                                                      // the caller's own statements
///     postlude::postgres::enqueue(connection, welcome_mail{to, name});
///     PQclear(PQexec(connection, "COMMIT"));
///
/// The connection is to the database of the store, which a process must have opened once; its user
/// may use the store's schema. Blocks for two statements, which is a round trip each. The first job
/// of a lane, which is a kind in a queue at a priority, makes that lane: until this transaction
/// ends, others' transactions that would make the same lane wait, and a request that would is
/// answered with 503.
///
/// @param connection not in pipeline mode, with no statement under way, and with client_encoding
///     UTF8 or SQL_ASCII; used by one thread.
/// @return the job's id, for `dispatcher::find` and the like. Such ids are below 2^40.
///
/// Throws system_error: errc::bad_option when no transaction is open, when the open one has failed
/// already, or when an option is out of its range; arguments_error; errc::bad_kind for a kind
/// without a name. Nothing was sent then. errc::bad_store or errc::store_unavailable with what the
/// server has answered; the transaction has failed then, as after any error in it.
template <job_type Args>
job_id enqueue(PGconn* connection, const Args& arguments, const enqueue_options& options = {}) {
    return enqueue(connection, Args::job, to_text(arguments), options);
}

}  // namespace postlude::postgres

#endif
