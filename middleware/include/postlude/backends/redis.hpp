// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_BACKENDS_REDIS_HPP
#define POSTLUDE_BACKENDS_REDIS_HPP

#include "postlude/backends/url.hpp"

#include <chrono>
#include <memory>
#include <string>

namespace postlude {

struct redis_options {
    /// `redis://user:password@host:6379/0?prefix=app`, or `rediss://` for TLS. All but the host can
    /// be left out; what is no letter or digit in a name or password is written as %XX.
    /// Parameters: `prefix`, `ca_file` and `timeout` (milliseconds), as below; where the URL has
    /// them, they count.
    std::string url{};
    /// What the names of all keys begin with, in braces: `{postlude}:lanes`. Stores with different
    /// ones are strangers to each other. Not empty, and without braces.
    std::string prefix = "postlude";
    /// TLS: a file with the certificates of the authorities to be trusted; the system's, where none
    /// is named.
    std::string ca_file{};
    /// TLS: false takes any certificate of any server. For tests.
    bool verify_certificate = true;
    /// How long a call may take, connecting included, before errc::store_unavailable; 1 ms
    /// to 1 h. Finding the host's name takes what the system gives it.
    std::chrono::milliseconds timeout{5'000};
    /// How often a claim that waits looks by itself, in case that the news of a job was lost;
    /// 1 ms or more.
    std::chrono::milliseconds poll{1'000};
};

/// A store in Redis 7, which any number of processes of any number of machines may share. What a
/// power failure or a failover can lose is up to how the server is set up: `opened::warnings` says
/// what is unwise.
///
/// Connects to nothing before `backend::open`. Throws system_error with errc::bad_option when the
/// URL or an option is wrong.
///
/// A connection that breaks is made again by the next call. A commit that was sent and not
/// answered is answered with `unknown`, and so is one that failed in the middle, of which the next
/// one then throws the reason; any other call that throws may have changed something then.
std::unique_ptr<backend> redis_backend(redis_options options);

/// `redis://host`, `rediss://user:password@host:6380/0?ca_file=ca.pem`.
backend_scheme redis_scheme();

}  // namespace postlude

#endif
