// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_BACKENDS_RABBITMQ_STORE_HPP
#define POSTLUDE_SRC_BACKENDS_RABBITMQ_STORE_HPP

#include "backends/rabbitmq/consumer.hpp"

#include <deque>

namespace postlude::detail::rabbitmq {

/// What there is while the store is open: connections for commits, of which the second is made when
/// two are under way for the first time, one for what is held, and one for the rest, so that none
/// waits for another.
struct session {
    session(const address& to, const names& n, std::chrono::seconds heartbeat,
            const open_options& asked)
        : commits(to, n, heartbeat),
          more_commits(to, n, heartbeat),
          rest(to, n, heartbeat),
          claims(to, n, heartbeat, asked, rest) {}

    std::string store(std::span<outgoing> all);

    publisher commits;
    publisher more_commits;
    publisher rest;
    consumer claims;
};

class store final : public backend {
public:
    explicit store(rabbitmq_options options)
        : to_(read_address(std::move(options))), names_{to_.options.prefix} {}
    ~store() override;

    opened open(const open_options& options) override;
    commit_result commit(std::span<const put> puts,
                         std::span<const settlement> settlements) override;
    std::vector<claimed_job> claim(std::span<const std::size_t> credits,
                                   std::chrono::milliseconds longest_wait) override;
    std::vector<receipt> renew(std::span<const receipt> held) override;
    std::vector<rescued_job> rescue(std::size_t limit) override;
    std::vector<queue_stats> stats() override;
    std::vector<job_view> find(const job_query& query) override;
    std::vector<job_event> history(job_id id) override;
    std::vector<amended> amend(std::span<const job_id> ids, amendment what) override;
    std::size_t prune(const retention&) override { return 0; }
    void interrupt() noexcept override { s_->claims.interrupt(); }

private:
    struct batch;

    void give_everything_back();
    void add_puts(batch& b, std::span<const put> puts);
    void add_settlement(batch& b, std::size_t index, const settlement& s);
    void finish(batch& b, std::span<const settlement> settlements);

    const address to_;
    const names names_;
    open_options asked_;
    std::unique_ptr<session> s_;
};

}  // namespace postlude::detail::rabbitmq

#endif
