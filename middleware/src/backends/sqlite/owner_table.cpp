// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/sqlite/owner_table.hpp"

#include "backends/sqlite/failure.hpp"

namespace postlude::detail::sqlite {

namespace {

constexpr std::int64_t largest_owner = (1 << 23) - 1;

}  // namespace

owner_table::owner_table(connection& db, owner_lock& lock, std::chrono::milliseconds lease)
    : db_(db),
      lock_(lock),
      lease_(std::chrono::microseconds(lease).count()),
      hold_(db,
            "INSERT INTO owners(owner, lease_until, lost) VALUES(?1, ?2, 1)"
            " ON CONFLICT DO UPDATE SET lease_until = ?2, spares = NULL"),
      renew_(db,
             "INSERT INTO owners(owner, lease_until, lost) VALUES(?1, ?2, ?3)"
             " ON CONFLICT DO UPDATE SET lease_until = ?2, spares = NULL"),
      lost_(db, "SELECT lost FROM owners WHERE owner = ?"),
      leave_(db, "DELETE FROM owners WHERE owner = ?"),
      others_(db, "SELECT owner, lease_until FROM owners WHERE owner <> ? ORDER BY owner"),
      read_(db, "SELECT lease_until, spares FROM owners WHERE owner = ?"),
      suspects_(db,
                "SELECT 1 FROM claimed c JOIN jobs j ON j.job = c.job"
                " WHERE c.owner = ? AND j.crashes > 0 LIMIT 1"),
      decide_(db, "UPDATE owners SET spares = ?2, lost = 1 WHERE owner = ?1"),
      tell_lost_(db, "UPDATE owners SET lost = 1 WHERE owner = ?") {}

void owner_table::enter() {
    const auto number = db_.integer("SELECT value FROM meta WHERE name = 'next_owner'");
    if (number < 1 || number > largest_owner) {
        fail(errc::bad_store, db_.file(),
             "it was opened 8 million times, and has no number left for another process; let its "
             "jobs end and begin with a new file");
    }
    db_.execute("UPDATE meta SET value = value + 1 WHERE name = 'next_owner'");
    self_ = static_cast<std::uint32_t>(number);
    // Before the entry can be seen: an owner whose lock is free is dead.
    lock_.take(self_);
    begin_lease(false);
}

void owner_table::hold_lease() {
    // Not for what is within the time's own grain: a commit would write a row more each time.
    if (const auto time = lease_now(); time + lease_ - until_ > lease_ / 512) {
        until_ = time + lease_;
        hold_.bind(self_, until_).run();
    }
}

bool owner_table::renew() {
    lost_.bind(self_);
    const auto lost = !lost_.step() || lost_.integer(0) != 0;
    lost_.reset();
    // From the first loss on, the receipts are looked at one by one.
    begin_lease(lost);
    return lost;
}

void owner_table::begin_lease(bool lost) {
    until_ = lease_now() + lease_;
    renew_.bind(self_, until_, lost).run();
}

std::vector<owner_table::other> owner_table::others() {
    std::vector<other> found;
    others_.bind(self_);
    while (others_.step()) {
        found.push_back({others_.integer<std::uint32_t>(0), others_.integer(1)});
    }
    return found;
}

bool owner_table::may_rescue(std::uint32_t owner, bool dead) {
    read_.bind(owner);
    const auto there = read_.step();
    const auto may = there && (dead || read_.integer(0) < lease_now());
    read_.reset();
    return may;
}

bool owner_table::spares_innocents(std::uint32_t owner) {
    read_.bind(owner);
    std::optional<bool> decided;
    if (read_.step() && !read_.is_null(1)) {
        decided = read_.integer(1) != 0;
    }
    read_.reset();
    if (!decided) {
        decided = suspects_.bind(owner).step();
        suspects_.reset();
        decide_.bind(owner, *decided).run();
    }
    return *decided;
}

}  // namespace postlude::detail::sqlite
