// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_BACKENDS_REDIS_REGISTRATION_HPP
#define POSTLUDE_SRC_BACKENDS_REDIS_REGISTRATION_HPP

#include "backends/redis/connection.hpp"

#include <condition_variable>
#include <mutex>
#include <vector>

namespace postlude::detail::redis {

/// The format of the data, and the oldest program's that can still work with it.
struct format {
    int version = 1;
    int min_reader = 1;
};

/// This process's entry among the owners. Each script that changes something on its behalf shows
/// its token. After a call whose fate is unknown, and after the server has lost the entry, it is
/// made anew with another token before anything else is done: what may still be on its way under
/// the former one is refused by the server. For any thread.
class registration {
public:
    registration(const location& to, script& enter, std::chrono::milliseconds lease, format known);

    /// Takes a number that no process ever had.
    void enter(connection& by, deadline until);
    std::uint32_t number() const noexcept { return number_; }
    const std::string& lease() const noexcept { return lease_; }
    /// What is to be shown; made anew before, if need be.
    std::string token(connection& by, deadline until);

    /// The server does not know this token.
    void lost(const std::string& token);
    /// A call was sent and not answered. @param claim of jobs that were claimed by it, perhaps, and
    /// are to be given back; 0: none
    void in_doubt(std::uint64_t claim = 0);

private:
    using lock = std::unique_lock<std::mutex>;
    void renew(lock& held, connection& by, deadline until);
    std::int64_t send(connection& by, const std::string& token,
                      const std::vector<std::uint64_t>& claims, deadline until);
    [[noreturn]] void refuse(std::string_view error) const;

    const location& to_;
    script& enter_;
    const std::string lease_;  ///< in microseconds
    const format format_;
    const std::string secret_;  ///< what all tokens of this process begin with
    std::uint32_t number_ = 0;
    std::mutex mutex_;
    std::condition_variable free_;
    bool busy_ = false;  ///< somebody makes it anew
    bool stale_ = false;
    unsigned count_ = 0;
    std::string token_;
    std::vector<std::uint64_t> claims_;
};

}  // namespace postlude::detail::redis

#endif
