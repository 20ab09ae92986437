// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_BACKENDS_POSTGRES_OWNER_TABLE_HPP
#define POSTLUDE_SRC_BACKENDS_POSTGRES_OWNER_TABLE_HPP

#include "backends/postgres/connection.hpp"

#include <mutex>
#include <optional>

namespace postlude::detail::postgres {

/// This process's entry among the owners, and its locks: each of its connections holds one that
/// others share, so that a process is seen to be alive as long as any of them stands. For all
/// threads.
class owner_table {
public:
    owner_table(const place& where, std::chrono::milliseconds lease);

    std::int32_t self() const noexcept { return self_; }
    /// Takes a number that no process ever had, its lock, and an entry.
    void enter(connection& db);
    /// For a new connection: its lock.
    void lock(connection& db);
    /// The lease begins anew.
    command renew();
    /// For a claim: nothing, when the lease has begun so lately that it makes no difference.
    std::optional<command> hold();
    /// What `hold` or `renew` has remembered is not so: its transaction failed.
    void forget();
    command leave(std::int32_t owner) const;

private:
    using clock = std::chrono::steady_clock;

    const place& where_;
    const std::chrono::milliseconds lease_;
    std::int32_t self_ = 0;
    const std::string number_, take_lock_, tell_lock_, renew_, leave_;
    std::mutex mutex_;
    std::optional<clock::time_point> begun_;
};

}  // namespace postlude::detail::postgres

#endif
