// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
// From a job's registration to where it waits: in memory, or in the store.
#include "dispatch/job_service.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <thread>
#include <utility>

namespace postlude::detail {

using boost::system::error_code;
using std::chrono::milliseconds;
using route = job::route;
using phase = job::phase;

namespace {

constexpr std::size_t most_tags = 16;
constexpr std::size_t longest_tag = 128;
/// Fewer requests are better off in one commit than in two at the same time.
constexpr std::size_t worth_sharing = 8;

}  // namespace

job_id job_service::next_id() noexcept { return next_id_.fetch_add(1, std::memory_order_relaxed); }

job_ptr job_service::make(std::string_view kind, std::unique_ptr<job_arguments> args,
                          job_options&& options, std::string_view request_id) {
    require(options.when != when::sent,
            "a job can't depend on `sent`: it may be stored before anything is sent");
    require(options.delay.count() >= 0 && options.delay <= std::chrono::hours(24 * 366),
            "job_options::delay takes 0 to a year");
    require(options.priority.value_or(0) <= 3, "job_options::priority takes 0 to 3");
    require(options.tags.size() <= most_tags, "job_options::tags takes 16 at most");
    for (const auto& tag : options.tags) {
        require(!tag.empty() && tag.size() <= longest_tag, "a tag of a job has 1 to 128 bytes");
    }
    auto j = std::make_shared<job>();
    j->service = shared_from_this();
    j->kind = &entry(kind);
    j->arguments = std::move(args);
    j->delay = options.delay;
    j->condition = options.when;
    const auto& traits = j->kind->kind->traits;
    auto& r = j->record;
    r.id = next_id();
    r.kind = traits.kind;
    r.queue = traits.queue;
    r.arguments.clear();
    r.request_id = request_id;
    r.tags = std::move(options.tags);
    r.priority = options.priority.value_or(traits.priority);
    if (has_store() && traits.stored == durability::durable) {
        j->put_into_words();  // what can't be stored is refused here
    }
    return j;
}

errc job_service::accept(job& j, errc answer) noexcept {
    auto& counts = queue_of(j).counts;
    if (answer == accepted) {
        counts.add(job_count::left);
        if (j.way == route::claimed) {
            queue_of(j).in_hand.fetch_add(1, std::memory_order_relaxed);
        } else if (j.way == route::stored) {
            queue_of(j).owed.fetch_add(1, std::memory_order_relaxed);
        }
    } else {
        counts.add(job_count::registered);
        counts.add(job_count::refused);
        j.now = phase::ended;
    }
    return answer;
}

void job_service::end(const job_ptr& j, job_count how) noexcept {
    if (j->counted.exchange(true)) {
        return;
    }
    auto& queue = queue_of(*j);
    queue.counts.end(how);
    if (j->way == route::claimed) {
        queue.ended.fetch_add(1, std::memory_order_relaxed);
        const auto before = queue.in_hand.fetch_sub(1, std::memory_order_relaxed);
        if (before == queue.prefetch.load(std::memory_order_relaxed) / 2 + 1) {
            claimer_.wake();
        }
    } else if (j->way == route::stored) {
        queue.owed.fetch_sub(1, std::memory_order_relaxed);
    } else if (j->way == route::timed) {
        queue.timed.fetch_sub(1, std::memory_order_relaxed);
    }
    in_hand_.remove(*j);
}

put job_service::make_put(job& j, bool claimed) const {
    // The text moves on: who needs it again makes it anew.
    auto text = std::exchange(j.record.arguments, {});
    put p{j.record, j.delay, claimed};
    p.job.arguments = text.empty() ? j.arguments->text() : std::move(text);
    return p;
}

void job_service::store(job_list jobs, std::unique_ptr<commit_waiter> waiter) {
    waiter->puts.reserve(jobs.size());
    for (const auto& j : jobs) {
        waiter->puts.push_back(make_put(*j, j->way == route::claimed));
        j->tried = true;
    }
    waiter->jobs = std::move(jobs);
    writer_for_a_request().submit(std::move(waiter));
}

job_writer& job_service::writer_for_a_request() {
    if (more_writers_.empty() || writer_.under_way() < worth_sharing) {
        return writer_;
    }
    auto& other = *std::ranges::min_element(more_writers_, {}, &job_writer::under_way);
    return other.under_way() < writer_.under_way() ? other : writer_;
}

void job_service::release(const job_ptr& j) noexcept {
    let_go(j);
    if (settings_.running == job_running::at_once && !pool_->running_in_this_thread()) {
        run_at_once();
    }
}

void job_service::run_at_once() noexcept {
    try {
        run_ready();
    } catch (const std::exception& e) {
        log_->error("jobs can't be run at once: {}", e.what());
    }
}

void job_service::let_go(const job_ptr& j) noexcept {
    auto& queue = queue_of(*j);
    queue.counts.add(job_count::registered);
    j->now = phase::released;
    if (j->tried && !j->stored) {
        // Its commit failed. If the store did take it, it is withdrawn there under its former id.
        j->record.id = next_id();
    }
    switch (j->way) {
    case route::memory: in_hand_.add(j); break;
    case route::claimed:
        if (!j->stored) {
            queue.in_hand.fetch_sub(1, std::memory_order_relaxed);
            if (!j->tried && !health_->failing(store_call::commit)) {
                owe(j, j->delay);  // its request has no response that it was to be stored before
                break;
            }
            // The store does not take it, and still it is wanted: it is run, and nobody else knows
            // of it.
            j->way = route::memory;
        }
        in_hand_.add(j);
        break;
    case route::stored:
        if (!j->stored) {
            owe(j, j->delay);
        } else if (j->end()) {
            end(j, job_count::handed_over);
        }
        break;
    case route::timed:
        in_hand_.add(j);
        if (!timers_.add(j, std::chrono::steady_clock::now() + j->delay)) {
            lose(j, "it waited for its time");
        }
        break;
    }
}

std::size_t job_service::run_ready() {
    require(settings_.running != job_running::normally && has_store(),
            "dispatcher::run_ready is for job_running::by_hand, with a store");
    const auto wait = [&] {
        while (!in_hand_.empty()) {
            std::this_thread::sleep_for(std::chrono::microseconds(100));
        }
    };
    const auto from = store();
    std::size_t runs = 0;
    for (;;) {
        wait();  // until what was released before is stored, and what runs has ended
        std::vector<std::size_t> credits;
        credits.reserve(queues_.size());
        for (const auto& q : queues_) {
            credits.push_back(std::min<std::size_t>(q.capacity, 1'000));
        }
        job_list jobs;
        for (auto& claimed : from->claim(credits, milliseconds(0))) {
            jobs.push_back(adopt(std::move(claimed)));
        }
        if (jobs.empty()) {
            return runs;
        }
        runs += jobs.size();
        for (const auto& j : run_now(std::move(jobs))) {
            give_back(j, "there was no room for it");
        }
    }
}

void job_service::discard(const job_ptr& j, bool refused) noexcept {
    auto& counts = queue_of(*j).counts;
    counts.add(job_count::registered);
    if (!j->end()) {
        return;
    }
    if (j->stored && j->held) {
        if (!writer_.settle(
                {nullptr, {*j->held, verdict::withdrawn, {}, "its request failed", {}}, {}})) {
            not_withdrawn(j->record.id);
        }
    } else if (j->stored) {
        withdraw({j->record.id});
    }
    if (log_->should_log(spdlog::level::debug)) {
        log_->debug("job {} '{}' is discarded by the request's outcome (request {})", j->record.id,
                    j->record.kind, j->record.request_id);
    }
    end(j, refused && !j->stored && j->way != route::memory ? job_count::refused
                                                            : job_count::discarded);
}

void job_service::owe(const job_ptr& j, milliseconds delay, std::string last_words) {
    auto& queue = queue_of(*j);
    if (j->way != route::stored) {
        if (j->way == route::timed) {
            queue.timed.fetch_sub(1, std::memory_order_relaxed);
        }
        j->way = route::stored;
        queue.owed.fetch_add(1, std::memory_order_relaxed);
    }
    j->delay = delay;
    j->last_words = std::move(last_words);
    try {
        auto p = make_put(*j, !j->last_words.empty() && can_.stored_as_claimed);
        if (!j->last_words.empty() && !can_.stored_as_claimed) {
            ++p.job.failures;  // as the verdict does
            p.dead_because = j->last_words;
        }
        in_hand_.add(j);
        j->now = phase::released;
        if (!writer_.owe(j, std::move(p))) {
            lose(j, "the store is closed");
        }
    } catch (const std::exception& e) {
        log_->error("job {} '{}' is dead: it can't be stored: {} (request {})", j->record.id,
                    j->record.kind, e.what(), j->record.request_id);
        j->now = phase::ended;
        end(j, job_count::dead);
    }
}

void job_service::withdraw(const std::vector<job_id>& ids) {
    if (can_.query && writer_.withdraw(ids)) {
        return;
    }
    for (const auto id : ids) {
        not_withdrawn(id);
    }
}

void job_service::not_withdrawn(job_id id) noexcept {
    log_->warn(
        "job {} may run although its request was answered with an error: the store has it, or may "
        "have it, and can't take it out again",
        id);
}

void job_service::stored(const job_ptr& j, const receipt& held) noexcept {
    if (!j->end()) {
        return;  // the drain has given it up, and now it is there after all
    }
    if (j->last_words.empty()) {
        end(j, job_count::handed_over);
        return;
    }
    if (can_.stored_as_claimed) {
        writer_.settle({nullptr, {held, verdict::dead, {}, j->last_words, {}}, {}});
    }
    end(j, job_count::dead);
}

void job_service::unstorable(const job_ptr& j) noexcept {
    if (!j->end()) {
        return;
    }
    log_->error("job {} '{}' is dead: it can't be stored: the store refuses it (request {})",
                j->record.id, j->record.kind, j->record.request_id);
    end(j, job_count::dead);
}

/// For tests: lets jobs run before whoever waits is told that they are stored.
struct job_service::run_first final : question {
    explicit run_first(std::unique_ptr<commit_waiter> w) : then(std::move(w)) {}
    void ask(job_service& service) noexcept override {
        service.run_at_once();
        give_up();
    }
    void give_up() noexcept override {
        if (!answered.exchange(true)) {
            commit_waiter::finish(std::move(then), {});
        }
    }
    std::unique_ptr<commit_waiter> then;
    std::atomic<bool> answered{false};
};

void job_service::enqueue(const job_ptr& j, std::unique_ptr<commit_waiter> waiter) {
    const auto answer = choose_route(
        *j, true, [&](bool counts) { return pool_->reserve(j->kind->queue, 1, counts); });
    if (answer != accepted) {
        commit_waiter::finish(std::move(waiter), make_error_code(answer));
        return;
    }
    switch (j->way) {
    case route::stored:
    case route::claimed: {
        struct then_release final : commit_waiter {
            then_release(job_ptr which, std::unique_ptr<commit_waiter> w)
                : j(std::move(which)), next(std::move(w)) {}
            void done(std::unique_ptr<commit_waiter> self, error_code ec) noexcept override {
                next->inner = std::move(self);
                auto then = std::move(next);
                auto& service = *j->service;
                if (ec) {
                    service.discard(j, true);
                } else {
                    service.let_go(j);
                }
                if (j->way == route::claimed) {
                    service.place_taken(j, !ec);
                }
                if (!ec && service.settings().running == job_running::at_once) {
                    // Not here: the runs need this thread for their ends.
                    service.ask(std::make_shared<run_first>(std::move(then)));
                    return;
                }
                finish(std::move(then), ec);
            }
            job_ptr j;
            std::unique_ptr<commit_waiter> next;
        };
        store({j}, std::make_unique<then_release>(j, std::move(waiter)));
        return;
    }
    case route::memory:
        release(j);
        place_taken(j, true);
        break;
    case route::timed: release(j); break;
    }
    commit_waiter::finish(std::move(waiter), {});
}

}  // namespace postlude::detail
