// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/pool/detail/record_store.hpp"

#include <utility>

namespace postlude::detail {

namespace {

void prefetch_for_write(const char* p) noexcept {
#ifdef __x86_64__
    // GCC's builtin asks for a copy to read, which a write then has to wait for once more.
    asm volatile("prefetchw %0" : : "m"(*p));
#else
    __builtin_prefetch(p, 1);
#endif
}

/// The lines of a record were last written by a worker: have them here before they are needed.
void prefetch(record* next) noexcept {
    if (next) {
        for (std::size_t line = 0; line < sizeof(record); line += 64) {
            prefetch_for_write(reinterpret_cast<const char*>(next) + line);
        }
    }
}

}  // namespace

/// What this thread took and has not used yet. It goes back when the thread ends, or when it
/// turns to another pool.
struct record_store::own_chain {
    std::shared_ptr<record_store> store;
    record* first = nullptr;

    own_chain() = default;
    own_chain(const own_chain&) = delete;
    own_chain& operator=(const own_chain&) = delete;
    ~own_chain() { give_up(); }

    void give_up() noexcept {
        if (auto* chain = std::exchange(first, nullptr)) {
            auto* last = chain;
            while (last->next) {
                last = last->next;
            }
            store->push(*chain, *last);
        }
        store.reset();
    }
};

record_store::own_chain& record_store::chain_of_this_thread() noexcept {
    static thread_local own_chain chain;
    return chain;
}

record_store::~record_store() {
    for (auto* r = all_.load(); r;) {
        delete std::exchange(r, r->all_next);
    }
}

record* record_store::take() {
    auto& own = chain_of_this_thread();
    if (own.store.get() != this) {
        own.give_up();
        own.store = shared_from_this();
    }
    if (!own.first) {
        own.first = returned_.exchange(nullptr, std::memory_order_acquire);
    }
    auto* r = own.first;
    if (r) {
        own.first = r->next;
        prefetch(own.first);
    } else {
        r = new record;
        r->all_next = all_.load(std::memory_order_relaxed);
        while (!all_.compare_exchange_weak(r->all_next, r)) {
        }
    }
    r->next = nullptr;
    r->refs.store(1, std::memory_order_release);
    return r;
}

void record_store::give_back(record& r) noexcept {
    auto* root = std::exchange(r.root, nullptr);
    r.used = 0;
    r.id_size = 0;
    r.list = {};
    push(r, r);
    if (root) {
        release(*root);
    }
}

void record_store::push(record& first, record& last) noexcept {
    last.next = returned_.load(std::memory_order_relaxed);
    while (!returned_.compare_exchange_weak(last.next, &first, std::memory_order_release,
                                            std::memory_order_relaxed)) {
    }
}

}  // namespace postlude::detail
