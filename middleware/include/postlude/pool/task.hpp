// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_POOL_TASK_HPP
#define POSTLUDE_POOL_TASK_HPP

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <concepts>
#include <cstdint>
#include <source_location>
#include <stop_token>
#include <string>
#include <string_view>
#include <type_traits>

namespace postlude {

class thread_pool;
class task_context;

/// When a task of a request runs. `handled` and `failed` exclude each other; one of them holds.
enum class when : std::uint8_t {
    /// The handler succeeded (no exception, status below 400), whether or not the client got the
    /// answer.
    handled = 0,
    /// The handler succeeded and the last byte of the response was handed to the stream.
    sent = 1,
    /// The handler failed: status 400 or above, a refusal, or the list was destroyed without a
    /// response.
    failed = 2,
    /// Whatever happens.
    always = 3,
};

/// A name that costs nothing: a string literal, checked when it is compiled.
class task_name {
public:
    constexpr task_name() = default;
    template <std::size_t N>
    consteval task_name(const char (&literal)[N]) : text_(literal) {}  // NOLINT: meant to convert
    constexpr const char* c_str() const noexcept { return text_; }

private:
    const char* text_ = nullptr;
};

/// Names one queue of one pool; got from `thread_pool::queue`. The default value is the default
/// queue.
enum class queue_id : std::uint8_t {};

/// What may be said of a task when it is registered; `{.when = when::sent, .name = "audit"}`.
struct task_options {
    postlude::when when = postlude::when::handled;
    /// For logs and metrics; the place of the call when none is given.
    task_name name{};
    queue_id queue{};
    /// Milliseconds, up to 49 days; 0 takes the queue's limit. Looked at as often as the queues'
    /// own limits ask for, once a second at the least.
    std::chrono::duration<std::uint32_t, std::milli> run_limit{0};
};

/// A callable that can be a task: move-only will do; `void()`, `void(task_context&)`, or either
/// of them returning `boost::asio::awaitable<void>`.
template <class F>
concept task_function =
    std::move_constructible<std::decay_t<F>> && std::constructible_from<std::decay_t<F>, F> &&
    (std::invocable<std::decay_t<F>&> || std::invocable<std::decay_t<F>&, task_context&>);

namespace detail {
struct run_control;
struct task_slot;
}  // namespace detail

/// What a running task knows and may ask for. It belongs to the pool and lives as long as the
/// task runs; for a coroutine, until it returns. Used by the task alone, on its own thread.
class task_context {
public:
    task_context(thread_pool& pool, detail::task_slot& slot, detail::run_control& control,
                 std::uint64_t run) noexcept
        : pool_(&pool), slot_(&slot), control_(&control), run_(run) {}
    task_context(const task_context&) = delete;
    task_context& operator=(const task_context&) = delete;

    /// The name given at registration, else the place of the call as "file.cpp:42". Allocates.
    std::string name() const;
    /// The id of the request that caused this task; empty when none did.
    std::string_view request_id() const noexcept;
    thread_pool& pool() const noexcept { return *pool_; }

    /// True once the task ran past its limit or the pool is near the end of its drain. Lock-free.
    bool stop_requested() const noexcept;
    /// The same as a std::stop_token, for libraries that take one. Allocates when first called.
    std::stop_token stop_token() const;
    /// A place where the task may stop: throws system_error(errc::task_stopped) when it was asked
    /// to.
    void checkpoint() const;

    /// Registers more work, under this task's request id. Ready at once; `options.when` is not
    /// looked at. Returns errc::full or errc::stopped, and then nothing was registered.
    template <task_function F>
    [[nodiscard]] boost::system::error_code try_run(
        F&& f, task_options options = {},
        std::source_location where = std::source_location::current());

private:
    thread_pool* pool_;
    detail::task_slot* slot_;
    detail::run_control* control_;
    std::uint64_t run_;
};

}  // namespace postlude

#endif
