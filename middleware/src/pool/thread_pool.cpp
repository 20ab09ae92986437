// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/pool/thread_pool.hpp"

#include "pool/state.hpp"

#include <boost/system/system_error.hpp>

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <utility>

namespace postlude {

namespace {

constexpr unsigned most_threads = 1'024;
constexpr std::size_t most_queues = 64;
constexpr std::size_t most_capacity = std::size_t{1} << 31;

[[noreturn]] void refuse(const std::string& why) {
    throw boost::system::system_error(errc::bad_option, why);
}

void check(const queue_options& queue) {
    if (queue.name.empty()) {
        refuse("queue_options::name is empty; give each queue a name");
    }
    if (queue.capacity < 1 || queue.capacity > most_capacity) {
        refuse("queue_options::capacity of '" + queue.name + "' is " +
               std::to_string(queue.capacity) + "; it takes 1 to 2147483648");
    }
    if (queue.run_limit.count() < 0) {
        refuse("queue_options::run_limit of '" + queue.name + "' is negative; 0 sets no limit");
    }
}

void check(pool_options& options) {
    if (options.threads > most_threads) {
        refuse("pool_options::threads is " + std::to_string(options.threads) +
               "; it takes at most 1024, or 0 for as many as the hardware has");
    }
    if (options.threads == 0) {
        options.threads = std::clamp(std::thread::hardware_concurrency(), 1U, most_threads);
    }
    if (options.drain.count() < 0 || options.drain > longest_drain) {
        refuse("pool_options::drain takes 0 ms to a year");
    }
    if (options.queues.size() >= most_queues) {
        refuse("pool_options::queues has " + std::to_string(options.queues.size()) +
               " entries; it takes at most 63");
    }
    options.queues.insert(options.queues.begin(), std::move(options.default_queue));
    for (auto queue = options.queues.begin(); queue != options.queues.end(); ++queue) {
        check(*queue);
        const auto same = [&](const auto& other) { return other.name == queue->name; };
        if (std::any_of(options.queues.begin(), queue, same)) {
            refuse("two queues are named '" + queue->name + "'; give each a name of its own");
        }
    }
}

/// Threads made while it lives take no signals: those are for the threads of the program.
class without_signals {
public:
    without_signals() {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    without_signals(const without_signals&) = delete;
    without_signals& operator=(const without_signals&) = delete;
    ~without_signals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

private:
    sigset_t before_;
};

/// The order that everything here is for.
[[maybe_unused]] bool response_has_ended(const detail::task_slot& task) noexcept {
    const auto& request = task.owner->root ? *task.owner->root : *task.owner;
    return task.posted || request.list.now == detail::list_state::phase::ended;
}

void name_thread(const std::string& name) { pthread_setname_np(pthread_self(), name.c_str()); }

}  // namespace

thread_pool::state::state(pool_options given)
    : options((check(given), std::move(given))),
      workers(options.threads),
      parking(options.threads) {
    if (!options.logger) {
        options.logger = spdlog::default_logger();  // before any thread asks for it
    }
    for (const auto& queue : options.queues) {
        queues.emplace_back(queue, counts.emplace_back(options.threads),
                            [this] { wake_monitor(); });
    }
}

thread_pool::thread_pool(pool_options options)
    : state_(std::make_shared<state>(std::move(options))), records_(state_->records.get()) {
    state_->pool = this;
    for (auto& queue : state_->queues) {
        tickets_.push_back(&queue.tickets);
    }
    const without_signals masked;
    try {
        for (std::size_t i = 0; i < state_->workers.size(); ++i) {
            state_->workers[i].thread = std::thread([s = state_, i] {
                name_thread("postlude-" + std::to_string(i));
                s->work(i);
            });
        }
        state_->monitor_thread = std::thread([s = state_.get()] {
            name_thread("postlude-mon");
            s->monitor();
        });
    } catch (const std::exception& e) {
        const auto started = std::ranges::count_if(
            state_->workers, [](const auto& worker) { return worker.thread.joinable(); });
        end_threads();
        throw boost::system::system_error(
            errc::no_thread, "only " + std::to_string(started) + " of " +
                                 std::to_string(state_->workers.size()) +
                                 " workers could be started (" + e.what() +
                                 "); set pool_options::threads lower or raise the limit");
    }
}

thread_pool::~thread_pool() {
    drain(state_->options.drain);
    end_threads();
    state_->lose_waiting();
    shutdown();  // Asio's services: destroys what waits for timers and sockets
    state_->lose_waiting();
    destroy();
}

void thread_pool::end_threads() noexcept {
    constexpr std::chrono::seconds patience{1};
    auto& s = *state_;
    {
        const std::lock_guard lock(s.mutex);
        s.exiting.store(true);
        s.monitor_wakeup.notify_one();
    }
    s.parking.wake_all();
    if (s.monitor_thread.joinable()) {
        s.monitor_thread.join();
    }
    const auto deadline = detail::monitor_clock::now() + patience;
    for (auto& worker : s.workers) {
        if (!worker.thread.joinable()) {
            continue;
        }
        while (!worker.exited.load() && detail::monitor_clock::now() < deadline) {
            s.parking.wake_all();
            std::this_thread::sleep_for(std::chrono::microseconds(100));
        }
        if (worker.exited.load()) {
            worker.thread.join();
        } else {
            s.logger().error("a worker is left to itself: its task does not return");
            worker.thread.detach();
        }
    }
}

queue_id thread_pool::queue(std::string_view name) const {
    const auto& queues = state_->queues;
    for (std::size_t i = 0; i < queues.size(); ++i) {
        if (queues[i].options().name == name) {
            return static_cast<queue_id>(i);
        }
    }
    throw boost::system::system_error(errc::unknown_queue,
                                      "'" + std::string(name) + "' is not in pool_options::queues");
}

thread_pool::executor_type thread_pool::get_executor() noexcept { return {*this, queue_id{}}; }

thread_pool::executor_type thread_pool::get_executor(queue_id queue) {
    if (static_cast<std::size_t>(queue) >= tickets_.size()) {
        throw boost::system::system_error(errc::unknown_queue, "it belongs to another pool");
    }
    return {*this, queue};
}

postlude::counters thread_pool::counters(queue_id queue) const noexcept {
    const auto index = static_cast<std::size_t>(queue);
    return index < state_->queues.size() ? state_->queues[index].counters() : postlude::counters{};
}

postlude::counters thread_pool::counters() const noexcept {
    postlude::counters all;
    for (const auto& queue : state_->queues) {
        all += queue.counters();
    }
    return all;
}

std::vector<task_report> thread_pool::running() const { return state_->running(); }

unsigned thread_pool::threads() const noexcept { return state_->options.threads; }

void thread_pool::close() noexcept {
    for (auto* queue : tickets_) {
        queue->close();
    }
}

void thread_pool::submit(detail::task_slot* chain) noexcept {
    auto& s = *state_;
    std::array<detail::task_slot*, 64> batch;
    while (chain) {
        const auto queue = chain->queue;
        std::size_t n = 0;
        // A slot may be run and recycled once it is pushed, so its link is read before.
        for (; chain && chain->queue == queue && n < batch.size(); chain = chain->next) {
            assert(response_has_ended(*chain));
            batch[n++] = chain;
        }
        s.queues[static_cast<std::size_t>(queue)].push(batch.data(), n);
    }
    s.parking.wake_one();
    if (s.abandoned.load()) {
        s.lose_waiting();
    }
}

bool thread_pool::running_in_this_thread() const noexcept {
    return detail::current_worker.state == state_.get();
}

const queue_options& thread_pool::options_of(queue_id queue) const noexcept {
    return state_->queues[static_cast<std::size_t>(queue)].options();
}

std::string_view thread_pool::queue_name(queue_id queue) const noexcept {
    return state_->queues[static_cast<std::size_t>(queue)].options().name;
}

spdlog::logger& thread_pool::logger() const noexcept { return state_->logger(); }

}  // namespace postlude
