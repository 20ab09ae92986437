// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_BACKENDS_REDIS_STORE_HPP
#define POSTLUDE_SRC_BACKENDS_REDIS_STORE_HPP

#include "backends/redis/lanes.hpp"
#include "postlude/backends/redis.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>

namespace postlude::detail::redis {

/// Lets `interrupt` reach a claim that waits for a socket.
class alarm {
public:
    alarm();
    alarm(const alarm&) = delete;
    alarm& operator=(const alarm&) = delete;
    ~alarm();
    void ring() noexcept;
    /// Whether it has rung since the last time.
    bool take() noexcept;
    int descriptor() const noexcept { return fd_; }

private:
    int fd_;
};

/// A connection and who uses it at the moment.
struct line {
    explicit line(const location& to) : server(to) {}
    std::mutex mutex;
    connection server;
};

/// The server's clock as far as its answers tell: behind it by the way of the quickest one, as long
/// as both clocks go on alike. In microseconds since 1970. For any thread.
class server_clock {
public:
    /// @param now what an answer said that has just come.
    void learn(std::int64_t now) noexcept {
        const auto ahead = now - own();
        auto before = ahead_.load();
        while (before < ahead && !ahead_.compare_exchange_weak(before, ahead)) {
        }
    }
    /// Instead of all before.
    void correct(std::int64_t now) noexcept { ahead_ = now - own(); }
    std::int64_t now() const noexcept { return own() + ahead_; }

private:
    static std::int64_t own() noexcept;
    std::atomic<std::int64_t> ahead_ = INT64_MIN / 2;
};

/// What there is while the store is open.
struct session {
    session(const location& to, const open_options& asked, format known);

    /// Throws what the server said of a commit that is in doubt, once.
    void throw_refusal();

    scripts texts;
    line commits;
    line more_commits;  ///< connected when two are under way at the same time
    line claims;        ///< its mutex is held for `news`, too
    connection news;
    line others;
    line questions;  ///< of people, which may take long; connected by the first one
    registration owner;
    lane_table lanes;
    server_clock clock;
    std::mutex refusal_mutex;
    std::exception_ptr refusal;  ///< of a commit that is in doubt, for the next one to say
    std::map<std::string, std::size_t, std::less<>> groups;  ///< by kind
    std::atomic<std::uint64_t> claim_count{0};
    listening hears = listening::yes;  ///< of what `news` is for
    unsigned quarantine_after = 3;
};

class store final : public backend {
public:
    explicit store(redis_options options, format known = {})
        : options_(std::move(options)), to_(options_), format_(known) {}
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
    std::size_t prune(const retention& keep) override;
    void interrupt() noexcept override { alarm_.ring(); }

private:
    deadline soon() const { return std::chrono::steady_clock::now() + to_.timeout; }

    /// Calls `f(token)` on behalf of this owner, which is entered anew if need be.
    template <class F>
    auto as_owner(connection& by, deadline until, F f) {
        for (int tries = 0; tries < 4; ++tries) {
            const auto token = s_->owner.token(by, until);
            try {
                return f(token);
            } catch (const owner_lost&) {
                s_->owner.lost(token);
            }
        }
        to_.fail(errc::store_unavailable, "the server forgets this process again and again");
    }
    /// Runs a script. `build(c, token)` adds the arguments.
    template <class Build>
    reply run(connection& by, script& s, deadline until, Build build) {
        return as_owner(by, until, [&](const std::string& token) {
            command c;
            c.add(s_->owner.number()).add(token);
            build(c, token);
            return by.run(s, c, until);
        });
    }

    struct parts;
    lane_list_ptr lanes_for(const parts& p, const std::string& token, deadline until);
    commit_result commit_by(connection& by, std::span<const put> puts,
                            std::span<const settlement> settlements);
    commit_result try_commit(parts p, deadline until);
    void send(parts& p, deadline until);
    bool try_parts(parts& p, const std::string& token, deadline until);
    bool is_fine(const reply_view& answer, connection& by);
    struct batch_writer;

    struct attempt;
    attempt try_claim(std::span<const std::size_t> credits, deadline until);
    attempt read_claimed(const reply& answer, std::uint64_t claim, const std::vector<lane>& lanes);
    void listen(deadline until);
    bool wait_for_jobs(std::chrono::microseconds next_due, deadline until);

    std::size_t prune_state(job_state state, const std::string& count, std::chrono::seconds age,
                            std::size_t limit);
    struct search;
    void look_through(search& s, const std::string& source, std::span<const job_id> ids,
                      deadline until);

    redis_options options_;
    location to_;
    format format_;
    alarm alarm_;
    std::unique_ptr<session> s_;
};

}  // namespace postlude::detail::redis

#endif
