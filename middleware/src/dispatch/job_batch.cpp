// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
//
// What becomes of one batch: the store has answered it, in part or in whole, or has failed.
#include "dispatch/job_writer.hpp"

#include "dispatch/job_service.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace postlude::detail {

using boost::system::error_code;

namespace {

bool anything_known(const commit_result& result) {
    return std::ranges::any_of(
               result.puts, [](const auto& p) { return p.what != put_result::outcome::unknown; }) ||
           std::ranges::any_of(result.settlements, [](auto s) { return s != settled::unknown; });
}

template <class T>
void put_back(std::vector<T>& to, std::vector<T>& from) {
    to.insert(to.begin(), std::move_iterator(from.begin()), std::move_iterator(from.end()));
    from.clear();
}

}  // namespace

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
        if (anything_known(result)) {
            service_.health().worked(store_call::commit);
        }
        service_.health().left_out(result.why_unknown);
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
    }
    if (!withdrawn.empty()) {
        service_.withdraw(withdrawn);
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
        if (puts[k].claimed && results[k].what == put_result::outcome::stored && !abandoned_) {
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
        owed.may_be_there = true;  // where ids are unique, it can't be there twice
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
        ending.may_be_there = true;
        settle(std::move(ending));
        const std::lock_guard lock(mutex_);
        pause(store_call::commit);
    } else if (ending.which) {
        // What the earlier try has settled is held no more, and nobody else has it.
        service_.settled(ending, result == settled::accepted || ending.may_be_there);
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

}  // namespace postlude::detail
