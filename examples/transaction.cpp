// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
//
// A job on the caller's own transaction in PostgreSQL: it exists if and only if the data do.
// Usage: example_transaction postgresql://user@host/database
#include <postlude/backends/postgres.hpp>
#include <postlude/backends/postgres/enqueue.hpp>
#include <postlude/dispatch/dispatcher.hpp>

#include <boost/describe/class.hpp>

#include <libpq-fe.h>

#include <chrono>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

struct welcome_mail {
    std::string to;
    static constexpr postlude::job_traits job{.kind = "welcome_mail", .queue = "mail"};
};
BOOST_DESCRIBE_STRUCT(welcome_mail, (), (to))

using database = std::unique_ptr<PGconn, void (*)(PGconn*)>;

void run(PGconn* connection, const char* sql, const std::vector<const char*>& values = {}) {
    const std::unique_ptr<PGresult, void (*)(PGresult*)> result(
        PQexecParams(connection, sql, static_cast<int>(values.size()), nullptr, values.data(),
                     nullptr, nullptr, 0),
        &PQclear);
    const auto status = PQresultStatus(result.get());
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
        throw std::runtime_error(PQerrorMessage(connection));
    }
}

// [readme-transaction]
void sign_up(PGconn* connection, const std::string& email) {
    run(connection, "BEGIN");
    try {
        run(connection, "INSERT INTO accounts(email) VALUES($1)", {email.c_str()});
        postlude::postgres::enqueue(connection, welcome_mail{email});
        if (!email.ends_with("@example.com")) {
            throw std::runtime_error("we know nobody there");
        }
        run(connection, "COMMIT");  // from here on there is an account, and a mail is owed
    } catch (...) {
        run(connection, "ROLLBACK");  // neither
        throw;
    }
}
// [/readme-transaction]

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        std::cerr << "usage: example_transaction URL\n";
        return 2;
    }
    try {
        postlude::dispatcher_options options;
        options.pool.queues = {{.name = "mail", .workers = 1}};
        options.jobs.store = postlude::postgres_backend({.url = argv[1]});
        options.kinds.handle<welcome_mail>([](const welcome_mail& mail) {
            std::cout << "welcome, " + mail.to + "\n" << std::flush;
        });
        postlude::dispatcher dispatcher(std::move(options));

        const database connection(PQconnectdb(argv[1]), &PQfinish);
        run(connection.get(), "CREATE TABLE IF NOT EXISTS accounts(email text)");
        for (const auto* email : {"eve@example.org", "ada@example.com"}) {
            try {
                sign_up(connection.get(), email);
                std::cout << "signed up: " << email << '\n' << std::flush;
            } catch (const std::exception& e) {
                std::cout << "not signed up: " << email << ", " << e.what() << '\n' << std::flush;
            }
        }
        const auto done = [&] {
            return dispatcher.find({.state = postlude::job_state::done}).size() == 1;
        };
        for (int i = 0; i < 6'000 && !done(); ++i) {
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
        }
        std::cout << "jobs: " << dispatcher.find({}).size() << '\n';
        return 0;
    } catch (const std::exception& e) {
        std::cerr << e.what() << '\n';
        return 1;
    }
}
