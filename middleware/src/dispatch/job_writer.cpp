// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "dispatch/job_writer.hpp"

#include "dispatch/job_service.hpp"

#include <boost/system/system_error.hpp>

#include <sys/prctl.h>

#include <algorithm>
#include <iterator>
#include <utility>

namespace postlude::detail {

using boost::system::error_code;

namespace {

/// The end of a run waits at most so long for others to be committed with it: what a crash may
/// make run twice.
constexpr std::chrono::milliseconds ending_wait{5};
constexpr std::size_t endings_at_once = 256;
/// Of requests. While so many are written, those that were answered before come with their next.
constexpr std::size_t puts_at_once = 256;
/// A batch smaller than this gains nothing by waiting for others.
constexpr std::size_t worth_gathering = 8;
constexpr std::chrono::microseconds gathering_step{30};
constexpr std::chrono::microseconds longest_gathering{400};

/// Moves at most n elements from the front.
template <class T>
std::vector<T> take_front(std::vector<T>& from, std::size_t n) {
    if (from.size() <= n) {
        return std::exchange(from, {});
    }
    const auto middle = from.begin() + static_cast<std::ptrdiff_t>(n);
    std::vector<T> taken(std::move_iterator(from.begin()), std::move_iterator(middle));
    from.erase(from.begin(), middle);
    return taken;
}

template <class T>
void put_back(std::vector<T>& to, std::vector<T>& from) {
    to.insert(to.begin(), std::move_iterator(from.begin()), std::move_iterator(from.end()));
    from.clear();
}

}  // namespace

void job_writer::start() {
    thread_ = std::thread([this, keep_alive = service_.shared_from_this()] { run(); });
}

void job_writer::submit(waiter_ptr waiter) {
    auto refusal =
        service_.health().too_early() ? error_code(errc::store_unavailable) : error_code();
    if (!refusal) {
        const std::lock_guard lock(mutex_);
        if (!closed()) {
            waiter->begun = clock::now();
            const auto count = waiter->jobs.size();
            waiting_.requests.push_back({std::move(waiter), count});
            if (std::exchange(sleeping_, false)) {
                changed_.notify_one();
            }
            service_.watch_commits();
            return;
        }
        refusal = errc::stopped;
    }
    commit_waiter::finish(std::move(waiter), refusal);
}

bool job_writer::owe(job_ptr job, put what) {
    const std::lock_guard lock(mutex_);
    if (closed()) {
        return false;
    }
    add({std::move(job), std::move(what)});
    return true;
}

void job_writer::add(owed_job owed) {
    waiting_.owed.push_back(std::move(owed));
    if (std::exchange(sleeping_, false)) {
        changed_.notify_one();
    }
}

bool job_writer::settle(job_ending ending) {
    const std::lock_guard lock(mutex_);
    if (closed()) {
        return false;
    }
    if (waiting_.endings.empty()) {
        oldest_ending_ = clock::now();
    }
    waiting_.endings.push_back(std::move(ending));
    const auto n = waiting_.endings.size();
    if ((n == 1 || n == endings_at_once) && std::exchange(sleeping_, false)) {
        changed_.notify_one();
    }
    return true;
}

void job_writer::withdraw(std::vector<job_id> ids) {
    const std::lock_guard lock(mutex_);
    waiting_.withdrawn.insert(waiting_.withdrawn.end(), ids.begin(), ids.end());
    if (std::exchange(sleeping_, false)) {
        changed_.notify_one();
    }
}

bool job_writer::expire() {
    const auto before = clock::now() - service_.settings().commit_timeout;
    std::vector<waiter_ptr> late;
    bool any = false;
    {
        const std::lock_guard lock(mutex_);
        // In the order in which they came, so the oldest are in front. Those not begun yet go;
        // those that are being written are answered, and withdrawn when the store has answered.
        auto& requests = waiting_.requests;
        while (!requests.empty() && requests.front().waiter->begun < before) {
            late.push_back(std::move(requests.front().waiter));
            requests.pop_front();
        }
        for (auto& r : writing_.requests) {
            if (r.waiter && r.waiter->begun < before) {
                late.push_back(std::move(r.waiter));
            }
        }
        any = !requests.empty() || !writing_.requests.empty();
    }
    for (auto& waiter : late) {
        commit_waiter::finish(std::move(waiter), errc::store_timeout);
    }
    return any;
}

bool job_writer::ready(clock::time_point now) const {
    if (!waiting_.requests.empty() || stopping_) {
        return true;
    }
    if (now < not_before_) {
        return false;
    }
    const auto n = waiting_.endings.size();
    return !waiting_.owed.empty() || !waiting_.withdrawn.empty() || n >= endings_at_once ||
           (n != 0 && now >= oldest_ending_ + ending_wait);
}

void job_writer::wait(std::unique_lock<std::mutex>& lock) {
    for (;;) {
        const auto now = clock::now();
        if (ready(now)) {
            sleeping_ = false;
            return;
        }
        sleeping_ = true;
        auto until = clock::time_point::max();
        if (!waiting_.endings.empty()) {
            until = oldest_ending_ + ending_wait;
        }
        if (now < not_before_ &&
            !(waiting_.owed.empty() && waiting_.endings.empty() && waiting_.withdrawn.empty())) {
            until = not_before_;
        }
        if (until == clock::time_point::max()) {
            changed_.wait(lock);
        } else {
            changed_.wait_until(lock, until);
        }
    }
}

void job_writer::gather(std::unique_lock<std::mutex>& lock) {
    // Whoever was just answered is likely to come again at once, and shares this sync then instead
    // of waiting for the whole of it.
    const auto expected = std::min(std::exchange(answered_, 0), puts_at_once);
    if (expected < worth_gathering || stopping_) {
        return;
    }
    const auto until = clock::now() + std::min<clock::duration>(longest_gathering, took_ / 2);
    auto before = waiting_.requests.size();
    while (waiting_.requests.size() < expected && clock::now() < until) {
        lock.unlock();
        std::this_thread::sleep_for(gathering_step);
        lock.lock();
        if (std::exchange(before, waiting_.requests.size()) == before) {
            return;  // nobody comes
        }
    }
}

void job_writer::take() {
    auto& from = waiting_.requests;
    puts_.clear();
    while (!from.empty() && puts_.size() < puts_at_once) {
        // The texts are lent, and go back with the answer.
        std::ranges::move(from.front().waiter->puts, std::back_inserter(puts_));
        writing_.requests.push_back(std::move(from.front()));
        from.pop_front();
    }
    if (clock::now() >= not_before_ || !writing_.requests.empty() || stopping_) {
        writing_.owed = take_front(waiting_.owed, endings_at_once);
        writing_.endings = take_front(waiting_.endings, 2 * endings_at_once);
        writing_.withdrawn = std::exchange(waiting_.withdrawn, {});
        oldest_ending_ = clock::now();
    }
}

void job_writer::run() {
    ::prctl(PR_SET_TIMERSLACK, 1'000, 0, 0, 0);  // or `gather` sleeps for 50 us longer
    std::unique_lock lock(mutex_);
    for (;;) {
        wait(lock);
        gather(lock);
        take();
        if (writing_.empty()) {
            if (stopping_) {
                break;
            }
            continue;
        }
        lock.unlock();
        const auto begin = clock::now();
        write();
        took_ = clock::now() - begin;
        lock.lock();
        if (stopping_) {
            changed_.wait_until(lock, not_before_, [this] { return abandoned_; });
        }
        if (abandoned_) {
            // What is here refers to the service, and it to this.
            waiting_ = {};
            writing_ = {};
            return;
        }
    }
    ended_ = true;
    changed_.notify_all();
}

void job_writer::write() {
    settlements_.clear();
    for (auto& o : writing_.owed) {
        puts_.push_back(std::move(o.what));
    }
    for (auto& e : writing_.endings) {
        settlements_.push_back(std::move(e.what));
    }
    if (!puts_.empty() || !settlements_.empty()) {
        commit_result result;
        try {
            result = service_.raw_store().commit(puts_, settlements_);
        } catch (const std::exception& e) {
            service_.health().failed(store_call::commit, e.what());
            fail();
            return;
        }
        service_.health().worked(store_call::commit);
        answer(result);
    }
    erase_withdrawn();
}

void job_writer::erase_withdrawn() {
    if (writing_.withdrawn.empty()) {
        return;
    }
    try {
        service_.raw_store().amend(writing_.withdrawn, amendment::erase);
        service_.health().worked(store_call::withdraw);
    } catch (const std::exception& e) {
        service_.health().failed(store_call::withdraw, e.what());
        const std::lock_guard lock(mutex_);
        put_back(waiting_.withdrawn, writing_.withdrawn);
        pause(store_call::withdraw);
    }
    const std::lock_guard lock(mutex_);
    writing_.withdrawn.clear();
}

void job_writer::pause(store_call which) {
    not_before_ = clock::now() + service_.health().pause(which);
}

void job_writer::answer(const commit_result& result) {
    std::vector<std::pair<waiter_ptr, error_code>> answers;
    std::vector<job_id> withdrawn;
    std::size_t i = 0;
    {
        const std::lock_guard lock(mutex_);
        not_before_ = {};
        for (auto& r : writing_.requests) {
            const auto results = std::span(result.puts).subspan(i, r.count);
            const auto puts = std::span(puts_).subspan(i, r.count);
            i += r.count;
            const bool all = std::ranges::all_of(
                results, [](const auto& p) { return p.what == put_result::outcome::stored; });
            if (all && r.waiter) {
                hand_out(*r.waiter, results);
            } else {
                take_back(puts, results, withdrawn);
            }
            if (r.waiter) {
                std::ranges::move(puts, r.waiter->puts.begin());
                answers.emplace_back(std::move(r.waiter),
                                     all ? error_code() : errc::store_unavailable);
            }
        }
        answered_ = writing_.requests.size() + waiting_.requests.size();
        writing_.requests.clear();
        waiting_.withdrawn.insert(waiting_.withdrawn.end(), withdrawn.begin(), withdrawn.end());
    }
    for (auto& [waiter, ec] : answers) {
        commit_waiter::finish(std::move(waiter), ec);
    }
    for (auto& o : writing_.owed) {
        o.what = std::move(puts_[i]);
        wrote(o, result.puts[i++]);
    }
    for (std::size_t k = 0; k != writing_.endings.size(); ++k) {
        writing_.endings[k].what = std::move(settlements_[k]);
        wrote(writing_.endings[k], result.settlements[k]);
    }
    const std::lock_guard lock(mutex_);
    writing_.owed.clear();
    writing_.endings.clear();
}

void job_writer::hand_out(const commit_waiter& waiter, std::span<const put_result> results) {
    for (std::size_t k = 0; k != results.size(); ++k) {
        auto& job = *waiter.jobs[k];
        job.stored = true;
        if (job.way == job::route::claimed) {
            job.held = results[k].held;
            service_.in_hand().add(waiter.jobs[k]);  // its lease is renewed from now on
        }
    }
}

void job_writer::take_back(std::span<const put> puts, std::span<const put_result> results,
                           std::vector<job_id>& withdrawn) {
    // Nobody was told that it is there, so it must not be.
    for (std::size_t k = 0; k != results.size(); ++k) {
        if (results[k].what == put_result::outcome::refused) {
            continue;
        }
        if (puts[k].claimed && results[k].what == put_result::outcome::stored) {
            waiting_.endings.push_back(
                {nullptr, {results[k].held, verdict::withdrawn, {}, "its request failed", {}}, {}});
        } else {
            withdrawn.push_back(puts[k].job.id);
        }
    }
}

void job_writer::wrote(owed_job& owed, const put_result& result) {
    using outcome = put_result::outcome;
    if (result.what == outcome::unknown) {
        owed.may_be_there = true;  // under its own id, so it can't be there twice
        const std::lock_guard lock(mutex_);
        add(std::move(owed));
        pause(store_call::commit);
    } else if (result.what == outcome::refused && !owed.may_be_there) {
        service_.unstorable(owed.job);
    } else {
        service_.stored(owed.job, result.held);
    }
}

void job_writer::wrote(job_ending& ending, settled result) {
    if (result == settled::unknown) {
        settle(std::move(ending));
        const std::lock_guard lock(mutex_);
        pause(store_call::commit);
    } else if (ending.which) {
        service_.settled(ending, result == settled::accepted);
    }
}

void job_writer::fail() {
    std::vector<waiter_ptr> answers;
    {
        const std::lock_guard lock(mutex_);
        std::size_t i = 0;
        for (auto& r : writing_.requests) {
            i += r.count;
            if (r.waiter) {
                answers.push_back(std::move(r.waiter));
            }
        }
        for (auto& o : writing_.owed) {
            o.what = std::move(puts_[i++]);
        }
        for (std::size_t k = 0; k != writing_.endings.size(); ++k) {
            writing_.endings[k].what = std::move(settlements_[k]);
        }
        writing_.requests.clear();
        put_back(waiting_.owed, writing_.owed);
        put_back(waiting_.endings, writing_.endings);
        put_back(waiting_.withdrawn, writing_.withdrawn);
        pause(store_call::commit);
    }
    for (auto& waiter : answers) {
        commit_waiter::finish(std::move(waiter), errc::store_unavailable);
    }
}

bool job_writer::ended() {
    const std::lock_guard lock(mutex_);
    return ended_;
}

std::vector<job_ptr> job_writer::stop(clock::time_point until) {
    std::vector<job_ptr> left;
    if (!thread_.joinable()) {
        return left;
    }
    std::vector<waiter_ptr> unanswered;
    {
        std::unique_lock lock(mutex_);
        stopping_ = true;
        changed_.notify_all();
        if (!changed_.wait_until(lock, until, [&] { return ended_; })) {
            // It hangs in the store: whoever waits is told, and what is owed is the caller's.
            abandoned_ = true;
            changed_.notify_all();
            for (auto* list : {&waiting_.owed, &writing_.owed}) {
                for (auto& o : *list) {
                    if (o.job) {
                        left.push_back(o.job);
                    }
                }
            }
            for (auto* list : {&waiting_.requests, &writing_.requests}) {
                for (auto& r : *list) {
                    if (r.waiter) {
                        unanswered.push_back(std::move(r.waiter));
                    }
                }
            }
            waiting_.requests.clear();
        }
    }
    for (auto& waiter : unanswered) {
        commit_waiter::finish(std::move(waiter), errc::stopped);
    }
    if (ended()) {
        thread_.join();
    } else {
        thread_.detach();  // it keeps the service alive
    }
    return left;
}

}  // namespace postlude::detail
