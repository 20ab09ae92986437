// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_TESTS_DISPATCH_JOBS_SUPPORT_HPP
#define POSTLUDE_TESTS_DISPATCH_JOBS_SUPPORT_HPP

#include "postlude/backends/memory.hpp"
#include "postlude/dispatch/commit.hpp"
#include "postlude/dispatch/dispatcher.hpp"

#include <boost/describe.hpp>

#include <functional>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace test {

/// Kinds of jobs that differ in nothing but where they are kept. A failed one is tried again at
/// once, three times in all.
struct memory_mail {
    std::string to = "nobody";
    static constexpr postlude::job_traits job{.kind = "memory_mail",
                                              .stored = postlude::durability::memory,
                                              .attempts = 3,
                                              .retry = {.base = {}, .unit = {}}};
};
BOOST_DESCRIBE_STRUCT(memory_mail, (), (to))

struct spill_mail {
    std::string to = "nobody";
    static constexpr postlude::job_traits job{
        .kind = "spill_mail", .attempts = 3, .retry = {.base = {}, .unit = {}}};
};
BOOST_DESCRIBE_STRUCT(spill_mail, (), (to))

struct durable_mail {
    std::string to = "nobody";
    static constexpr postlude::job_traits job{.kind = "durable_mail",
                                              .stored = postlude::durability::durable,
                                              .attempts = 3,
                                              .retry = {.base = {}, .unit = {}}};
};
BOOST_DESCRIBE_STRUCT(durable_mail, (), (to))

/// What ran, in order; from any thread.
class journal {
public:
    void note(std::string what) {
        const std::lock_guard lock(mutex_);
        lines_.push_back(std::move(what));
    }
    std::vector<std::string> lines() const {
        const std::lock_guard lock(mutex_);
        return lines_;
    }
    std::size_t size() const { return lines().size(); }

private:
    mutable std::mutex mutex_;
    std::vector<std::string> lines_;
};

/// Ends a request as a server would; what its jobs' commit came to is in the status.
inline unsigned respond(postlude::deferred& after, unsigned status = 200) {
    commit(after, status);
    status = after.refused() ? 503 : status;
    postlude::pending_response response(after, status);
    response.end({});
    response.release();
    return status;
}

/// Handlers that write who gets a mail into the journal, for all three kinds.
template <class Then>
postlude::job_registry mailers(journal& sent, Then then) {
    postlude::job_registry kinds;
    const auto send = [&sent, then](const auto& mail, postlude::job_context& job) {
        sent.note(mail.to);
        then(job);
    };
    kinds.handle<memory_mail>(send);
    kinds.handle<spill_mail>(send);
    kinds.handle<durable_mail>(send);
    return kinds;
}
inline postlude::job_registry mailers(journal& sent) {
    return mailers(sent, [](postlude::job_context&) {});
}

/// Whether all counters add up, once no list is open.
inline bool adds_up(const postlude::job_counters& c) {
    return c.registered + c.claimed == c.refused + c.discarded + c.completed + c.dead + c.lost +
                                           c.handed_over + c.revoked + c.left;
}

}  // namespace test

#endif
