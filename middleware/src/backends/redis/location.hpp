// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_BACKENDS_REDIS_LOCATION_HPP
#define POSTLUDE_SRC_BACKENDS_REDIS_LOCATION_HPP

#include "postlude/backends/redis.hpp"
#include "postlude/core/error.hpp"

#include <string_view>

namespace postlude::detail::redis {

/// Where a store is, and how to get in.
struct location {
    /// Throws system_error with errc::bad_option.
    explicit location(const redis_options& options);

    /// Every error of a store begins with its URL: a process may have several.
    [[noreturn]] void fail(errc code, std::string_view why) const;
    /// What an error that the server has answered means to a person.
    [[noreturn]] void refuse(std::string_view error) const;

    std::string key(std::string_view name) const { return std::string(base).append(name); }

    bool tls = false;
    std::string host;
    std::string port = "6379";
    std::string user;
    std::string password;
    unsigned database = 0;
    std::string base;  ///< what all keys begin with
    std::string ca_file;
    bool verify = true;
    std::chrono::milliseconds timeout;
    std::string shown;  ///< the URL, without its password
};

}  // namespace postlude::detail::redis

#endif
