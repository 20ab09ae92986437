// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_BACKENDS_SQLITE_OWNER_TABLE_HPP
#define POSTLUDE_SRC_BACKENDS_SQLITE_OWNER_TABLE_HPP

#include "backends/sqlite/database.hpp"
#include "backends/sqlite/owner_lock.hpp"

#include <vector>

namespace postlude::detail::sqlite {

/// This process's entry among the owners, and a look at the others. All but the constructor and
/// `others` within a transaction of the caller's.
class owner_table {
public:
    struct other {
        std::uint32_t number;
        std::int64_t lease_until;
    };

    owner_table(connection& db, owner_lock& lock, std::chrono::milliseconds lease);

    std::uint32_t self() const noexcept { return self_; }
    /// Takes a number that no process ever had, and its lock.
    void enter();
    /// Before a claim: makes sure that there is a lease, by which others find the claim.
    void hold_lease();
    /// The lease begins anew. True when claims may have been taken from this process meanwhile.
    bool renew();
    void begin_lease(bool lost);
    void leave(std::uint32_t owner) { leave_.bind(owner).run(); }
    /// What `hold_lease` has remembered is not so: its transaction was rolled back.
    void forget() noexcept { until_ = 0; }

    std::vector<other> others();
    /// Of an owner that is there still: whether its jobs may be taken.
    bool may_rescue(std::uint32_t owner, bool dead);
    /// Whether, of this dead owner, only the suspects have crashed: decided once, when the first of
    /// its jobs are taken.
    bool spares_innocents(std::uint32_t owner);
    /// A claim of this owner was ended: it shall look at each one when it renews them.
    void tell_lost(std::uint32_t owner) { tell_lost_.bind(owner).run(); }

private:
    connection& db_;
    owner_lock& lock_;
    std::int64_t lease_;
    std::uint32_t self_ = 0;
    std::int64_t until_ = 0;
    statement hold_, renew_, lost_, leave_, others_, read_, suspects_, decide_, tell_lost_;
};

}  // namespace postlude::detail::sqlite

#endif
