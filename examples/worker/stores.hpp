// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_EXAMPLES_WORKER_STORES_HPP
#define POSTLUDE_EXAMPLES_WORKER_STORES_HPP

#include <postlude/backends/postgres.hpp>
#include <postlude/backends/rabbitmq.hpp>
#include <postlude/backends/redis.hpp>
#include <postlude/backends/sqlite.hpp>

#include <memory>
#include <string_view>

/// The stores that these programs are linked with; which one it is, a URL says when they start.
inline std::unique_ptr<postlude::backend> open_store(std::string_view url) {
    // [readme-urls]
    return postlude::backend_from_url(url, {postlude::sqlite_scheme(), postlude::postgres_scheme(),
                                            postlude::redis_scheme(), postlude::rabbitmq_scheme()});
    // [/readme-urls]
}

#endif
