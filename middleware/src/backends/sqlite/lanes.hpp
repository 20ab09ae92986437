// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_BACKENDS_SQLITE_LANES_HPP
#define POSTLUDE_SRC_BACKENDS_SQLITE_LANES_HPP

#include "backends/sqlite/database.hpp"

#include <functional>
#include <map>
#include <string>
#include <tuple>
#include <vector>

namespace postlude::detail::sqlite {

/// A kind of a queue at a priority. Never changed or removed.
struct lane {
    std::int64_t number;
    std::string kind;
    std::string queue;
    std::uint8_t priority;
};

/// The lanes of a store, read once.
class lane_table {
public:
    explicit lane_table(connection& db);

    /// The lane's number; makes it if there is none, within the transaction that is open.
    std::int64_t number_of(const job_record& job);
    /// One that a row of a job names.
    const lane& at(std::int64_t number);
    /// Reads those that others have made. The first ones stay at their place.
    const std::vector<lane>& refresh();
    /// After a transaction that made lanes was rolled back: all are read again.
    void forget() noexcept;
    /// Changes with every `forget`.
    std::size_t epoch() const noexcept { return epoch_; }

private:
    using key = std::tuple<std::string, std::string, std::uint8_t>;
    void add(lane l);

    statement newer_;
    statement insert_;
    std::vector<lane> lanes_;
    std::map<key, std::int64_t, std::less<>> numbers_;
    std::size_t last_used_ = 0;
    std::size_t epoch_ = 0;
};

}  // namespace postlude::detail::sqlite

#endif
