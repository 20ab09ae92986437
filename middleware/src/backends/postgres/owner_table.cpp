// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/postgres/owner_table.hpp"

#include <unistd.h>

#include <array>

namespace postlude::detail::postgres {

namespace {

/// For people who look at the table.
std::string this_process() {
    std::array<char, 256> host{};
    ::gethostname(host.data(), host.size() - 1);
    return std::string(host.data()).append(":").append(std::to_string(::getpid()));
}

}  // namespace

owner_table::owner_table(const place& where, std::chrono::milliseconds lease)
    : where_(where),
      lease_(lease),
      number_(where.sql("SELECT nextval('@owner_numbers')::integer")),
      take_lock_(
          "SELECT pg_advisory_lock_shared("
          "(to_regnamespace($1::text)::oid::bigint & 2147483647)::integer, $2::integer)"),
      tell_lock_(where.sql("UPDATE @owners SET locked_at = clock_timestamp(),"
                           " server = pg_postmaster_start_time() WHERE owner = $1::integer")),
      renew_(where.sql(
          "INSERT INTO @owners(owner, lease_until, locked_at, server, process)"
          " VALUES($1::integer, clock_timestamp() + $2::interval,"
          " CASE WHEN $3::boolean THEN clock_timestamp() END, pg_postmaster_start_time(), $4::text)"
          " ON CONFLICT(owner) DO UPDATE SET lease_until = excluded.lease_until, spares = NULL")),
      leave_(where.sql("DELETE FROM @owners WHERE owner = $1::integer")) {}

void owner_table::enter(connection& db) {
    try {
        self_ = db.run(number_).int4(0, 0);
    } catch (const refused& e) {
        if (e.state() == "2200H") {
            where_.fail(errc::bad_store,
                        "it was opened 8 million times, and has no number left for another "
                        "process; let its jobs end and begin with a new schema");
        }
        throw;
    }
    // Before the entry can be seen: an owner whose lock is free is dead.
    lock(db);
    db.run({renew()});
}

void owner_table::lock(connection& db) {
    if (self_ == 0 || where_.pooled) {
        return;
    }
    db.run(take_lock_, parameters().text(where_.schema).int4(self_));
    db.run(tell_lock_, parameters().int4(self_));
}

command owner_table::renew() {
    const std::lock_guard lock(mutex_);
    begun_ = clock::now();
    return {renew_,
            parameters().int4(self_).interval(lease_).boolean(!where_.pooled).text(this_process())};
}

std::optional<command> owner_table::hold() {
    {
        const std::lock_guard lock(mutex_);
        if (begun_ && clock::now() - *begun_ < lease_ / 512) {
            return std::nullopt;
        }
    }
    return renew();
}

void owner_table::forget() {
    const std::lock_guard lock(mutex_);
    begun_.reset();
}

command owner_table::leave(std::int32_t owner) const { return {leave_, parameters().int4(owner)}; }

}  // namespace postlude::detail::postgres
