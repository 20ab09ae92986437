// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_POOL_DETAIL_RECORD_HPP
#define POSTLUDE_POOL_DETAIL_RECORD_HPP

#include "postlude/core/request_id.hpp"
#include "postlude/pool/task.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace postlude::detail {

struct job;
struct record;
struct task_slot;

/// What a slot can do, by the type of its callable. Exactly one of `invoke` and `start` is set.
struct task_ops {
    void (*invoke)(task_slot&, task_context&);
    boost::asio::awaitable<void> (*start)(task_slot&, task_context&);
    void (*destroy)(task_slot&) noexcept;
};

/// One task where it was registered, ran and will be destroyed: it never moves. Only its address
/// goes through the queues. 96 bytes, of which 48 hold the captures; larger ones are on the heap.
struct task_slot {
    static constexpr std::size_t inline_size = 48;

    const task_ops* ops = nullptr;
    task_slot* next = nullptr;  ///< in the request's list, then in the chain that is released
    record* owner = nullptr;    ///< set once, when the record is made
    std::source_location where;
    const char* name = nullptr;
    std::uint32_t run_limit_ms = 0;
    queue_id queue{};
    postlude::when condition{};
    bool posted = false;  ///< came through the executor: holds no place in the queue's capacity
    bool kept = false;    ///< runs a job: whoever made it sees to it when a drain gives it up
    alignas(16) std::array<std::byte, inline_size> storage;

    /// The given name, or "file.cpp:42".
    std::string display_name() const;
};
static_assert(sizeof(task_slot) == 96);

/// The state of a request's list. Only the thread that holds the request touches it; the pool
/// does not look at it.
struct list_state {
    enum class phase : std::uint8_t {
        open,        ///< no response yet
        storing,     ///< its jobs are being stored, before the response
        responding,  ///< a response is being written
        ended,       ///< the outcome is known; what comes late goes straight to the workers
    };

    task_slot* last = nullptr;  ///< the list, newest first
    record* fill = nullptr;  ///< the record with free slots; holds one reference when not the root
    std::vector<std::shared_ptr<job>>* jobs = nullptr;  ///< owned; null when there are none
    std::uint32_t spare = 0;                            ///< places reserved and not used yet
    std::uint8_t shared = 0;  ///< slots of the root whose tasks have a reference of their own
    queue_id spare_queue{};
    phase now = phase::open;
    bool refused : 1 = false;  ///< a refusal that the response has to tell
    bool handled : 1 = false;  ///< the outcome, once ended
    bool sent : 1 = false;
    bool head : 1 = false;       ///< of the request: its method was HEAD
    bool http10 : 1 = false;     ///< of the request: HTTP/1.0
    bool keep_alive : 1 = true;  ///< of the request
};
static_assert(sizeof(list_state) <= 32);

/// The memory of one request: its id, the state of its list, and its first tasks. More tasks
/// take further records, which point to the request's own as `root`. Records are recycled and
/// are freed only with the pool, so that the monitor may look at one that has just ended.
///
/// Each task that was released, each handle (a `deferred`, a response being written) and each
/// record that has this one as root counts as one reference.
struct alignas(64) record {
    static constexpr std::size_t slot_count = 4;
    static constexpr std::size_t id_capacity = max_request_id;

    std::atomic<std::uint32_t> refs{0};
    std::uint8_t used = 0;  ///< slots taken since the record was last recycled
    std::uint8_t id_size = 0;
    record* root = nullptr;  ///< null when this is the request's own
    record* all_next = nullptr;
    record* next = nullptr;  ///< among the unused ones
    list_state list;

    std::array<char, id_capacity> id;
    std::array<task_slot, slot_count> slots;

    record() noexcept {
        for (auto& slot : slots) {
            slot.owner = this;
        }
    }
    std::string_view request_id() const noexcept {
        const record& r = root ? *root : *this;
        return {r.id.data(), r.id_size};
    }
};

static_assert(sizeof(record) == 512);

template <class F>
inline constexpr bool fits_inline =
    sizeof(F) <= task_slot::inline_size && alignof(F) <= 16 && std::is_nothrow_destructible_v<F>;

/// The callable of a slot, inline or through a pointer.
template <class F>
F& callable(task_slot& slot) noexcept {
    void* p = slot.storage.data();
    if constexpr (fits_inline<F>) {
        return *std::launder(static_cast<F*>(p));
    } else {
        return **std::launder(static_cast<std::unique_ptr<F>*>(p));
    }
}

template <class F>
decltype(auto) call(task_slot& slot, task_context& context) {
    if constexpr (std::invocable<F&, task_context&>) {
        return std::invoke(callable<F>(slot), context);
    } else {
        return std::invoke(callable<F>(slot));
    }
}

template <class F>
void destroy(task_slot& slot) noexcept {
    if constexpr (fits_inline<F>) {
        std::destroy_at(&callable<F>(slot));
    } else {
        std::destroy_at(std::launder(reinterpret_cast<std::unique_ptr<F>*>(slot.storage.data())));
    }
}

template <class F>
using call_result = decltype(call<F>(std::declval<task_slot&>(), std::declval<task_context&>()));

template <class F>
inline constexpr bool is_coroutine = std::same_as<call_result<F>, boost::asio::awaitable<void>>;

template <class F>
constexpr task_ops make_task_ops() {
    if constexpr (is_coroutine<F>) {
        return {nullptr, [](task_slot& s, task_context& c) { return call<F>(s, c); }, &destroy<F>};
    } else {
        return {[](task_slot& s, task_context& c) { static_cast<void>(call<F>(s, c)); }, nullptr,
                &destroy<F>};
    }
}

template <class F>
inline constexpr task_ops ops_of = make_task_ops<F>();

/// Puts the callable into a slot that holds none. What its constructor throws leaves the slot so.
template <class F>
void construct(task_slot& slot, F&& f) {
    using callable_type = std::decay_t<F>;
    if constexpr (fits_inline<callable_type>) {
        std::construct_at(reinterpret_cast<callable_type*>(slot.storage.data()),
                          std::forward<F>(f));
    } else {
        std::construct_at(reinterpret_cast<std::unique_ptr<callable_type>*>(slot.storage.data()),
                          std::make_unique<callable_type>(std::forward<F>(f)));
    }
    slot.ops = &ops_of<callable_type>;
}

}  // namespace postlude::detail

#endif
