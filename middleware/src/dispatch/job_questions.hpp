// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_DISPATCH_JOB_QUESTIONS_HPP
#define POSTLUDE_SRC_DISPATCH_JOB_QUESTIONS_HPP

#include "dispatch/store_thread.hpp"
#include "postlude/dispatch/detail/job_service.hpp"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>

namespace postlude::detail {

/// A thread for what people ask of the store, one after the other; made with the first. It is not
/// the keeper's, so that a question that takes half a minute costs no lease.
class job_questions {
public:
    using clock = std::chrono::steady_clock;

    explicit job_questions(job_service& service) noexcept : service_(service) {}
    void post(std::shared_ptr<question> what);
    /// Answers all that are left. False when it hangs in the store.
    bool stop(clock::time_point until);

private:
    void run();

    job_service& service_;
    store_thread thread_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::shared_ptr<question>> waiting_;
    std::shared_ptr<question> current_;
    bool stopping_ = false;
};

}  // namespace postlude::detail

#endif
