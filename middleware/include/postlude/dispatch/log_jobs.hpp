// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_DISPATCH_LOG_JOBS_HPP
#define POSTLUDE_DISPATCH_LOG_JOBS_HPP

#include "postlude/dispatch/job_context.hpp"

#include <memory>

namespace spdlog {
class logger;
}

namespace postlude {

/// For `job_settings::around`: a line a run, at level info, with how long it took, its attempt, and
/// the id of the request that caused it. Never the arguments.
///
///     job 42 'welcome_mail' done in 12.3 ms, attempt 1 (request 5f0c…)
///     job 43 'charge' failed in 5.0 ms, attempt 2: the bank does not answer (request 8a1b…)
job_middleware log_jobs(std::shared_ptr<spdlog::logger> logger);

}  // namespace postlude

#endif
