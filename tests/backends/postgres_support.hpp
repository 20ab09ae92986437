// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_TESTS_BACKENDS_POSTGRES_SUPPORT_HPP
#define POSTLUDE_TESTS_BACKENDS_POSTGRES_SUPPORT_HPP

#include "postlude/backends/postgres.hpp"

#include "postlude/core/error.hpp"

#include "support/catch.hpp"
#include "support/store_server.hpp"

#include <boost/system/system_error.hpp>

#include <libpq-fe.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

namespace test {

/// The server that the tests of this process share; started when the first needs it.
inline store_server& postgres_server() {
    static store_server server("postgres");
    return server;
}

/// A pooler before it, that lends a connection for a transaction; likewise.
inline store_server& pgbouncer() {
    ::setenv("POSTLUDE_POSTGRES_PORT", postgres_server().port().c_str(), 1);
    static store_server server("pgbouncer");
    return server;
}

/// A URL of a server, for a user with what stands after its name ("" or ":password").
inline std::string postgres_url(const store_server& server, const std::string& user,
                                const std::string& database = "postlude") {
    std::string url = "postgresql://";
    url.append(user).append("@127.0.0.1:").append(server.port()).append("/").append(database);
    return url;
}

/// What a person does with psql.
class psql {
public:
    explicit psql(const std::string& url) : pg_(PQconnectdb(url.c_str()), &PQfinish) {
        if (PQstatus(pg_.get()) != CONNECTION_OK) {
            throw std::runtime_error(PQerrorMessage(pg_.get()));
        }
        PQsetNoticeProcessor(pg_.get(), [](void*, const char*) {}, nullptr);
    }
    PGconn* handle() const { return pg_.get(); }

    /// The first value that it returns, or "".
    std::string operator()(const std::string& sql) const {
        const std::unique_ptr<PGresult, void (*)(PGresult*)> result(PQexec(pg_.get(), sql.c_str()),
                                                                    &PQclear);
        const auto status = PQresultStatus(result.get());
        if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
            throw std::runtime_error(PQerrorMessage(pg_.get()));
        }
        return PQntuples(result.get()) > 0 ? PQgetvalue(result.get(), 0, 0) : "";
    }

private:
    std::unique_ptr<PGconn, void (*)(PGconn*)> pg_;
};

/// A schema for one store, dropped at the end.
class postgres_schema {
public:
    explicit postgres_schema(const store_server& server = postgres_server())
        : url(server.url()), name_(std::string("t").append(std::to_string(++count()))) {
        drop();
    }
    postgres_schema(const postgres_schema&) = delete;
    postgres_schema& operator=(const postgres_schema&) = delete;
    ~postgres_schema() {
        try {
            drop();
        } catch (const std::exception&) {
            // The server may have been stopped by the test.
        }
    }

    const std::string& name() const noexcept { return name_; }
    postlude::postgres_options options() const {
        postlude::postgres_options o;
        o.url = url;
        o.schema = name_;
        o.timeout = patience;  // a slow machine is no broken connection
        return o;
    }
    std::unique_ptr<postlude::backend> connect() const {
        return postlude::postgres_backend(options());
    }
    /// SQL in which @ stands for the schema and a full stop.
    std::string sql(const std::string& text) const {
        std::string result;
        for (const auto c : text) {
            c == '@' ? result.append(name_).append(1, '.') : result.append(1, c);
        }
        return result;
    }

    std::string url;

private:
    static int& count() {
        static int n = 0;
        return n;
    }
    void drop() const {
        psql person(url);
        person("SET lock_timeout = '60s'");
        person(std::string("DROP SCHEMA IF EXISTS ").append(name_).append(" CASCADE"));
    }

    std::string name_;
};

}  // namespace test

#endif
