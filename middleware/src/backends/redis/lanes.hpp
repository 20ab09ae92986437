// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_BACKENDS_REDIS_LANES_HPP
#define POSTLUDE_SRC_BACKENDS_REDIS_LANES_HPP

#include "backends/redis/registration.hpp"

#include <functional>
#include <map>

namespace postlude::detail::redis {

/// A kind of a queue at a priority; its number is its place in the list. Never changed or removed.
struct lane {
    std::string kind;
    std::string queue;
    std::uint8_t priority = 0;
};

/// The lanes of a store, as far as this process has seen them. For any thread.
class lane_table {
public:
    lane_table(registration& owner, script& make, std::string list)
        : owner_(owner), make_(make), list_(std::move(list)) {}

    /// The lane's number; makes it if there is none. Throws as `connection::run` does.
    std::size_t number_of(const job_record& job, const std::string& token, connection& by,
                          deadline until);
    /// Reads those that others have made.
    std::vector<lane> refresh(connection& by, deadline until);
    std::vector<lane> known() const;
    /// The server has lost them.
    void forget();

private:
    using key = std::tuple<std::string_view, std::string_view, std::uint8_t>;
    using stored_key = std::tuple<std::string, std::string, std::uint8_t>;

    registration& owner_;
    script& make_;
    const std::string list_;
    mutable std::mutex mutex_;
    std::vector<lane> lanes_;
    std::map<stored_key, std::size_t, std::less<>> numbers_;
};

}  // namespace postlude::detail::redis

#endif
