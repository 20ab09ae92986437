// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_TESTS_BACKENDS_REDIS_SERVER_HPP
#define POSTLUDE_TESTS_BACKENDS_REDIS_SERVER_HPP

#include "support/store_server.hpp"

#include <string>

namespace test {

/// The server of this process's tests, from the first that wants it on.
inline store_server& shared_redis() {
    static store_server server("redis");
    return server;
}

/// A prefix that nobody has used in this process.
inline std::string new_prefix() {
    static int count = 0;
    return "test" + std::to_string(++count);
}

/// Of a store that is empty at first.
inline std::string new_redis_url() { return shared_redis().url() + "?prefix=" + new_prefix(); }

}  // namespace test

#endif
