// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_BACKENDS_REDIS_LANES_HPP
#define POSTLUDE_SRC_BACKENDS_REDIS_LANES_HPP

#include "backends/redis/registration.hpp"

#include <functional>
#include <map>
#include <optional>
#include <tuple>

namespace postlude::detail::redis {

/// A kind of a queue at a priority; its number is its place in the list. Never changed or removed.
struct lane {
    std::string kind;
    std::string queue;
    std::uint8_t priority = 0;
};

/// The lanes of a store as they were at one moment.
class lane_list {
public:
    /// @param entry as the server has it
    void add(std::string_view entry);
    const std::vector<lane>& all() const noexcept { return lanes_; }
    std::size_t size() const noexcept { return lanes_.size(); }
    /// The entry of the latest, which no other moment's list has unless it begins with this one.
    const std::string& last() const noexcept { return last_; }
    std::optional<std::size_t> number_of(const job_record& job) const;

private:
    using key = std::tuple<std::string_view, std::string_view, std::uint8_t>;
    using stored_key = std::tuple<std::string, std::string, std::uint8_t>;

    std::vector<lane> lanes_;
    std::map<stored_key, std::size_t, std::less<>> numbers_;
    std::string last_;
};

using lane_list_ptr = std::shared_ptr<const lane_list>;

/// The lanes as far as this process has seen them. A server may have lost some, so each script that
/// goes by their numbers is told the latest that the process knew. For any thread.
class lane_table {
public:
    lane_table(registration& owner, script& make, std::string list)
        : owner_(owner), make_(make), list_(std::move(list)) {}

    lane_list_ptr known() const;
    /// As the server has them.
    lane_list_ptr refresh(connection& by, deadline until);
    /// With one for the job, which it makes if there is none. Throws as `connection::run` does.
    lane_list_ptr make(const job_record& job, const std::string& token, connection& by,
                       deadline until);
    /// The server has other ones.
    void forget();

private:
    reply read(std::size_t from, connection& by, deadline until) const;

    registration& owner_;
    script& make_;
    const std::string list_;
    mutable std::mutex mutex_;
    lane_list_ptr lanes_ = std::make_shared<lane_list>();
};

}  // namespace postlude::detail::redis

#endif
