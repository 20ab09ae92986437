// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_TESTS_SUPPORT_LIMITED_BACKEND_HPP
#define POSTLUDE_TESTS_SUPPORT_LIMITED_BACKEND_HPP

#include "postlude/backends/backend.hpp"
#include "postlude/core/error.hpp"

#include <boost/system/system_error.hpp>

#include <memory>
#include <utility>

namespace test {

/// A backend that can do all, as one that can do next to nothing: a broker's queues.
class limited_backend final : public postlude::backend {
public:
    explicit limited_backend(std::unique_ptr<postlude::backend> inner) : inner_(std::move(inner)) {}

    postlude::opened open(const postlude::open_options& options) override {
        auto opened = inner_->open(options);
        opened.can = {};
        opened.can.exact_order = opened.can.unique_ids = false;
        opened.can.longest_delay = std::chrono::hours(24 * 366);
        return opened;
    }
    postlude::commit_result commit(std::span<const postlude::put> puts,
                                   std::span<const postlude::settlement> settlements) override {
        auto result = inner_->commit({}, settlements);
        for (const auto& p : puts) {
            result.puts.push_back(p.claimed ? postlude::put_result{} : put_one(p));
        }
        return result;
    }
    std::vector<postlude::claimed_job> claim(std::span<const std::size_t> credits,
                                             std::chrono::milliseconds longest_wait) override {
        return inner_->claim(credits, longest_wait);
    }
    std::vector<postlude::receipt> renew(std::span<const postlude::receipt> held) override {
        return inner_->renew(held);
    }
    std::vector<postlude::rescued_job> rescue(std::size_t limit) override {
        return inner_->rescue(limit);
    }
    std::vector<postlude::queue_stats> stats() override { return inner_->stats(); }
    std::vector<postlude::job_view> find(const postlude::job_query&) override { refuse(); }
    std::vector<postlude::job_event> history(postlude::job_id) override { return {}; }
    std::vector<postlude::amended> amend(std::span<const postlude::job_id>,
                                         postlude::amendment) override {
        refuse();
    }
    std::size_t prune(const postlude::retention&) override { return 0; }
    void interrupt() noexcept override { inner_->interrupt(); }

private:
    postlude::put_result put_one(postlude::put p) {
        const auto reason = std::exchange(p.dead_because, {});
        p.claimed = reason.has_value();
        p.job.failures -= reason ? 1 : 0;  // which the verdict counts
        auto result = inner_->commit(std::span(&p, 1), {}).puts.at(0);
        if (reason) {
            const postlude::settlement dead{result.held, postlude::verdict::dead, {}, *reason, {}};
            inner_->commit({}, std::span(&dead, 1));
        }
        return {result.what, {}};
    }
    [[noreturn]] static void refuse() {
        throw boost::system::system_error(make_error_code(postlude::errc::not_supported),
                                          "the test's store");
    }

    std::unique_ptr<postlude::backend> inner_;
};

}  // namespace test

#endif
