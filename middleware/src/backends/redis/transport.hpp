// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_BACKENDS_REDIS_TRANSPORT_HPP
#define POSTLUDE_SRC_BACKENDS_REDIS_TRANSPORT_HPP

#include "backends/redis/location.hpp"

#include <chrono>
#include <cstddef>
#include <memory>
#include <string_view>

namespace postlude::detail::redis {

using deadline = std::chrono::steady_clock::time_point;

/// Bytes to and from a server, over TCP. All wait no longer than until a deadline, and throw as
/// `location::fail` does.
class transport {
public:
    virtual ~transport() = default;
    virtual void write(std::string_view bytes, deadline until) = 0;
    /// At least one; 0 when the server has closed the connection.
    virtual std::size_t read(char* into, std::size_t size, deadline until) = 0;
    /// For poll. Readable after all that was there has been read: there is more, or the end.
    virtual int descriptor() const noexcept = 0;
};

std::unique_ptr<transport> connect_plain(const location& to, deadline until);
/// Over one that is connected already; proves that it is the host's.
std::unique_ptr<transport> start_tls(const location& to, std::unique_ptr<transport> below,
                                     deadline until);

/// Waits for POLLIN or POLLOUT; false at the deadline.
bool wait_for(int descriptor, short events, deadline until);

}  // namespace postlude::detail::redis

#endif
