// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_POOL_RUN_CONTROL_HPP
#define POSTLUDE_SRC_POOL_RUN_CONTROL_HPP

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <stop_token>

namespace postlude::detail {

/// The runs of one worker, or the single run of a coroutine: which one is on, whether it was
/// asked to stop, and who decides what became of it. Runs are numbered by odd numbers, the rest
/// between them by even ones, so that a late request to stop cannot hit the next run.
struct run_control {
    static constexpr std::uint64_t given_up = std::uint64_t{1} << 63;

    std::atomic<std::uint64_t> run{0};
    std::atomic<std::uint64_t> stop_at{0};

    /// Only its own thread calls it.
    std::uint64_t begin() noexcept {
        const auto number = run.load(std::memory_order_relaxed) + 1;
        run.store(number, std::memory_order_release);
        return number;
    }

    /// Ends a run. False if it was given up before: then somebody else has counted it.
    bool finish(std::uint64_t number) noexcept {
        if (has_source_) {
            const std::lock_guard lock(mutex_);
            source_.reset();
            has_source_ = false;
        }
        return run.compare_exchange_strong(number, number + 1);
    }

    /// Takes the decision away from the run. False if it has ended.
    bool give_up(std::uint64_t number) noexcept {
        return run.compare_exchange_strong(number, number | given_up);
    }

    static bool is_running(std::uint64_t number) noexcept {
        return (number & 1) != 0 && (number & given_up) == 0;
    }

    bool stop_requested(std::uint64_t number) const noexcept {
        return stop_at.load(std::memory_order_relaxed) == number;
    }

    void request_stop(std::uint64_t number) {
        std::optional<std::stop_source> source;
        {
            const std::lock_guard lock(mutex_);
            if (run.load() == number) {
                stop_at.store(number);
                source = source_;
            }
        }
        if (source) {
            source->request_stop();  // runs callbacks of the task's: not under the mutex
        }
    }

    /// Only the run itself calls it.
    std::stop_token token(std::uint64_t number) {
        const std::lock_guard lock(mutex_);
        if (!source_) {
            source_.emplace();
            has_source_ = true;
            if (stop_requested(number)) {
                source_->request_stop();
            }
        }
        return source_->get_token();
    }

private:
    std::mutex mutex_;
    std::optional<std::stop_source> source_;
    bool has_source_ = false;  ///< touched by the run's thread only, so that most runs take no lock
};

}  // namespace postlude::detail

#endif
