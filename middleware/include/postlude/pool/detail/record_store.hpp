// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_POOL_DETAIL_RECORD_STORE_HPP
#define POSTLUDE_POOL_DETAIL_RECORD_STORE_HPP

#include "postlude/pool/detail/record.hpp"

#include <atomic>
#include <memory>

namespace postlude::detail {

/// The records of one pool. Threads that serve take them, workers give them back: a thread whose
/// own chain is empty takes all that were given back at once, so that neither side waits for the
/// other and no record is allocated anew once as many exist as are in use at one time.
class record_store : public std::enable_shared_from_this<record_store> {
public:
    record_store() = default;
    record_store(const record_store&) = delete;
    record_store& operator=(const record_store&) = delete;
    ~record_store();

    /// A record with one reference, no tasks and no id. Throws bad_alloc.
    record* take();

    /// Drops references; the last one gives the record back.
    void release(record& r, std::uint32_t references = 1) noexcept {
        if (r.refs.fetch_sub(references, std::memory_order_acq_rel) == references) {
            give_back(r);
        }
    }

private:
    struct own_chain;
    static own_chain& chain_of_this_thread() noexcept;

    void give_back(record& r) noexcept;
    void push(record& first, record& last) noexcept;

    alignas(64) std::atomic<record*> returned_{nullptr};
    std::atomic<record*> all_{nullptr};
};

}  // namespace postlude::detail

#endif
