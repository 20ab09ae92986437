// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_HTTP_MIDDLEWARE_HPP
#define POSTLUDE_HTTP_MIDDLEWARE_HPP

#include "postlude/http/handler.hpp"

#include <cstdint>
#include <memory>

namespace spdlog {
class logger;
}

/// Ready-made middleware, for `server::use` and `router::use`.
namespace postlude::http {

/// Takes room for n tasks of a queue (see `deferred::reserve`) before the handler runs, so that
/// a request is refused with 503 before it has changed anything, not after.
middleware admit(std::uint32_t n = 1, queue_id queue = {});

/// Answers a body of more bytes with 413. `server` has a limit of its own, before it reads; this
/// one is for servers of one's own, or lower.
middleware limit_body(std::uint64_t bytes);

/// Answers a header, request line included, of more bytes with 431. `server` has a limit of its
/// own.
middleware limit_header(std::uint32_t bytes);

/// Sets X-Request-Id in each response to the id that its tasks and log lines have. `server` does
/// so by itself.
middleware request_id();

/// Writes one line a request as the handler has ended: method, path without the query, status,
/// milliseconds, the number of deferred tasks, the request's id. `server` has a better one, which
/// also knows what was sent, and requests that came to no handler:
/// `server_options::access_log`. @param logger not null.
middleware access_log(std::shared_ptr<spdlog::logger> logger);

}  // namespace postlude::http

#endif
