// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_POOL_THREAD_POOL_HPP
#define POSTLUDE_POOL_THREAD_POOL_HPP

#include "postlude/core/counters.hpp"
#include "postlude/core/error.hpp"
#include "postlude/pool/detail/record.hpp"
#include "postlude/pool/detail/record_store.hpp"
#include "postlude/pool/detail/tickets.hpp"
#include "postlude/pool/options.hpp"
#include "postlude/pool/task.hpp"

#include <boost/asio/execution.hpp>
#include <boost/asio/execution_context.hpp>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace postlude {

/// A task that a drain had to give up, or that runs at this moment.
struct task_report {
    enum class where : std::uint8_t {
        waiting,    ///< in a queue, never started
        running,    ///< on a worker
        suspended,  ///< a coroutine that waits for something
        stopped,    ///< left at a checkpoint because the drain asked it to
    };
    std::string name;
    std::string request_id;
    std::string queue;
    where state{};
    /// How long it has run, as the monitor saw it, to about a second; zero when it waits.
    std::chrono::milliseconds running_for{0};
};

/// The end of a pool: what was accepted and not finished by the deadline, one entry a task.
struct drain_report {
    std::vector<task_report> lost;
    bool clean() const noexcept { return lost.empty(); }
};

/// A bounded, lock-free pool of threads for tasks, with an Asio executor.
///
/// Registering takes a place in a queue's capacity first, so that what was accepted is never
/// refused later. Nothing here blocks but `drain` and the destructor. All members may be called
/// from any thread; the pool must outlive everything that refers to it.
///
/// As an execution context it runs `asio::post(pool, f)`, `co_spawn(pool, …)` and completion
/// handlers bound to its executor. Those cannot be refused: they pass the capacity and are
/// counted apart (`counters::posted`). Timers and sockets can be made on its executor; the
/// first one starts one thread that waits for the system's events.
class thread_pool : public boost::asio::execution_context {
public:
    class executor_type;

    /// Starts the threads. Throws system_error: errc::bad_option with the option's name and
    /// range, or errc::no_thread when the system refuses one.
    explicit thread_pool(pool_options options = {});

    /// Drains under `pool_options::drain` if nobody has drained. A worker whose task has not
    /// returned a second after that is left to itself: what its task refers to must then live
    /// until the process ends, and the task must not use its context any more. A coroutine that
    /// awaits something of another event loop needs that loop to run during the drain, so that
    /// its cancellation arrives, or to be destroyed before the pool.
    ~thread_pool();

    thread_pool(const thread_pool&) = delete;
    thread_pool& operator=(const thread_pool&) = delete;

    /// The id of a queue, by its name. Throws system_error(errc::unknown_queue) naming it.
    queue_id queue(std::string_view name) const;

    /// Registers a task that no request has caused and lets it run at once. Wakes a worker, if
    /// one sleeps, by a system call. Returns errc::full or errc::stopped, and then nothing was
    /// registered. What f's move constructor throws is passed on, and nothing was registered.
    template <task_function F>
    [[nodiscard]] boost::system::error_code try_run(
        F&& f, task_options options = {},
        std::source_location where = std::source_location::current());

    /// Runs posted functions on the workers, on the queue given. Cheap to copy.
    executor_type get_executor() noexcept;
    /// Throws system_error(errc::unknown_queue) for a queue of another pool.
    executor_type get_executor(queue_id queue);

    /// The sums of one queue, or of all. Reads counters that run on, without stopping them.
    postlude::counters counters(queue_id queue) const noexcept;
    postlude::counters counters() const noexcept;

    /// What runs or is suspended at this moment, with how long; for a page or a log.
    std::vector<task_report> running() const;

    unsigned threads() const noexcept;

    /// Takes nothing new from now on: registering answers errc::stopped.
    void close() noexcept;

    /// Ends the pool under one deadline from now, blocking: takes nothing new; lets work finish;
    /// at four fifths of the time asks running tasks to stop (stop token, checkpoint, and a
    /// coroutine's cancellation); at the deadline gives up what is left, names each in the log
    /// and in the report, and counts it as lost. Call it once; a second call returns an empty
    /// report. At most a year. Not from a worker.
    drain_report drain(std::chrono::milliseconds deadline);

    // What follows is for Postlude's own parts.

    /// Takes n places. errc::full or errc::stopped, counted as n registered and n refused unless
    /// `counts` is false. Near the capacity two that ask at once may both be refused though there
    /// was room for one.
    errc reserve(queue_id queue, std::uint32_t n = 1, bool counts = true) noexcept {
        const auto index = static_cast<std::size_t>(queue);
        if (index >= tickets_.size()) {
            return errc::unknown_queue;
        }
        return tickets_[index]->reserve(n, counts);
    }
    bool reserve_ahead(queue_id queue, std::uint32_t n) noexcept {
        const auto index = static_cast<std::size_t>(queue);
        return index < tickets_.size() && tickets_[index]->reserve_ahead(n);
    }
    detail::tickets& tickets(queue_id queue) noexcept {
        return *tickets_[static_cast<std::size_t>(queue)];
    }
    detail::record_store& records() noexcept { return *records_; }
    /// Hands a chain of constructed tasks (by `next`, ending in null) to the workers and wakes
    /// one. Each has its place reserved and holds one reference to its record. Never fails.
    void submit(detail::task_slot* chain) noexcept;
    std::size_t queue_count() const noexcept { return tickets_.size(); }
    const queue_options& options_of(queue_id queue) const noexcept;
    bool running_in_this_thread() const noexcept;
    std::string_view queue_name(queue_id queue) const noexcept;
    spdlog::logger& logger() const noexcept;

    struct state;

private:
    void end_threads() noexcept;

    std::shared_ptr<state> state_;
    std::vector<detail::tickets*> tickets_;  ///< by queue
    detail::record_store* records_;
};

/// Asio's executor of a pool. Holds a reference to the task that it was made for, if any, so
/// that what resumes a coroutine carries its name and request id.
class thread_pool::executor_type {
public:
    executor_type(thread_pool& pool, queue_id queue, detail::task_slot* origin = nullptr) noexcept
        : pool_(&pool), origin_(origin), queue_(queue) {
        hold();
    }
    executor_type(const executor_type& o) noexcept
        : pool_(o.pool_), origin_(o.origin_), queue_(o.queue_), never_blocks_(o.never_blocks_) {
        hold();
    }
    executor_type& operator=(executor_type o) noexcept {
        std::swap(pool_, o.pool_);
        std::swap(origin_, o.origin_);
        std::swap(queue_, o.queue_);
        std::swap(never_blocks_, o.never_blocks_);
        return *this;
    }
    ~executor_type() {
        if (origin_) {
            pool_->records().release(*origin_->owner);
        }
    }

    thread_pool& query(boost::asio::execution::context_t) const noexcept { return *pool_; }
    static constexpr boost::asio::execution::mapping_t query(
        boost::asio::execution::mapping_t) noexcept {
        return boost::asio::execution::mapping.thread;
    }
    boost::asio::execution::blocking_t query(boost::asio::execution::blocking_t) const noexcept {
        return never_blocks_
                   ? boost::asio::execution::blocking_t(boost::asio::execution::blocking.never)
                   : boost::asio::execution::blocking_t(boost::asio::execution::blocking.possibly);
    }
    executor_type require(boost::asio::execution::blocking_t::never_t) const {
        auto e = *this;
        e.never_blocks_ = true;
        return e;
    }
    executor_type require(boost::asio::execution::blocking_t::possibly_t) const {
        auto e = *this;
        e.never_blocks_ = false;
        return e;
    }

    template <class F>
    void execute(F&& f) const {
        if (!never_blocks_ && pool_->running_in_this_thread()) {
            std::decay_t<F> local(std::forward<F>(f));
            local();
            return;
        }
        post(std::forward<F>(f));
    }

    friend bool operator==(const executor_type& a, const executor_type& b) noexcept {
        return a.pool_ == b.pool_ && a.queue_ == b.queue_ && a.never_blocks_ == b.never_blocks_;
    }
    friend bool operator!=(const executor_type& a, const executor_type& b) noexcept {
        return !(a == b);
    }

private:
    void hold() const noexcept {
        if (origin_) {
            origin_->owner->refs.fetch_add(1, std::memory_order_relaxed);
        }
    }

    template <class F>
    void post(F&& f) const;

    thread_pool* pool_;
    detail::task_slot* origin_;
    queue_id queue_;
    bool never_blocks_ = false;
};

namespace detail {

/// A record that is given back unless it is released to the workers.
class record_guard {
public:
    explicit record_guard(record_store& store) : store_(&store), record_(store.take()) {}
    record_guard(const record_guard&) = delete;
    record_guard& operator=(const record_guard&) = delete;
    ~record_guard() {
        if (record_) {
            store_->release(*record_);
        }
    }
    record& operator*() const noexcept { return *record_; }
    record* operator->() const noexcept { return record_; }
    record* release() noexcept { return std::exchange(record_, nullptr); }

private:
    record_store* store_;
    record* record_;
};

/// @param id of at most `max_request_id` bytes.
inline void set_request_id(record& record, std::string_view id) noexcept {
    record.id_size = static_cast<std::uint8_t>(std::min(id.size(), max_request_id));
    std::copy_n(id.begin(), record.id_size, record.id.begin());
}

/// Makes `child` speak for the request of `parent`.
inline void join_request(record& child, record* parent) noexcept {
    if (parent) {
        child.root = parent->root ? parent->root : parent;
        child.root->refs.fetch_add(1, std::memory_order_relaxed);
    }
}

inline void describe(task_slot& slot, const task_options& options,
                     const std::source_location& where) noexcept {
    slot.next = nullptr;
    slot.where = where;
    slot.name = options.name.c_str();
    slot.run_limit_ms = options.run_limit.count();
    slot.queue = options.queue;
    slot.condition = options.when;
    slot.posted = false;
    slot.kept = false;
}

/// Gives places back unless they were used.
class place_guard {
public:
    explicit place_guard(tickets& queue) : queue_(&queue) {}
    place_guard(const place_guard&) = delete;
    place_guard& operator=(const place_guard&) = delete;
    ~place_guard() {
        if (queue_) {
            queue_->give_back(1);
        }
    }
    void use() noexcept { queue_ = nullptr; }

private:
    tickets* queue_;
};

/// One task outside a request's list, released at once.
template <class F>
boost::system::error_code run_one(thread_pool& pool, F&& f, const task_options& options,
                                  const std::source_location& where, record* parent) {
    if (const auto answer = pool.reserve(options.queue); answer != accepted) {
        return answer;
    }
    place_guard place(pool.tickets(options.queue));
    record_guard owner(pool.records());
    auto& slot = owner->slots[0];
    construct(slot, std::forward<F>(f));
    place.use();
    owner->used = 1;
    owner->list.now = list_state::phase::ended;  // there is no response to wait for
    join_request(*owner, parent);
    describe(slot, options, where);
    pool.tickets(options.queue).count(1, 0);
    owner.release();
    pool.submit(&slot);
    return {};
}

}  // namespace detail

template <task_function F>
boost::system::error_code thread_pool::try_run(F&& f, task_options options,
                                               std::source_location where) {
    return detail::run_one(*this, std::forward<F>(f), options, where, nullptr);
}

template <task_function F>
boost::system::error_code task_context::try_run(F&& f, task_options options,
                                                std::source_location where) {
    return detail::run_one(*pool_, std::forward<F>(f), options, where, slot_->owner);
}

template <class F>
void thread_pool::executor_type::post(F&& f) const {
    detail::record_guard owner(pool_->records());
    auto& slot = owner->slots[0];
    detail::construct(slot, std::forward<F>(f));
    owner->used = 1;
    detail::join_request(*owner, origin_ ? origin_->owner : nullptr);
    detail::describe(slot, {.name = {}, .queue = queue_}, std::source_location::current());
    if (origin_) {
        slot.where = origin_->where;
        slot.name = origin_->name;
    }
    slot.posted = true;
    owner.release();
    pool_->submit(&slot);
}

}  // namespace postlude

#endif
