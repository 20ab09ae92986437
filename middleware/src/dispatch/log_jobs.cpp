// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/dispatch/log_jobs.hpp"

#include "postlude/core/error.hpp"

#include <boost/system/system_error.hpp>

#include <spdlog/spdlog.h>

#include <chrono>
#include <exception>
#include <utility>

namespace postlude {

job_middleware log_jobs(std::shared_ptr<spdlog::logger> logger) {
    if (!logger) {
        throw boost::system::system_error(errc::bad_option, "log_jobs takes a logger");
    }
    return [logger = std::move(logger)](job_context& job,
                                        const job_next& next) -> boost::asio::awaitable<void> {
        using clock = std::chrono::steady_clock;
        const auto begin = clock::now();
        const auto milliseconds = [&] {
            return std::chrono::duration<double, std::milli>(clock::now() - begin).count();
        };
        const auto request = job.request_id().empty() ? "none" : job.request_id();
        try {
            co_await next();
        } catch (const std::exception& e) {
            logger->info("job {} '{}' failed in {:.1f} ms, attempt {}: {} (request {})", job.id(),
                         job.kind(), milliseconds(), job.attempt(), e.what(), request);
            throw;
        }
        logger->info("job {} '{}' done in {:.1f} ms, attempt {} (request {})", job.id(), job.kind(),
                     milliseconds(), job.attempt(), request);
    };
}

}  // namespace postlude
