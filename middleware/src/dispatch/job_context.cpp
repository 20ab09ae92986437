// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/dispatch/job_context.hpp"

#include "dispatch/job_service.hpp"

#include <boost/system/system_error.hpp>

namespace postlude {

job_context::job_context(detail::job& job, task_context& task) noexcept
    : job_(&job), task_(&task), begun_(std::chrono::steady_clock::now()) {}

job_id job_context::id() const noexcept { return job_->record.id; }
std::string_view job_context::kind() const noexcept { return job_->record.kind; }
unsigned job_context::attempt() const noexcept { return job_->record.failures + 1; }
unsigned job_context::attempts() const noexcept { return job_->kind->kind->traits.most_attempts(); }
std::string_view job_context::request_id() const noexcept { return job_->record.request_id; }
std::span<const std::string> job_context::tags() const noexcept { return job_->record.tags; }

std::optional<std::chrono::steady_clock::time_point> job_context::deadline() const noexcept {
    const auto limit = job_->kind->kind->traits.run_limit;
    return limit.count() == 0 ? std::nullopt : std::optional(begun_ + limit);
}

bool job_context::stop_requested() const noexcept {
    return task_->stop_requested() || job_->lost_lease.load(std::memory_order_relaxed);
}

std::stop_token job_context::stop_token() const { return task_->stop_token(); }

void job_context::checkpoint() const {
    if (stop_requested()) {
        throw boost::system::system_error(errc::task_stopped);
    }
}

void job_context::add(std::string_view kind, std::unique_ptr<job_arguments> args,
                      job_options&& options) {
    options.when = when::handled;
    auto next = job_->service->make(kind, std::move(args), std::move(options), request_id());
    if (job_->held) {
        next->put_into_words();  // what can't be stored is refused here
    } else {
        job_->service->check_runs_here(*next);
    }
    follow_ups_.push_back(std::move(next));
}

boost::asio::awaitable<void> job_next::operator()() const {
    return service_->run_from(*context_, index_);
}

}  // namespace postlude
