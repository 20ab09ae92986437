// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/dispatch/dispatcher.hpp"

#include "dispatch/job_service.hpp"

#include <boost/system/system_error.hpp>

#include <utility>

namespace postlude {

dispatcher::dispatcher(dispatcher_options options)
    : drain_(options.pool.drain),
      jobs_(std::make_shared<detail::job_service>(std::move(options.kinds), std::move(options.jobs),
                                                  options.pool.on_error)),
      pool_(std::move(options.pool)),
      lists_(std::make_shared<detail::release_lists>(pool_)),
      retry_after_(options.retry_after) {
    if (retry_after_.count() < 1 || retry_after_.count() > 3'600) {
        throw boost::system::system_error(
            errc::bad_option, "dispatcher_options::retry_after is " +
                                  std::to_string(retry_after_.count()) + " s; it takes 1 to 3600");
    }
    jobs_->start(pool_);
}

dispatcher::~dispatcher() { shutdown(drain_); }

job_counters dispatcher::job_counters() const noexcept { return jobs_->counters(); }
job_counters dispatcher::job_counters(queue_id queue) const noexcept {
    return jobs_->counters(queue);
}

std::vector<job_view> dispatcher::find(const job_query& query) {
    return jobs_->store()->find(query);
}
std::vector<job_event> dispatcher::history(job_id id) { return jobs_->store()->history(id); }
std::vector<amended> dispatcher::retry(std::span<const job_id> ids) {
    return jobs_->amend(ids, amendment::retry);
}
std::vector<amended> dispatcher::cancel(std::span<const job_id> ids) {
    return jobs_->amend(ids, amendment::cancel);
}
std::vector<amended> dispatcher::erase(std::span<const job_id> ids) {
    return jobs_->amend(ids, amendment::erase);
}
std::vector<queue_stats> dispatcher::stats() { return jobs_->store()->stats(); }

std::size_t dispatcher::run_ready() { return jobs_->run_ready(); }

drain_report dispatcher::shutdown(std::chrono::milliseconds deadline) {
    // A loop that no longer runs will not flush its list.
    lists_->flush_all();
    return jobs_->shutdown(deadline);
}

}  // namespace postlude
