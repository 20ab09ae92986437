// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
// What a worker does with a job.
#include "dispatch/job_service.hpp"
#include "pool/task_error.hpp"

#include <spdlog/spdlog.h>

#include <utility>

namespace postlude::detail {

using boost::asio::awaitable;
using route = job::route;
using phase = job::phase;

job_task::~job_task() {
    if (job_ && !begun_) {
        job_->service->dropped(job_);
    }
}

void job_run::operator()(task_context& task) {
    begun_ = true;
    job_->service->run(job_, task);
}

awaitable<void> job_start::operator()(task_context& task) {
    begun_ = true;
    return job_->service->run_coroutine(job_, task);
}

bool job_service::hand_back_now() const noexcept {
    return draining() && std::chrono::steady_clock::now() >= hand_back_at_;
}

bool job_service::begin(const job_ptr& j) {
    auto before = phase::released;
    if (!j->now.compare_exchange_strong(before, phase::running)) {
        return false;
    }
    if (j->lost_lease) {
        if (j->end()) {
            end(j, job_count::revoked);
        }
        return false;
    }
    if (hand_back_now() && spillable(*j)) {
        j->now = phase::released;
        save(j, "it had not started");
        return false;
    }
    return true;
}

void job_service::read_arguments(job& j) {
    if (!j.arguments) {
        j.arguments = j.kind->kind->read(j.record.arguments);
    }
}

void job_service::run(const job_ptr& j, task_context& task) {
    if (!begin(j)) {
        return;
    }
    try {
        read_arguments(*j);
    } catch (...) {
        finish(j, nullptr, std::current_exception(), true);
        return;
    }
    job_context context(*j, task);
    std::exception_ptr error;
    try {
        j->kind->kind->run(*j->arguments, context);
    } catch (...) {
        error = std::current_exception();
    }
    finish(j, &context, error);
}

awaitable<void> job_service::run_coroutine(const job_ptr& j, task_context& task) {
    if (!begin(j)) {
        co_return;
    }
    std::exception_ptr error;
    try {
        read_arguments(*j);
    } catch (...) {
        error = std::current_exception();
    }
    if (error) {
        finish(j, nullptr, error, true);
        co_return;
    }
    job_context context(*j, task);
    try {
        co_await run_from(context, 0);
    } catch (...) {
        error = std::current_exception();
    }
    finish(j, &context, error);
}

awaitable<void> job_service::run_from(job_context& context, std::size_t index) {
    if (index != settings_.around.size()) {
        const job_next next(*this, context, index + 1);
        co_await settings_.around[index](context, next);
        co_return;
    }
    const auto& j = *context.job_;
    const auto& kind = *j.kind->kind;
    if (kind.start) {
        co_await kind.start(*j.arguments, context);
    } else {
        kind.run(*j.arguments, context);
    }
}

void job_service::finish(const job_ptr& j, job_context* context, const std::exception_ptr& error,
                         bool unreadable) noexcept {
    auto before = phase::running;
    if (!j->now.compare_exchange_strong(before, phase::ended)) {
        return;  // the drain has seen to it
    }
    try {
        if (!error) {
            succeeded(j, *context);
        } else if (j->lost_lease) {
            settle(j, verdict::give_back, {}, "its lease was lost");
        } else if (hand_back_now() && stopped_when_asked(error)) {
            interrupted(j);
        } else {
            report(*j, error);
            failed(j, sentence_of(error), unreadable);
        }
    } catch (const std::exception& e) {
        log_->error("job {} '{}': what became of it can't be kept: {}", j->record.id,
                    j->record.kind, e.what());
        unsettled(j);
    }
}

void job_service::succeeded(const job_ptr& j, job_context& context) {
    if (log_->should_log(spdlog::level::debug)) {
        log_->debug("job {} '{}' is done in attempt {} (request {})", j->record.id, j->record.kind,
                    context.attempt(), none_if_empty(j->record.request_id));
    }
    auto follow_ups = std::move(context.follow_ups_);
    if (j->held) {
        settle(j, verdict::done, {}, {}, std::move(follow_ups));
        return;
    }
    for (const auto& next : follow_ups) {
        follow(next);
    }
    end(j, job_count::completed);
}

void job_service::follow(const job_ptr& next) {
    const auto refused = [&](std::string_view why) {
        log_->error("job {} '{}' is refused: {}; it was to follow another (request {})",
                    next->record.id, next->record.kind, why,
                    none_if_empty(next->record.request_id));
    };
    try {
        const auto answer = choose_route(*next, false, [&](bool counts) {
            return pool_->reserve(next->kind->queue, 1, counts);
        });
        if (answer != accepted) {
            refused(make_error_code(answer).message());
            return;
        }
    } catch (const std::exception& e) {
        accept(*next, errc::bad_arguments);
        refused(e.what());
        return;
    }
    release(next);
    if (next->way == route::memory) {
        place_taken(next, true);
    }
}

job_ptr job_service::adopt(claimed_job&& claimed) {
    auto j = std::make_shared<job>();
    j->service = shared_from_this();
    j->record = std::move(claimed.job);
    j->held = claimed.held;
    j->stored = true;
    j->way = route::claimed;
    j->now = phase::released;
    j->kind = &entry(j->record.kind);
    auto& queue = queue_of(*j);
    queue.counts.add(job_count::claimed);
    queue.counts.add(job_count::left);
    queue.in_hand.fetch_add(1, std::memory_order_relaxed);
    in_hand_.add(j);
    return j;
}

namespace {

/// Puts a task into a record of its own.
task_slot* make_task(thread_pool& pool, const job_service& service, const job_ptr& j) {
    record_guard owner(pool.records());
    auto& slot = owner->slots[0];
    if (j->kind->kind->start || service.wrapped()) {
        construct(slot, job_start(j));
    } else {
        construct(slot, job_run(j));
    }
    owner->used = 1;
    owner->list.now = list_state::phase::ended;
    describe(slot, {.queue = j->kind->queue, .run_limit = service.run_limit(*j)}, {});
    slot.name = service.name_of(*j);
    slot.kept = true;
    set_request_id(*owner, j->record.request_id);
    pool.tickets(slot.queue).count(1, 0);
    owner.release();
    return &slot;
}

}  // namespace

void job_service::place_taken(const job_ptr& j, bool runs) {
    if (runs) {
        pool_->submit(make_task(*pool_, *this, j));
    } else {
        pool_->tickets(j->kind->queue).give_back(1);
    }
}

job_list job_service::run_now(job_list jobs) {
    job_list left;
    task_slot* first = nullptr;
    task_slot** last = &first;
    for (auto& j : jobs) {
        if (pool_->reserve(j->kind->queue, 1, false) != accepted) {
            left.push_back(std::move(j));
            continue;
        }
        if (j->way == route::timed) {
            queue_of(*j).timed.fetch_sub(1, std::memory_order_relaxed);
            j->way = route::memory;
        }
        *last = make_task(*pool_, *this, j);
        last = &(*last)->next;
    }
    if (first) {
        pool_->submit(first);
    }
    return left;
}

void job_service::dropped(const job_ptr& j) noexcept {
    if (j->now == phase::released && j->way != route::stored) {
        save(j, "it had not started");
    }
}

}  // namespace postlude::detail
