// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_TESTS_SUPPORT_FAILING_BACKEND_HPP
#define POSTLUDE_TESTS_SUPPORT_FAILING_BACKEND_HPP

#include "postlude/backends/backend.hpp"
#include "postlude/core/error.hpp"
#include "support/eventually.hpp"

#include <boost/system/system_error.hpp>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <utility>

namespace test {

/// The calls of a backend.
enum class call { open, commit, claim, renew, rescue, stats, find, history, amend, prune };
inline constexpr std::size_t calls = 10;

/// What is wrong with a store, as a test directs it: from any thread, before and after the backend
/// that it applies to has been given away.
class store_trouble {
public:
    /// The nth call of this kind from now on (1 is the next) throws, having changed nothing.
    void fail(call which, std::size_t nth = 1,
              postlude::errc why = postlude::errc::store_unavailable) {
        const std::lock_guard lock(mutex_);
        of(which).failing[of(which).count + nth] = why;
    }
    /// The nth commit from now on answers `unknown` to all, having been carried out or not.
    void lose_answer(std::size_t nth = 1, bool carried_out = true) {
        const std::lock_guard lock(mutex_);
        (carried_out ? answers_lost_ : requests_lost_).insert(of(call::commit).count + nth);
    }
    /// While the store is gone, each call throws errc::store_unavailable, having changed nothing.
    void gone(bool is_gone = true) {
        const std::lock_guard lock(mutex_);
        gone_ = is_gone;
    }
    /// Calls of this kind wait until they are released, and then go on, or fail if they have to. A
    /// claim that waits so is not ended by `interrupt`.
    void hold(call which) {
        const std::lock_guard lock(mutex_);
        of(which).held = true;
    }
    void hold_all() { set_all_held(true); }
    void release(call which) {
        const std::lock_guard lock(mutex_);
        of(which).held = false;
        changed_.notify_all();
    }
    void release_all() { set_all_held(false); }
    /// Each call of this kind does this first, in its own thread.
    void before(call which, std::function<void()> what) {
        const std::lock_guard lock(mutex_);
        of(which).before = std::move(what);
    }
    /// Says of the store that it takes so many commits at the same time.
    void commits_at_once(std::size_t n) {
        const std::lock_guard lock(mutex_);
        commits_at_once_ = n;
    }
    /// The backend does this when it is destroyed.
    void at_end(std::function<void()> what) {
        const std::lock_guard lock(mutex_);
        at_end_ = std::move(what);
    }
    /// Whether a backend has been destroyed.
    bool ended() {
        const std::lock_guard lock(mutex_);
        return ended_;
    }
    /// Waits until so many calls of this kind wait to be released; false when the patience is over
    /// first.
    bool wait_for_held(call which, std::size_t n = 1) {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, patience, [&] { return of(which).waiting >= n; });
    }
    /// Waits until so many calls of this kind have begun since the start; false likewise.
    bool wait_for_count(call which, std::size_t n) {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, patience, [&] { return of(which).count >= n; });
    }
    /// How many calls of this kind have begun.
    std::size_t count(call which) {
        const std::lock_guard lock(mutex_);
        return of(which).count;
    }
    std::size_t interrupts() {
        const std::lock_guard lock(mutex_);
        return interrupts_;
    }

    /// Whether a backend was destroyed while a call of it waited to be released.
    bool destroyed_in_a_call() {
        const std::lock_guard lock(mutex_);
        return destroyed_in_a_call_;
    }

private:
    friend class failing_backend;
    enum class answer { as_it_is, lost, request_lost };
    struct one_call {
        std::size_t count = 0;
        std::size_t waiting = 0;
        bool held = false;
        std::map<std::size_t, postlude::errc> failing;
        std::function<void()> before;
    };

    one_call& of(call which) { return calls_.at(static_cast<std::size_t>(which)); }

    void set_all_held(bool held) {
        const std::lock_guard lock(mutex_);
        for (auto& one : calls_) {
            one.held = held;
        }
        changed_.notify_all();
    }

    answer enter(call which) {
        std::unique_lock lock(mutex_);
        auto& one = of(which);
        const auto n = ++one.count;
        ++one.waiting;
        changed_.notify_all();
        changed_.wait(lock, [&] { return !one.held; });
        --one.waiting;
        if (const auto what = one.before) {
            lock.unlock();
            what();
            lock.lock();
        }
        if (gone_) {
            fail_now(postlude::errc::store_unavailable);
        }
        if (const auto failing = one.failing.extract(n)) {
            fail_now(failing.mapped());
        }
        if (which == call::commit && answers_lost_.contains(n)) {
            return answer::lost;
        }
        return which == call::commit && requests_lost_.contains(n) ? answer::request_lost
                                                                   : answer::as_it_is;
    }

    [[noreturn]] static void fail_now(postlude::errc why) {
        throw boost::system::system_error(postlude::make_error_code(why), "the test's store");
    }

    postlude::opened widened(postlude::opened opened) {
        const std::lock_guard lock(mutex_);
        opened.can.commits_at_once = commits_at_once_;
        return opened;
    }

    void destroyed() {
        std::unique_lock lock(mutex_);
        if (const auto what = at_end_) {
            lock.unlock();
            what();
            lock.lock();
        }
        ended_ = true;
        destroyed_in_a_call_ =
            destroyed_in_a_call_ ||
            std::ranges::any_of(calls_, [](const auto& one) { return one.waiting != 0; });
    }
    void interrupted() {
        const std::lock_guard lock(mutex_);
        ++interrupts_;
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    std::array<one_call, calls> calls_;
    std::set<std::size_t> answers_lost_;
    std::set<std::size_t> requests_lost_;
    std::size_t interrupts_ = 0;
    std::size_t commits_at_once_ = 1;
    std::function<void()> at_end_;
    bool gone_ = false;
    bool ended_ = false;
    bool destroyed_in_a_call_ = false;
};

/// Any backend, with the trouble that a test makes.
class failing_backend final : public postlude::backend {
public:
    failing_backend(std::unique_ptr<postlude::backend> inner,
                    std::shared_ptr<store_trouble> trouble)
        : inner_(std::move(inner)), trouble_(std::move(trouble)) {}
    ~failing_backend() override { trouble_->destroyed(); }

    postlude::opened open(const postlude::open_options& options) override {
        trouble_->enter(call::open);
        return trouble_->widened(inner_->open(options));
    }
    postlude::commit_result commit(std::span<const postlude::put> puts,
                                   std::span<const postlude::settlement> settlements) override {
        const auto answer = trouble_->enter(call::commit);
        if (answer != store_trouble::answer::request_lost) {
            auto result = inner_->commit(puts, settlements);
            if (answer == store_trouble::answer::as_it_is) {
                return result;
            }
        }
        postlude::commit_result unknown;
        unknown.puts.assign(puts.size(), {postlude::put_result::outcome::unknown, {}});
        unknown.settlements.assign(settlements.size(), postlude::settled::unknown);
        unknown.why_unknown = "the answer was lost";
        return unknown;
    }
    std::vector<postlude::claimed_job> claim(std::span<const std::size_t> credits,
                                             std::chrono::milliseconds longest_wait) override {
        trouble_->enter(call::claim);
        return inner_->claim(credits, longest_wait);
    }
    std::vector<postlude::receipt> renew(std::span<const postlude::receipt> held) override {
        trouble_->enter(call::renew);
        return inner_->renew(held);
    }
    std::vector<postlude::rescued_job> rescue(std::size_t limit) override {
        trouble_->enter(call::rescue);
        return inner_->rescue(limit);
    }
    std::vector<postlude::queue_stats> stats() override {
        trouble_->enter(call::stats);
        return inner_->stats();
    }
    std::vector<postlude::job_view> find(const postlude::job_query& query) override {
        trouble_->enter(call::find);
        return inner_->find(query);
    }
    std::vector<postlude::job_event> history(postlude::job_id id) override {
        trouble_->enter(call::history);
        return inner_->history(id);
    }
    std::vector<postlude::amended> amend(std::span<const postlude::job_id> ids,
                                         postlude::amendment what) override {
        trouble_->enter(call::amend);
        return inner_->amend(ids, what);
    }
    std::size_t prune(const postlude::retention& keep) override {
        trouble_->enter(call::prune);
        return inner_->prune(keep);
    }
    void interrupt() noexcept override {
        trouble_->interrupted();
        inner_->interrupt();
    }

private:
    std::unique_ptr<postlude::backend> inner_;
    std::shared_ptr<store_trouble> trouble_;
};

/// Releases all calls at the end of a scope, so that a failed test does not hang.
class releaser {
public:
    explicit releaser(std::shared_ptr<store_trouble> trouble) : trouble_(std::move(trouble)) {}
    releaser(const releaser&) = delete;
    releaser& operator=(const releaser&) = delete;
    ~releaser() { trouble_->release_all(); }

private:
    std::shared_ptr<store_trouble> trouble_;
};

}  // namespace test

#endif
