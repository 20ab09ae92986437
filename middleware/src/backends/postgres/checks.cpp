// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/postgres/checks.hpp"

#include <algorithm>
#include <charconv>
#include <memory>
#include <utility>

namespace postlude::detail::postgres {

namespace {

[[noreturn]] void bad_option(const std::string& why) {
    throw boost::system::system_error(make_error_code(errc::bad_option), why);
}

std::vector<std::string> list_of(const PQconninfoOption* parts, std::string_view keyword) {
    std::vector<std::string> list;
    for (; parts->keyword; ++parts) {
        if (parts->keyword != keyword || !parts->val) {
            continue;
        }
        const std::string_view all = parts->val;
        for (std::size_t begin = 0, end = 0; end != all.npos; begin = end + 1) {
            end = all.find(',', begin);
            list.emplace_back(all.substr(begin, end - begin));
        }
    }
    return list;
}

/// What libpq says of a wrong URL may show the password, so none of it is said.
std::vector<host> checked_hosts(const std::string& url) {
    if (!url.starts_with("postgresql://") && !url.starts_with("postgres://")) {
        bad_option("the URL of a PostgreSQL job store begins with postgresql://");
    }
    char* message = nullptr;
    const std::unique_ptr<PQconninfoOption, void (*)(PQconninfoOption*)> parts(
        PQconninfoParse(url.c_str(), &message), &PQconninfoFree);
    PQfreemem(message);
    const std::string form =
        "; it has the form postgresql://user:password@host:5432/database?sslmode=require, and "
        "what is special in a password is percent-encoded";
    if (!parts) {
        bad_option("the job store's URL can't be read" + form);
    }
    const auto names = list_of(parts.get(), "host");
    // libpq ends the password at the first @, and would name the rest of it as the host.
    const auto is_cut = [](const std::string& h) {
        return !h.starts_with('/') && h.find('@', 1) != h.npos;  // else it is a Unix socket
    };
    if (std::ranges::any_of(names, is_cut)) {
        bad_option("the password in the job store's URL has an @ in it, which is written %40" +
                   form);
    }
    const auto addresses = list_of(parts.get(), "hostaddr");
    const auto ports = list_of(parts.get(), "port");
    for (const auto& one : ports) {
        unsigned number = 1;
        const auto* const end = one.data() + one.size();
        const auto read = std::from_chars(one.data(), end, number);
        if (!one.empty() &&
            (read.ec != std::errc() || read.ptr != end || number < 1 || number > 65535)) {
            bad_option("the port in the job store's URL is not a number of 1 to 65535" + form);
        }
    }
    const auto n = std::max(names.size(), addresses.size());
    const auto fits = [n](const auto& list) { return list.empty() || list.size() == n; };
    if (n < 2 || !fits(names) || !fits(addresses) || !(ports.size() == 1 || fits(ports))) {
        return std::vector<host>(1);  // libpq says what is wrong, if anything
    }
    std::vector<host> hosts(n);
    for (std::size_t i = 0; i != n; ++i) {
        auto& h = hosts[i];
        h.name = names.empty() ? "" : names[i];
        h.address = addresses.empty() ? "" : addresses[i];
        h.port = ports.empty() ? "" : ports[ports.size() == 1 ? 0 : i];
        if (h.port.empty() && !ports.empty()) {
            h.port = "5432";
        }
        if ((h.name.empty() && !names.empty()) || (h.address.empty() && !addresses.empty())) {
            return std::vector<host>(1);
        }
    }
    return hosts;
}

bool is_plain_name(std::string_view name) {
    return !name.empty() && name.size() <= 40 && (name[0] < '0' || name[0] > '9') &&
           !name.starts_with("pg_") && std::ranges::all_of(name, [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
           });
}

std::string minutes(std::int64_t seconds) {
    return seconds >= 120 ? std::to_string(seconds / 60) + " minutes"
                          : std::to_string(seconds) + " seconds";
}

}  // namespace

place checked_place(const postgres_options& options) {
    auto hosts = checked_hosts(options.url);
    if (!is_plain_name(options.schema)) {
        bad_option(
            "postgres_options::schema takes 1 to 40 lower-case letters, digits and _, no digit "
            "first and no pg_ either");
    }
    using namespace std::chrono_literals;
    if (options.timeout < 1ms || options.timeout > 1h) {
        bad_option("postgres_options::timeout takes 1 ms to 1 h");
    }
    if (options.poll < 1ms || options.poll > 24h) {
        bad_option("postgres_options::poll takes 1 ms to 24 h");
    }
    if (options.old_snapshot < 1ms) {
        bad_option("postgres_options::old_snapshot takes a millisecond at least");
    }
    return {options.url,    without_password(options.url),
            options.schema, options.timeout,
            options.pooled, std::move(hosts)};
}

bool is_pooled(connection& db) {
    static const std::string question = "SELECT pg_backend_pid()";
    return db.run({command{question, {}, true}}).front().int4(0, 0) != PQbackendPID(db.handle());
}

std::vector<std::string> warnings_of(connection& db, const place& where,
                                     std::chrono::milliseconds old_snapshot) {
    std::vector<std::string> found;
    const auto warn = [&](const std::string& why) { found.push_back(sentence(where.shown, why)); };
    if (where.pooled) {
        warn(
            "it is behind a pooler, so jobs are looked for again and again instead of being told "
            "of, and those of a process that died wait for its lease; name the server itself");
    }
    static const std::string settings =
        "SELECT current_setting('fsync') = 'off', current_setting('synchronous_commit') = 'off',"
        " current_setting('autovacuum') = 'off' OR current_setting('track_counts') = 'off',"
        " current_setting('full_page_writes') = 'off'";
    const auto set = db.run(settings);
    if (set.boolean(0, 0) || set.boolean(0, 3)) {
        warn(
            "its fsync or full_page_writes is off: when its machine loses power, all jobs may be "
            "gone; turn them on");
    }
    if (set.boolean(0, 1)) {
        warn(
            "its synchronous_commit is off: when its machine loses power, the latest jobs are "
            "lost, though their requests were answered with success; turn it on");
    }
    if (set.boolean(0, 2)) {
        warn(
            "its autovacuum is off: jobs that have ended are never cleared away, and each claim "
            "has to pass more of them; turn it on");
    }
    static const std::string snapshots =
        "SELECT 'process ' || pid || coalesce(' of user ' || usename, ''),"
        " extract(epoch FROM clock_timestamp() - xact_start)::bigint FROM pg_stat_activity"
        " WHERE (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL) AND pid <> pg_backend_pid()"
        " AND datname = current_database() AND backend_type = 'client backend'"
        " AND xact_start < clock_timestamp() - $1::interval"
        " UNION ALL SELECT 'prepared transaction ' || gid,"
        " extract(epoch FROM clock_timestamp() - prepared)::bigint FROM pg_prepared_xacts"
        " WHERE database = current_database() AND prepared < clock_timestamp() - $1::interval"
        " ORDER BY 2 DESC LIMIT 3";
    const auto old = db.run(snapshots, parameters().interval(old_snapshot));
    for (int i = 0; i < old.size(); ++i) {
        warn("a transaction (" + std::string(old.text(i, 0)) + ") has been open for " +
             minutes(old.int8(i, 1)) +
             ", and keeps rows of jobs that have ended from being cleared away, which every claim "
             "has to pass; end it");
    }
    return found;
}

}  // namespace postlude::detail::postgres
