// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_BACKENDS_POSTGRES_LANES_HPP
#define POSTLUDE_SRC_BACKENDS_POSTGRES_LANES_HPP

#include "backends/postgres/connection.hpp"

#include <atomic>
#include <chrono>
#include <map>
#include <mutex>
#include <tuple>

namespace postlude::detail::postgres {

/// A kind of a queue at a priority. Never changed or removed.
struct lane {
    std::int32_t number;
    std::string kind;
    std::string queue;
    std::uint8_t priority;
};

/// The lanes of a store, as far as this process has met them. For all threads.
class lane_table {
public:
    explicit lane_table(const place& where);

    static constexpr std::int32_t none = 0;

    /// The lanes of these jobs, by their numbers. Makes those that are missing, each in a
    /// transaction of its own; `none` where somebody else's transaction has made it and is still
    /// open, which is not waited for.
    std::vector<std::int32_t> numbers_of(connection& db, std::span<const job_record* const> jobs);
    /// One that a row of a job names; read if need be.
    lane at(connection& db, std::int32_t number);
    /// What `learn` has to be given: the lanes that nobody here has met.
    command others() const;
    void learn(const rows& found);
    std::vector<lane> all() const;
    /// Changes when there are others.
    std::size_t version() const noexcept { return version_; }
    /// For a new connection: to a server that has lost its latest commits, they may be others.
    void forget();

private:
    using clock = std::chrono::steady_clock;
    using key = std::tuple<std::string, std::string, std::uint8_t>;
    bool find(std::span<const job_record* const> jobs, std::vector<std::int32_t>& numbers) const;
    void make(connection& db, const job_record& first);
    bool may_be_made(const key& which) const;

    const std::string others_, insert_, limit_;
    mutable std::mutex mutex_;
    std::vector<lane> lanes_;
    std::map<key, std::int32_t, std::less<>> numbers_;
    std::map<key, clock::time_point, std::less<>> not_before_;  ///< of those that were locked
    std::atomic<std::size_t> version_{0};
};

}  // namespace postlude::detail::postgres

#endif
