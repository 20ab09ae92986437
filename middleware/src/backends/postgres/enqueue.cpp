// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/backends/postgres/enqueue.hpp"

#include "backends/postgres/failure.hpp"
#include "backends/postgres/job_columns.hpp"

#include <algorithm>

namespace postlude::postgres {

namespace {

using detail::postgres::parameters;
using detail::postgres::rows;

void require(bool holds, const char* sentence) {
    if (!holds) {
        throw boost::system::system_error(make_error_code(errc::bad_option), sentence);
    }
}

void check(PGconn* connection, const job_traits& kind, const enqueue_options& options) {
    require(connection && PQstatus(connection) == CONNECTION_OK,
            "postgres::enqueue needs a connection that stands");
    require(PQpipelineStatus(connection) == PQ_PIPELINE_OFF,
            "postgres::enqueue needs a connection that is not in pipeline mode");
    const auto now = PQtransactionStatus(connection);
    require(now != PQTRANS_IDLE,
            "postgres::enqueue needs an open transaction, and there is none; send BEGIN first, and "
            "COMMIT after it");
    require(now != PQTRANS_INERROR,
            "postgres::enqueue needs an open transaction, and this one has failed; roll it back");
    require(now == PQTRANS_INTRANS,
            "postgres::enqueue needs a connection on which no statement is under way");
    // As libpq has understood it: a pooler answers with what it was asked for, "utf-8" or another.
    const std::string_view encoding = pg_encoding_to_char(PQclientEncoding(connection));
    require(encoding == "UTF8" || encoding == "SQL_ASCII",
            "postgres::enqueue needs a connection whose client_encoding is UTF8; call "
            "PQsetClientEncoding(connection, \"UTF8\")");
    require(options.delay.count() >= 0 && options.delay <= std::chrono::hours(24 * 366),
            "enqueue_options::delay takes 0 to a year");
    require(options.priority.value_or(0) <= 3, "enqueue_options::priority takes 0 to 3");
    require(options.tags.size() <= 16, "enqueue_options::tags takes 16 at most");
    require(std::ranges::all_of(options.tags,
                                [](const auto& tag) { return !tag.empty() && tag.size() <= 128; }),
            "a tag of a job has 1 to 128 bytes");
    require(!options.schema.empty() && std::ranges::all_of(options.schema,
                                                           [](char c) {
                                                               return (c >= 'a' && c <= 'z') ||
                                                                      (c >= '0' && c <= '9') ||
                                                                      c == '_';
                                                           }),
            "enqueue_options::schema takes lower-case letters, digits and _");
    if (kind.kind.empty()) {
        throw boost::system::system_error(make_error_code(errc::bad_kind),
                                          "a kind of job has to have a name");
    }
}

/// On the caller's connection, whose settings are not touched.
rows ask(PGconn* connection, const std::string& schema, std::string_view text,
         const parameters& values) {
    std::string sql;
    for (const auto c : text) {
        c == '@' ? sql.append(schema).append(1, '.') : sql.append(1, c);
    }
    const auto lent = values.lend();
    rows found(PQexecParams(connection, sql.c_str(), values.count(), nullptr, lent.values.data(),
                            lent.lengths.data(), lent.formats.data(), 1));
    if (found.status() == PGRES_TUPLES_OK) {
        return found;
    }
    const auto state = found.error(PG_DIAG_SQLSTATE);
    const auto store = "in schema " + schema;
    if (state.empty()) {
        throw detail::postgres::broken(
            detail::postgres::sentence(store, "the connection broke, and with it the transaction"),
            false);
    }
    if (state == "42P01" || state == "3F000") {
        detail::postgres::fail(errc::bad_store, store,
                               "it is not there; let a process of Postlude's open the store once "
                               "in this database, or name its schema (enqueue_options::schema)");
    }
    throw detail::postgres::make_refused(store, state, found.error(PG_DIAG_MESSAGE_PRIMARY));
}

std::int32_t lane_of(PGconn* connection, const job_traits& kind, const enqueue_options& options) {
    parameters names;
    names.text(kind.kind).text(kind.queue).int4(options.priority.value_or(kind.priority));
    constexpr const char* look =
        "SELECT lane FROM @lanes WHERE kind = $1::text AND queue = $2::text"
        " AND priority = $3::integer";
    for (int i = 0; i < 2; ++i) {
        const auto found = ask(connection, options.schema, look, names);
        if (found.size() > 0) {
            return found.int4(0, 0);
        }
        const auto made = ask(connection, options.schema,
                              "INSERT INTO @lanes(kind, queue, priority)"
                              " VALUES($1::text, $2::text, $3::integer)"
                              " ON CONFLICT DO NOTHING RETURNING lane",
                              names);
        if (made.size() > 0) {
            return made.int4(0, 0);
        }
    }
    detail::postgres::fail(errc::store_unavailable, "in schema " + options.schema,
                           "a lane that another transaction has made can't be seen by this one; "
                           "begin it again");
}

}  // namespace

job_id enqueue(PGconn* connection, const job_traits& kind, const std::string& arguments,
               const enqueue_options& options) {
    check(connection, kind, options);
    const auto lane = lane_of(connection, kind, options);
    auto tags = detail::postgres::array::of_text();
    for (const auto& tag : options.tags) {
        tags.add(detail::postgres::storable(tag));
    }
    parameters values;
    values.int4(lane).interval(options.delay);
    options.request_id.empty() ? values.null()
                               : values.text(detail::postgres::storable(options.request_id));
    options.tags.empty() ? values.null() : values.text(detail::postgres::write_tags(options.tags));
    values.text(arguments).list(std::move(tags)).text(options.schema + "_jobs");
    // Now is the transaction's start; in the order of jobs it stands there.
    const auto stored =
        ask(connection, options.schema,
            "WITH stored AS (INSERT INTO @jobs(job, created, run_at, lane, failures, crashes,"
            " request_id, tags, arguments) VALUES(nextval('@outside_jobs'), now(),"
            " now() + $2::interval, $1::integer, 0, 0, $3::text, $4::text, $5::text)"
            " RETURNING job, lane, run_at), listed AS (INSERT INTO @ready(lane, suspect, run_at,"
            " job) SELECT lane, false, run_at, job FROM stored),"
            " tagged AS (INSERT INTO @job_tags(job, tag)"
            " SELECT DISTINCT s.job, t.tag FROM stored s, unnest($6::text[]) t(tag))"
            " SELECT job, pg_notify($7::text, '') FROM stored",
            values);
    return static_cast<job_id>(stored.int8(0, 0));
}

}  // namespace postlude::postgres
