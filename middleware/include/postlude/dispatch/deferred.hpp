// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_DISPATCH_DEFERRED_HPP
#define POSTLUDE_DISPATCH_DEFERRED_HPP

#include "postlude/dispatch/detail/job_service.hpp"
#include "postlude/dispatch/dispatcher.hpp"
#include "postlude/dispatch/job_options.hpp"
#include "postlude/dispatch/request_info.hpp"

#include <boost/asio/deferred.hpp>

#include <cstdint>
#include <source_location>
#include <string_view>
#include <utility>

namespace postlude {

/// The tasks and jobs that one request has registered. They run when its response has ended; but a
/// job that is stored for any process to take (no room here, a delay, other processes run it; with
/// RabbitMQ every durable one) may begin as soon as it is stored, which is before the response.
///
/// Make one a request, pass it to the handler, and give it to `respond` or `async_respond`. A
/// list that is destroyed without a response is abandoned: its `failed` and `always` tasks run.
/// Work registered after the response goes straight to the workers, if the outcome allows it.
///
/// Used by one thread at a time: by whoever serves the request. The dispatcher must outlive it.
/// A task must not refer to the list, the request or the response: they are gone when it runs.
/// Capture by value what it needs.
class deferred {
public:
    explicit deferred(dispatcher& dispatcher, const request_info& request = {});

    /// Of a request whose type has `request_traits`, such as Beast's. Keeps no reference to it.
    template <describable_request Request>
    deferred(dispatcher& dispatcher, const Request& request)
        : deferred(dispatcher, request_traits<Request>::info(request)) {}

    deferred(deferred&& other) noexcept
        : dispatcher_(other.dispatcher_),
          record_(std::exchange(other.record_, nullptr)),
          commits_(other.commits_) {}
    /// What this list held before is abandoned first.
    deferred& operator=(deferred&& other) noexcept {
        if (this != &other) {
            close();
            dispatcher_ = other.dispatcher_;
            record_ = std::exchange(other.record_, nullptr);
            commits_ = other.commits_;
        }
        return *this;
    }
    ~deferred() { close(); }

    /// Registers a task. If there is no room for it, or the pool is closed, returns false, runs
    /// nothing of this request's `handled` and `sent` work, and makes the response a 503 with
    /// Retry-After (unless that has begun). Takes no lock; allocates nothing for the first four
    /// tasks of a request whose captures take at most 48 bytes, once records are being recycled.
    /// Throws system_error(errc::moved_from) on a moved-from list. What f's move constructor
    /// throws is passed on, and nothing was registered.
    template <task_function F>
    bool run(F&& f, task_options options = {},
             std::source_location where = std::source_location::current()) {
        return answer(add(std::forward<F>(f), options, where));
    }

    /// Registers a task, or returns errc::full, errc::stopped or errc::moved_from and leaves the
    /// response alone. As `run` otherwise.
    template <task_function F>
    [[nodiscard]] boost::system::error_code try_run(
        F&& f, task_options options = {},
        std::source_location where = std::source_location::current()) {
        return to_error(add(std::forward<F>(f), options, where));
    }

    /// Registers a job: a described struct with a `job_traits job` of its own, whose kind the
    /// dispatcher knows. What is durable, or may spill and can't be kept in memory (no room, a
    /// delay, other processes run it), is stored before the first byte of the response, which waits
    /// for that. A refusal (of memory alone and no room; the store does not answer) is answered as
    /// in `run`. Copies the arguments; allocates.
    ///
    /// Throws system_error, and then nothing was registered: errc::moved_from; errc::bad_kind for a
    /// kind that the dispatcher does not know, or that needs a store where there is none;
    /// errc::bad_option; errc::bad_arguments for what is no JSON (text that is no UTF-8, NaN), when
    /// it is to be stored.
    template <job_type Args>
    bool enqueue(Args args, job_options options = {}) {
        return answer(add_job(Args::job.kind, std::make_unique<arguments_of<Args>>(std::move(args)),
                              std::move(options)));
    }
    /// Registers a job, or returns errc::full or errc::stopped and leaves the response alone. A
    /// store that does not answer is known only later, and answered with 503 all the same.
    template <job_type Args>
    [[nodiscard]] boost::system::error_code try_enqueue(Args args, job_options options = {}) {
        return to_error(add_job(Args::job.kind,
                                std::make_unique<arguments_of<Args>>(std::move(args)),
                                std::move(options)));
    }
    /// Registers a job and completes when it is accepted: stored at once, if it is to be stored at
    /// all, and not only before the response. For responses that are under way already, because
    /// they are streamed. A job that was stored so may be run by any process before the response
    /// ends; if the outcome excludes it, it is withdrawn, as long as nobody has taken it (with
    /// RabbitMQ it can't be, and runs). In `postlude/dispatch/async_jobs.hpp`.
    ///
    /// Awaited in a coroutine, with GCC 12: see the free function there.
    ///
    /// @param executor where the handler has none of its own. Either is the strand, or the one
    /// thread, that uses the list: the completion changes it.
    /// @param token for `void(error_code)`: errc::full, errc::stopped, errc::store_unavailable,
    /// errc::store_timeout. The response is left alone. Throws at once as `enqueue`.
    template <job_type Args, class Executor, class CompletionToken = boost::asio::deferred_t>
    auto async_enqueue(Args args, job_options options, const Executor& executor,
                       CompletionToken&& token = CompletionToken());

    /// Takes room for n more tasks of one queue (1 to its capacity), before the handler changes
    /// anything: the next n registrations for that queue are not refused. What is not used goes
    /// back when the response ends or, reserved later, with the list. Reserving for another queue
    /// gives the former room back. A refusal is answered as in `run`.
    bool reserve(std::uint32_t n, queue_id queue = {}) { return answer(hold(n, queue)); }
    [[nodiscard]] boost::system::error_code try_reserve(std::uint32_t n, queue_id queue = {}) {
        return to_error(hold(n, queue));
    }

    /// True when the response has to be a 503, because `run` or `reserve` was refused.
    bool refused() const noexcept { return record_ && record_->list.refused; }

    /// This request's id; valid while the list lives. Empty when moved from.
    std::string_view request_id() const noexcept {
        return record_ ? record_->request_id() : std::string_view{};
    }

    /// Tasks and jobs registered and not released yet.
    std::size_t size() const noexcept;

    /// Whether a response with this status has to wait for jobs to be stored; see `async_commit`.
    bool must_commit(unsigned status) const noexcept;

    /// What the request was; its `id` is `request_id()`.
    request_info request() const noexcept;

    dispatcher& get_dispatcher() const noexcept { return *dispatcher_; }

    // For Postlude's own parts.

    bool has_jobs() const noexcept { return record_ && record_->list.jobs; }
    /// Finishes `waiter` when what has to be is stored, at once if there is nothing, or refuses.
    void commit(unsigned status, std::unique_ptr<detail::commit_waiter> waiter);
    /// The same for one job, which is not in the list yet.
    void enqueue_now(detail::job_ptr job, std::unique_ptr<detail::commit_waiter> waiter);
    detail::job_ptr make_job(std::string_view kind, std::unique_ptr<job_arguments> args,
                             job_options&& options);
    /// What became of a job of `enqueue_now`, on the request's own strand.
    static void enqueued(const detail::job_ptr& job, boost::system::error_code ec) noexcept;
    /// What became of it, on the request's own strand.
    void committed(boost::system::error_code ec) noexcept;
    /// A second handle to the same list, for whoever sends its response: it keeps the list open
    /// while the first is destroyed, and abandons it if it is destroyed itself without a response.
    deferred hold_for_commit() noexcept;

private:
    friend class pending_response;

    deferred(dispatcher& dispatcher, detail::record* record) noexcept
        : dispatcher_(&dispatcher), record_(record) {}

    static boost::system::error_code to_error(errc answer) noexcept {
        return answer == detail::accepted ? boost::system::error_code{} : make_error_code(answer);
    }
    bool answer(errc answer) {
        if (answer == detail::accepted) [[likely]] {
            return true;
        }
        refuse(answer);
        return false;
    }
    void refuse(errc why);
    template <class F>
    errc add(F&& f, const task_options& options, const std::source_location& where);
    /// Once a place is taken.
    template <class F>
    detail::task_slot& place(F&& f, const task_options& options, const std::source_location& where);
    errc add_job(std::string_view kind, std::unique_ptr<job_arguments> args, job_options&& options);
    errc list_job(detail::job_ptr job);
    /// Once its route is chosen and its place taken.
    void list_routed(detail::job_ptr job);
    errc hold(std::uint32_t n, queue_id queue) noexcept;
    /// Takes a place, from what is reserved or from the queue.
    /// @param counts see `thread_pool::reserve`.
    errc take_place(queue_id queue, bool counts = true) noexcept {
        auto& list = record_->list;
        if (list.spare != 0 && list.spare_queue == queue) {
            --list.spare;
            return detail::accepted;
        }
        // A request that has registered four tasks is likely to register some more.
        constexpr std::uint32_t ahead = detail::record::slot_count;
        if (list.fill->used == ahead && list.spare == 0 &&
            list.now != detail::list_state::phase::ended &&
            dispatcher_->pool().reserve_ahead(queue, ahead)) {
            list.spare = ahead - 1;
            list.spare_queue = queue;
            return detail::accepted;
        }
        return dispatcher_->pool().reserve(queue, 1, counts);
    }
    /// Makes a further record the one with free slots.
    void add_record();
    /// The outcome is known: what was just linked goes straight to the workers, or is discarded.
    void release_late() noexcept;
    void close() noexcept;

    dispatcher* dispatcher_;
    detail::record* record_;
    bool commits_ = false;  ///< see `hold_for_commit`
};

/// A response on its way: what `respond` and `async_respond` are built on, for those who write
/// a response themselves (streamed, or with another library).
///
/// Make it before the first byte is written, call `end` when the last one was, or when writing
/// failed, then `release`. It keeps the list's tasks alive even if the `deferred` is destroyed
/// meanwhile. Destroyed before `end`, it counts as a failed write; before `release`, it releases
/// at once. A second one for the same request does nothing: the first decides.
/// Not for interim responses (1xx but 101), after which another one follows.
class pending_response {
public:
    /// @param status of the response as it is sent. 400 and above, or a refusal, count as failed.
    pending_response(deferred& after, unsigned status) noexcept;
    pending_response(pending_response&& other) noexcept
        : dispatcher_(other.dispatcher_),
          record_(std::exchange(other.record_, nullptr)),
          runnable_(std::exchange(other.runnable_, nullptr)) {}
    pending_response& operator=(pending_response&&) = delete;
    ~pending_response();

    /// The handler failed though its response had begun, with whatever status: from now on the
    /// request counts as failed.
    void handler_failed() noexcept;

    /// The outcome: no error means that the last byte was handed to the stream. Discards what the
    /// outcome excludes. What is registered from now on goes straight to the workers.
    void end(boost::system::error_code ec) noexcept;

    /// Hands the tasks to the workers, behind what `executor`'s event loop has to do already, so
    /// that the read of the next request is under way first. Call it after the completion handler.
    template <class Executor>
    void release(const Executor& executor) noexcept {
        if (auto* newest = std::exchange(runnable_, nullptr)) {
            dispatcher_->lists().release(newest, executor);
        }
    }
    /// The same at once, where no event loop is: wakes a worker by a system call if one sleeps.
    void release() noexcept;

private:
    dispatcher* dispatcher_;
    detail::record* record_;                 ///< null when inert or ended
    detail::task_slot* runnable_ = nullptr;  ///< newest first
};

template <class F>
errc deferred::add(F&& f, const task_options& options, const std::source_location& where) {
    if (!record_) {
        return errc::moved_from;
    }
    if (const auto answer = take_place(options.queue); answer != detail::accepted) {
        return answer;
    }
    place(std::forward<F>(f), options, where);
    if (record_->list.now == detail::list_state::phase::ended) [[unlikely]] {
        release_late();
    }
    return detail::accepted;
}

template <class F>
detail::task_slot& deferred::place(F&& f, const task_options& options,
                                   const std::source_location& where) {
    detail::place_guard place(dispatcher_->pool().tickets(options.queue));
    auto& list = record_->list;
    if (list.fill->used == detail::record::slot_count) {
        add_record();
    }
    auto& slot = list.fill->slots[list.fill->used];
    detail::construct(slot, std::forward<F>(f));
    place.use();
    detail::describe(slot, options, where);
    ++list.fill->used;
    slot.next = std::exchange(list.last, &slot);
    return slot;
}

}  // namespace postlude

#endif
