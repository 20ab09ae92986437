// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_BENCH_SUPPORT_POOLS_HPP
#define POSTLUDE_BENCH_SUPPORT_POOLS_HPP

#include "load.hpp"
#include "postlude/dispatch/deferred.hpp"

#include <tbb/global_control.h>
#include <tbb/task_arena.h>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>

#include <array>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <future>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

// Pools with one interface: `submit` runs a copy of f some time, `submit_list` list_size of them,
// in one go where the pool has a way for it. `settle` returns when the pool has nothing of earlier
// tasks left; call it when they have run.
namespace bench {

inline constexpr std::size_t list_size = 16;

/// More than any measurement keeps waiting, so that nothing is refused.
inline constexpr std::size_t pool_capacity = 1 << 18;

/// For a pool that has no way for lists.
template <class Pool, class F>
void submit_each(Pool& pool, const F& f) {
    for (std::size_t i = 0; i != list_size; ++i) {
        pool.submit(f);
    }
}

class postlude_pool {
public:
    static constexpr const char* name = "Postlude";
    static constexpr bool has_workers = true;

    explicit postlude_pool(unsigned threads) : dispatcher_(options(threads)) {}

    /// As work that no request has caused.
    template <class F>
    void submit(const F& f) {
        if (dispatcher_.try_run(f)) {
            fail("a task was refused");
        }
    }
    /// As the deferred work of one request.
    template <class F>
    void submit_request(const F& f, std::size_t tasks) {
        postlude::deferred after(dispatcher_);
        for (std::size_t i = 0; i != tasks; ++i) {
            after.run(f);
        }
        if (after.refused()) {
            fail("a task was refused");
        }
        postlude::pending_response response(after, 200);
        response.end({});
        response.release();
    }
    template <class F>
    void submit_list(const F& f) {
        submit_request(f, list_size);
    }
    void settle() {
        while (dispatcher_.counters().left != 0) {
            std::this_thread::yield();
        }
    }

private:
    static postlude::dispatcher_options options(unsigned threads) {
        postlude::dispatcher_options o;
        o.pool.threads = threads;
        o.pool.default_queue.capacity = pool_capacity;
        return o;
    }

    postlude::dispatcher dispatcher_;
};

class asio_pool {
public:
    static constexpr const char* name = "asio::thread_pool";
    static constexpr bool has_workers = true;

    explicit asio_pool(unsigned threads) : pool_(threads) {}
    template <class F>
    void submit(const F& f) {
        boost::asio::post(pool_, f);
    }
    template <class F>
    void submit_list(const F& f) {
        submit_each(*this, f);
    }
    void settle() {}

private:
    boost::asio::thread_pool pool_;
};

/// The arena has a slot for each worker and none for the thread that submits, which never waits
/// for the work and so never runs any: `enqueue` is oneTBB's way to fire and forget. A task_group
/// would have to be waited for, and costs twice as much.
class tbb_pool {
public:
    static constexpr const char* name = "oneTBB";
    static constexpr bool has_workers = true;

    explicit tbb_pool(unsigned threads)
        : allowed_(tbb::global_control::max_allowed_parallelism, threads + 1),
          arena_(static_cast<int>(threads), 0) {}
    template <class F>
    void submit(const F& f) {
        arena_.enqueue(f);
    }
    template <class F>
    void submit_list(const F& f) {
        submit_each(*this, f);
    }
    void settle() {}

private:
    tbb::global_control allowed_;
    tbb::task_arena arena_;
};

/// A thread for each task. The futures are kept, since their destructors wait.
class async_pool {
public:
    static constexpr const char* name = "std::async";
    static constexpr bool has_workers = false;

    explicit async_pool(unsigned) { futures_.reserve(4'096); }
    template <class F>
    void submit(const F& f) {
        futures_.push_back(std::async(std::launch::async, f));
    }
    template <class F>
    void submit_list(const F& f) {
        submit_each(*this, f);
    }
    void settle() { futures_.clear(); }

private:
    std::vector<std::future<void>> futures_;
};

/// What one writes in an hour.
class mutex_pool {
public:
    static constexpr const char* name = "mutex and condition variable";
    static constexpr bool has_workers = true;

    explicit mutex_pool(unsigned threads) {
        for (unsigned i = 0; i != threads; ++i) {
            threads_.emplace_back([this] { work(); });
        }
    }
    mutex_pool(const mutex_pool&) = delete;
    mutex_pool& operator=(const mutex_pool&) = delete;
    ~mutex_pool() {
        {
            const std::lock_guard lock(mutex_);
            stopped_ = true;
        }
        some_.notify_all();
        for (auto& thread : threads_) {
            thread.join();
        }
    }

    template <class F>
    void submit(const F& f) {
        std::function<void()> task(f);
        {
            const std::lock_guard lock(mutex_);
            tasks_.push_back(std::move(task));
        }
        some_.notify_one();
    }
    template <class F>
    void submit_list(const F& f) {
        std::array<std::function<void()>, list_size> list;
        list.fill(f);
        {
            const std::lock_guard lock(mutex_);
            for (auto& task : list) {
                tasks_.push_back(std::move(task));
            }
        }
        some_.notify_all();
    }
    void settle() {}

private:
    void work() {
        std::unique_lock lock(mutex_);
        for (;;) {
            some_.wait(lock, [this] { return stopped_ || !tasks_.empty(); });
            if (tasks_.empty()) {
                return;
            }
            auto task = std::move(tasks_.front());
            tasks_.pop_front();
            lock.unlock();
            task();
            task = nullptr;
            lock.lock();
        }
    }

    std::mutex mutex_;
    std::condition_variable some_;
    std::deque<std::function<void()>> tasks_;
    bool stopped_ = false;
    std::vector<std::thread> threads_;
};

}  // namespace bench

#endif
