// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_BENCH_SUPPORT_WATCHED_BACKEND_HPP
#define POSTLUDE_BENCH_SUPPORT_WATCHED_BACKEND_HPP

#include "postlude/backends/backend.hpp"

#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace bench {

/// Any backend; tells how many ends of jobs each commit has stored, on the thread that commits.
class watched_backend final : public postlude::backend {
public:
    watched_backend(std::unique_ptr<postlude::backend> inner,
                    std::function<void(std::size_t ends)> committed)
        : inner_(std::move(inner)), committed_(std::move(committed)) {}
    postlude::opened open(const postlude::open_options& o) override { return inner_->open(o); }
    postlude::commit_result commit(std::span<const postlude::put> puts,
                                   std::span<const postlude::settlement> ends) override {
        auto result = inner_->commit(puts, ends);
        committed_(ends.size());
        return result;
    }
    std::vector<postlude::claimed_job> claim(std::span<const std::size_t> credits,
                                             std::chrono::milliseconds wait) override {
        return inner_->claim(credits, wait);
    }
    std::vector<postlude::receipt> renew(std::span<const postlude::receipt> held) override {
        return inner_->renew(held);
    }
    std::vector<postlude::rescued_job> rescue(std::size_t limit) override {
        return inner_->rescue(limit);
    }
    std::vector<postlude::queue_stats> stats() override { return inner_->stats(); }
    std::vector<postlude::job_view> find(const postlude::job_query& q) override {
        return inner_->find(q);
    }
    std::vector<postlude::job_event> history(postlude::job_id id) override {
        return inner_->history(id);
    }
    std::vector<postlude::amended> amend(std::span<const postlude::job_id> ids,
                                         postlude::amendment what) override {
        return inner_->amend(ids, what);
    }
    std::size_t prune(const postlude::retention& keep) override { return inner_->prune(keep); }
    void interrupt() noexcept override { inner_->interrupt(); }

private:
    std::unique_ptr<postlude::backend> inner_;
    std::function<void(std::size_t)> committed_;
};

}  // namespace bench

#endif
