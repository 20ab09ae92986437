// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_BENCH_SUPPORT_STORES_HPP
#define POSTLUDE_BENCH_SUPPORT_STORES_HPP

#include "postlude/backends/sqlite.hpp"
#ifdef WITH_POSTGRES
#include "postlude/backends/postgres.hpp"
#endif
#ifdef WITH_REDIS
#include "postlude/backends/redis.hpp"
#endif
#ifdef WITH_RABBITMQ
#include "postlude/backends/rabbitmq.hpp"
#endif

#include <memory>
#include <string_view>

namespace bench {

/// The store that a URL names, of all that are built.
inline std::unique_ptr<postlude::backend> store_of(std::string_view url) {
    return postlude::backend_from_url(url, {
#ifdef WITH_POSTGRES
                                               postlude::postgres_scheme(),
#endif
#ifdef WITH_REDIS
                                               postlude::redis_scheme(),
#endif
#ifdef WITH_RABBITMQ
                                               postlude::rabbitmq_scheme(),
#endif
                                               postlude::sqlite_scheme()});
}

}  // namespace bench

#endif
