// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/dispatch/deferred.hpp"

#include "dispatch/job_service.hpp"
#include "postlude/core/request_id.hpp"
#include "postlude/dispatch/commit.hpp"

#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>

#include <spdlog/spdlog.h>

#include <algorithm>
#include <future>
#include <iterator>
#include <utility>

namespace postlude {

namespace {

using phase = detail::list_state::phase;

/// Of a slot whose job goes another way. No outcome fulfils it.
constexpr when never{0xff};

bool wanted(when condition, const detail::list_state& list) noexcept {
    switch (condition) {
    case when::handled: return list.handled;
    case when::sent: return list.sent;
    case when::failed: return !list.handled;
    case when::always: return true;
    }
    return false;
}

void discard(thread_pool& pool, detail::task_slot& slot) noexcept {
    auto& log = pool.logger();
    if (log.should_log(spdlog::level::debug)) {
        log.debug("task '{}' is discarded by the request's outcome (request {}, queue {})",
                  slot.display_name(), slot.owner->request_id(), pool.queue_name(slot.queue));
    }
    slot.ops->destroy(slot);
    pool.records().release(*slot.owner);
}

/// Counts in runs of one queue, since most lists use one only.
class tally {
public:
    explicit tally(thread_pool& pool) noexcept : pool_(pool) {}
    tally(const tally&) = delete;
    tally& operator=(const tally&) = delete;
    ~tally() { flush(); }

    void add(queue_id queue, bool discarded) noexcept {
        if (queue != queue_) {
            flush();
            queue_ = queue;
        }
        ++registered_;
        discarded_ += discarded ? 1 : 0;
    }

private:
    void flush() noexcept {
        if (registered_ != 0) {
            pool_.tickets(queue_).count(std::exchange(registered_, 0),
                                        std::exchange(discarded_, 0));
        }
    }

    thread_pool& pool_;
    queue_id queue_{};
    std::uint64_t registered_ = 0;
    std::uint64_t discarded_ = 0;
};

/// Room that no task has used.
void give_back_spare(thread_pool& pool, detail::list_state& list) noexcept {
    if (const auto spare = std::exchange(list.spare, 0)) {
        pool.tickets(list.spare_queue).give_back(spare);
    }
}

/// Gives each task that was registered since the last time the reference to its record that it
/// will drop when it ends. The monitor may hold one more for a moment, of the record's time before.
void share(thread_pool& pool, detail::record& root) noexcept {
    auto& list = root.list;
    auto& fill = *std::exchange(list.fill, &root);
    if (&fill != &root) {
        // The list's own reference ends here.
        if (fill.used == 0) {
            pool.records().release(fill);
        } else {
            fill.refs.fetch_add(fill.used - 1U, std::memory_order_relaxed);
        }
    }
    if (const auto more =
            static_cast<std::uint32_t>(root.used - std::exchange(list.shared, root.used))) {
        root.refs.fetch_add(more, std::memory_order_relaxed);
    }
}

/// Before the tasks, which are what runs some of the jobs.
void settle_jobs(detail::list_state& list) noexcept {
    const std::unique_ptr<detail::job_list> jobs(std::exchange(list.jobs, nullptr));
    if (!jobs) {
        return;
    }
    for (const auto& job : *jobs) {
        const bool runs = wanted(job->condition, list);
        if (job->storing) {
            job->decided = runs ? detail::job::outcome::wanted : detail::job::outcome::unwanted;
        } else if (job->now == detail::job::phase::ended) {
            continue;  // it could not be stored by itself: counted already
        } else if (runs) {
            job->service->release(job);
            if (job->slot && job->way == detail::job::route::stored) {
                job->slot->condition = never;
            }
        } else {
            job->service->discard(job, list.refused);
        }
    }
}

/// Of a job: whether a response with this status has to wait for it to be stored.
auto jobs_needed(const detail::list_state& list, unsigned status) noexcept {
    auto outcome = list;
    outcome.handled = status < 400 && !list.refused;
    const bool interim = status < 200 && status != 101;  // the one that counts follows it
    const bool open = !interim && (list.now == phase::open || list.now == phase::storing);
    return [outcome, open](const detail::job_ptr& job) {
        using route = detail::job::route;
        // While it is being stored, `stored` is the writer's.
        return open && (job->way == route::stored || job->way == route::claimed) && !job->storing &&
               !job->stored && job->now != detail::job::phase::ended &&
               wanted(job->condition, outcome);
    };
}

/// The outcome is known: returns what runs, newest first; the rest is discarded and counted.
detail::task_slot* settle(thread_pool& pool, detail::record& record) noexcept {
    auto& list = record.list;
    settle_jobs(list);
    share(pool, record);
    tally counts(pool);
    detail::task_slot* kept = nullptr;
    detail::task_slot** end = &kept;
    for (auto* slot = std::exchange(list.last, nullptr); slot;) {
        auto* next = slot->next;
        const bool runs = wanted(slot->condition, list);
        counts.add(slot->queue, !runs);
        if (runs) {
            *end = slot;
            end = &slot->next;
        } else {
            discard(pool, *slot);
        }
        slot = next;
    }
    *end = nullptr;
    return kept;
}

}  // namespace

deferred::deferred(dispatcher& dispatcher, const request_info& request)
    : dispatcher_(&dispatcher), record_(dispatcher.pool().records().take()) {
    if (valid_request_id(request.id)) {
        detail::set_request_id(*record_, request.id);
    } else {
        const auto made = make_request_id();
        detail::set_request_id(*record_, {made.data(), made.size()});
    }
    auto& list = record_->list;
    list.fill = record_;
    list.head = request.head;
    list.http10 = request.http10;
    list.keep_alive = request.keep_alive;
}

request_info deferred::request() const noexcept {
    if (!record_) {
        return {};
    }
    const auto& list = record_->list;
    return {.id = request_id(),
            .head = list.head,
            .http10 = list.http10,
            .keep_alive = list.keep_alive};
}

std::size_t deferred::size() const noexcept {
    std::size_t n = 0;
    for (auto* slot = record_ ? record_->list.last : nullptr; slot; slot = slot->next) {
        ++n;
    }
    if (record_ && record_->list.jobs) {
        n += static_cast<std::size_t>(
            std::ranges::count(*record_->list.jobs, true, [](const auto& j) {
                return j->way == detail::job::route::stored || j->way == detail::job::route::timed;
            }));
    }
    return n;
}

errc deferred::add_job(std::string_view kind, std::unique_ptr<job_arguments> args,
                       job_options&& options) {
    return list_job(make_job(kind, std::move(args), std::move(options)));
}

detail::job_ptr deferred::make_job(std::string_view kind, std::unique_ptr<job_arguments> args,
                                   job_options&& options) {
    if (!record_) {
        throw boost::system::system_error(errc::moved_from, "deferred::enqueue");
    }
    return detail::make_job(dispatcher_->jobs(), kind, std::move(args), std::move(options),
                            request_id());
}

void deferred::enqueue_now(detail::job_ptr job, std::unique_ptr<detail::commit_waiter> waiter) {
    auto& service = *job->service;
    const auto queue = job->kind->queue;
    const auto answer =
        service.choose_route(*job, false, [&](bool counts) { return take_place(queue, counts); });
    if (answer != detail::accepted) {
        detail::commit_waiter::finish(std::move(waiter), make_error_code(answer));
        return;
    }
    if (job->way != detail::job::route::stored) {
        list_routed(std::move(job));
        detail::commit_waiter::finish(std::move(waiter), {});
        return;
    }
    job->storing = true;
    if (record_->list.now == phase::ended) {
        job->decided = wanted(job->condition, record_->list) ? detail::job::outcome::wanted
                                                             : detail::job::outcome::unwanted;
    } else {
        list_routed(job);
    }
    service.store({std::move(job)}, std::move(waiter));
}

void deferred::enqueued(const detail::job_ptr& job, boost::system::error_code ec) noexcept {
    if (!std::exchange(job->storing, false)) {
        return;
    }
    using outcome = detail::job::outcome;
    auto& service = *job->service;
    if (ec) {
        service.discard(job, true);
    } else if (job->decided == outcome::wanted) {
        service.release(job);
    } else if (job->decided == outcome::unwanted) {
        service.discard(job, false);
    }
}

errc deferred::list_job(detail::job_ptr job) {
    auto& service = *job->service;
    auto& list = record_->list;
    const auto queue = job->kind->queue;
    const bool waits = list.now == phase::open;  // for its commit, if it takes one
    auto answer =
        service.choose_route(*job, waits, [&](bool counts) { return take_place(queue, counts); });
    if (answer == detail::accepted) {
        list_routed(std::move(job));
    }
    return answer;
}

void deferred::list_routed(detail::job_ptr job) {
    auto& service = *job->service;
    auto& list = record_->list;
    const auto queue = job->kind->queue;
    if (!list.jobs) {
        list.jobs = new detail::job_list;
    }
    using route = detail::job::route;
    if (job->way == route::memory || job->way == route::claimed) {
        const task_options options{
            .when = job->condition, .queue = queue, .run_limit = service.run_limit(*job)};
        auto& slot = job->kind->kind->start || service.wrapped()
                         ? place(detail::job_start(job), options, {})
                         : place(detail::job_run(job), options, {});
        slot.name = service.name_of(*job);
        slot.kept = true;
        job->slot = &slot;
    }
    list.jobs->push_back(std::move(job));
    if (list.now == phase::ended) {
        release_late();
    }
}

bool deferred::must_commit(unsigned status) const noexcept {
    return has_jobs() &&
           std::ranges::any_of(*record_->list.jobs, jobs_needed(record_->list, status));
}

void deferred::commit(unsigned status, std::unique_ptr<detail::commit_waiter> waiter) {
    detail::job_list found;
    if (has_jobs()) {
        std::ranges::copy_if(*record_->list.jobs, std::back_inserter(found),
                             jobs_needed(record_->list, status));
    }
    if (found.empty()) {
        detail::commit_waiter::finish(std::move(waiter), {});
        return;
    }
    record_->list.now = phase::storing;
    commits_ = true;
    detail::store(*dispatcher_->jobs(), std::move(found), std::move(waiter));
}

void deferred::committed(boost::system::error_code ec) noexcept {
    if (ec && record_ && record_->list.now == phase::storing) {
        record_->list.refused = true;
    }
}

deferred deferred::hold_for_commit() noexcept {
    deferred other(*dispatcher_, record_);
    other.commits_ = std::exchange(commits_, false);  // by an earlier commit
    if (record_) {
        record_->refs.fetch_add(1, std::memory_order_relaxed);
    }
    return other;
}

boost::system::error_code commit(deferred& after, unsigned status) {
    struct waiter final : detail::commit_waiter {
        explicit waiter(std::promise<boost::system::error_code> p) : promise(std::move(p)) {}
        void done(std::unique_ptr<commit_waiter> /*self*/,
                  boost::system::error_code ec) noexcept override {
            promise.set_value(ec);
        }
        std::promise<boost::system::error_code> promise;
    };
    std::promise<boost::system::error_code> promise;
    auto result = promise.get_future();
    after.commit(status, std::make_unique<waiter>(std::move(promise)));
    const auto ec = result.get();
    after.committed(ec);
    return ec;
}

void deferred::refuse(errc why) {
    if (!record_) {
        throw boost::system::system_error(why, "postlude::deferred");
    }
    record_->list.refused = true;
}

errc deferred::hold(std::uint32_t n, queue_id queue) noexcept {
    if (!record_) {
        return errc::moved_from;
    }
    auto& pool = dispatcher_->pool();
    if (const auto answer = pool.reserve(queue, n); answer != detail::accepted) {
        return answer;
    }
    auto& list = record_->list;
    if (list.spare_queue == queue) {
        list.spare += n;
    } else {
        pool.tickets(list.spare_queue).give_back(std::exchange(list.spare, n));
        list.spare_queue = queue;
    }
    return detail::accepted;
}

void deferred::add_record() {
    auto* more = dispatcher_->pool().records().take();
    detail::join_request(*more, record_);
    auto& fill = record_->list.fill;
    if (fill != record_) {
        // Full: from now on its tasks hold it, one of them by what was the list's reference.
        fill->refs.fetch_add(detail::record::slot_count - 1, std::memory_order_relaxed);
    }
    fill = more;
}

void deferred::release_late() noexcept {
    if (auto* runnable = settle(dispatcher_->pool(), *record_)) {
        dispatcher_->lists().hand_over(runnable);
    }
}

void deferred::close() noexcept {
    if (!record_) {
        return;
    }
    auto& list = record_->list;
    if (list.now == phase::open || (list.now == phase::storing && commits_)) {
        // Abandoned: there was no response, so the handler has failed.
        list.now = phase::ended;
        release_late();
    }
    if (list.now == phase::ended) {
        give_back_spare(dispatcher_->pool(), list);
    }
    dispatcher_->pool().records().release(*std::exchange(record_, nullptr));
}

pending_response::pending_response(deferred& after, unsigned status) noexcept
    : dispatcher_(after.dispatcher_), record_(after.record_) {
    const auto now = record_ ? record_->list.now : phase::ended;
    if (now != phase::open && !(now == phase::storing && after.commits_)) {
        record_ = nullptr;
        return;
    }
    auto& list = record_->list;
    list.now = phase::responding;
    list.handled = status < 400 && !list.refused;
    record_->refs.fetch_add(1, std::memory_order_relaxed);
}

void pending_response::handler_failed() noexcept {
    if (record_) {
        record_->list.handled = false;
    }
}

void pending_response::end(boost::system::error_code ec) noexcept {
    auto* record = std::exchange(record_, nullptr);
    if (!record) {
        return;
    }
    auto& pool = dispatcher_->pool();
    auto& list = record->list;
    list.now = phase::ended;
    list.sent = list.handled && !ec;
    give_back_spare(pool, list);
    runnable_ = settle(pool, *record);
    pool.records().release(*record);
}

void pending_response::release() noexcept {
    if (auto* newest = std::exchange(runnable_, nullptr)) {
        dispatcher_->lists().hand_over(newest);
    }
}

pending_response::~pending_response() {
    end(boost::asio::error::operation_aborted);
    release();
}

}  // namespace postlude
