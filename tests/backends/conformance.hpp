// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_TESTS_BACKENDS_CONFORMANCE_HPP
#define POSTLUDE_TESTS_BACKENDS_CONFORMANCE_HPP

#include "postlude/backends/backend.hpp"

#include "support/catch.hpp"
#include "support/eventually.hpp"

#include <array>
#include <functional>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// One suite that runs unchanged over every backend: each test case of conformance_*.cpp is run
/// once for each `conforming` object.
namespace test {

/// A store of its own, empty at first, and what a test needs from outside to put it on the spot.
class backend_under_test {
public:
    backend_under_test() = default;
    backend_under_test(const backend_under_test&) = delete;
    backend_under_test& operator=(const backend_under_test&) = delete;
    virtual ~backend_under_test() = default;

    /// Exactly what the backend declares.
    virtual postlude::capabilities can() const = 0;
    /// Another process's backend, not yet opened.
    virtual std::unique_ptr<postlude::backend> connect() = 0;
    /// Runs `work` with a backend opened by an owner that dies when it returns, giving nothing
    /// back. It may run in a process of its own, so it hands out nothing but throws where it
    /// failed; and no other backend of this store may be open meanwhile (a process that forks must
    /// not have SQLite's files open).
    virtual void owner_dies(const postlude::open_options& options,
                            const std::function<void(postlude::backend&)>& work) = 0;
    /// The time, as the store has it.
    virtual postlude::store_time now() = 0;
    /// Lets the store's time pass: at least so much of it.
    virtual void pass(std::chrono::milliseconds time) = 0;
    /// The lease that tests use: as short as can be told from none.
    virtual std::chrono::milliseconds lease() const = 0;
    /// How far `now` may differ from the time by which the store decides.
    virtual std::chrono::milliseconds grain() const = 0;
    /// How much later than at its time a job may come.
    virtual std::chrono::milliseconds delay_error() const { return grain(); }
    /// Cuts all connections that the backends of this store have. For stores without leases, where
    /// a connection is what holds a claim.
    virtual void cut() { throw std::logic_error("this store has leases"); }
};

/// At namespace scope: a backend that the suite runs over.
class conforming {
public:
    using maker = std::function<std::unique_ptr<backend_under_test>()>;
    struct entry {
        std::string name;
        maker make;
    };

    conforming(std::string name, maker make) {
        all().push_back({std::move(name), std::move(make)});
    }
    static std::vector<entry>& all() {
        static std::vector<entry> entries;
        return entries;
    }
};

/// When something happened, as far as one can say who can't look inside.
struct moment {
    postlude::store_time earliest;
    postlude::store_time latest;
};

/// What the test cases of the suite derive from, by TEST_CASE_METHOD.
class every_backend {
protected:
    every_backend();

    /// Of the kinds "a" and "b", which share the credits of group 0, and "c" of group 1.
    postlude::open_options options() const;
    /// A process's backend, opened.
    std::unique_ptr<postlude::backend> open() { return open(options()); }
    std::unique_ptr<postlude::backend> open(const postlude::open_options& options) {
        auto connection = store->connect();
        connection->open(options);
        return connection;
    }

    /// Does it, and says when.
    template <class Action>
    moment timed(Action action) {
        const auto earliest = store->now();
        action();
        return {earliest, store->now()};
    }

    /// Calls `get` until it returns something, which must be so from `delay` after `since` on, and
    /// not before.
    template <class Get>
    auto comes_after(moment since, std::chrono::milliseconds delay, Get get) {
        for (;;) {
            const auto begin = store->now();
            auto got = get();
            if (!got.empty()) {
                CHECK(store->now() - since.earliest >= delay - store->grain());
                return got;
            }
            REQUIRE(begin - since.latest < delay + store->delay_error());
            store->pass(store->lease() / 100);
        }
    }

    /// Rescues what an owner held that died, as soon as the store can know. Without leases claims
    /// find it; what they get beside it goes back.
    /// @param expected how many there are, for a store that can't say that there are no more.
    std::vector<postlude::rescued_job> rescue_dead(postlude::backend& b, std::size_t expected,
                                                   std::size_t limit = 1'000);
    /// The receipt of a job of this process: stored as claimed, or, where that is refused, claimed.
    /// Nothing else is ready then.
    postlude::receipt hold(postlude::backend& b, postlude::job_id id);

    // What a store says of a job, where it can be asked; where it can't, that it says so.

    void check_state(postlude::backend& b, postlude::job_id id, postlude::job_state state);
    void check_absent(postlude::backend& b, postlude::job_id id);
    template <class Check>
    void check_view(postlude::backend& b, postlude::job_id id, Check check);
    /// True when the store can be asked. When it can't, each question and each amendment has to
    /// be refused.
    bool can_be_asked(postlude::backend& b);

    /// Whether these are the jobs, and in this order where the store has an exact one.
    bool are(std::vector<postlude::job_id> got, std::vector<postlude::job_id> expected) const;
    /// Stores jobs of kind "a" that have crashed one owner.
    void put_suspects(std::vector<postlude::job_id> ids);

    std::unique_ptr<backend_under_test> store;

private:
    const conforming::entry& which_;
    Catch::ScopedMessage message_;
};

/// A job to be stored: of kind "a", in the queue "mail".
inline postlude::put a_job(postlude::job_id id, std::string kind = "a") {
    postlude::put one;
    one.job.id = id;
    one.job.kind = std::move(kind);
    one.job.queue = "mail";
    return one;
}

/// The same, stored as claimed.
inline postlude::put a_claimed_job(postlude::job_id id) {
    auto one = a_job(id);
    one.claimed = true;
    return one;
}

inline postlude::put_result put_one(postlude::backend& b, const postlude::put& one) {
    return b.commit(std::span(&one, 1), {}).puts.at(0);
}

/// Stores jobs of kind "a", ready.
void put_jobs(postlude::backend& b, std::vector<postlude::job_id> ids);

inline postlude::settled settle(postlude::backend& b, const postlude::settlement& one) {
    return b.commit({}, std::span(&one, 1)).settlements.at(0);
}
inline postlude::settled settle(postlude::backend& b, postlude::receipt of, postlude::verdict what,
                                std::string reason = {},
                                std::chrono::milliseconds delay = std::chrono::milliseconds(0)) {
    return settle(b, {of, what, delay, std::move(reason), {}});
}

inline postlude::settlement is_done(postlude::receipt of) {
    return {of, postlude::verdict::done, {}, {}, {}};
}

/// At most n jobs of group 0, without waiting.
std::vector<postlude::claimed_job> claim(postlude::backend& b, std::size_t n = 1'000);
/// The one job that is ready in group 0; fails when there is another number of them.
postlude::claimed_job claim_one(postlude::backend& b);
std::vector<postlude::job_id> ids_of(const std::vector<postlude::claimed_job>& jobs);
std::vector<postlude::job_id> ids_of(const std::vector<postlude::rescued_job>& jobs);
using ids = std::vector<postlude::job_id>;

/// As it is stored; fails when it is not.
postlude::job_view look(postlude::backend& b, postlude::job_id id);
inline postlude::job_state state_of(postlude::backend& b, postlude::job_id id) {
    return look(b, id).state;
}
/// Of all kinds.
std::size_t count_dead(postlude::backend& b);
bool exists(postlude::backend& b, postlude::job_id id);
/// All zero where nothing is stored.
postlude::queue_stats stats_of(postlude::backend& b, std::string_view queue, std::string_view kind);
postlude::amended amend(postlude::backend& b, postlude::job_id id, postlude::amendment what);
/// The ids of what `find` returns, in their order.
std::vector<postlude::job_id> found(postlude::backend& b, const postlude::job_query& query);

inline constexpr std::array every_state{
    postlude::job_state::ready, postlude::job_state::claimed,     postlude::job_state::done,
    postlude::job_state::dead,  postlude::job_state::quarantined, postlude::job_state::cancelled};
/// Stores a job and brings it there; its receipt, where it had one. What is to be quarantined has
/// to be so already.
postlude::receipt bring_to(postlude::backend& b, postlude::job_id id, postlude::job_state state);

template <class Check>
void every_backend::check_view(postlude::backend& b, postlude::job_id id, Check check) {
    if (can_be_asked(b)) {
        check(look(b, id));
    }
}

}  // namespace test

#endif
