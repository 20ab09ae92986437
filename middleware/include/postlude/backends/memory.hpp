// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_BACKENDS_MEMORY_HPP
#define POSTLUDE_BACKENDS_MEMORY_HPP

#include "postlude/backends/backend.hpp"

#include <cstdint>
#include <functional>
#include <memory>

namespace postlude {

/// A store in this process's memory: for tests, and the conformance suite's measure of the others.
/// Backends made from the same one share its jobs, as processes share a file.
class memory_store {
public:
    /// @param clock what the store takes for the time; the system's, where none is given. Called
    /// from any thread.
    explicit memory_store(std::function<store_time()> clock = {});
    ~memory_store();
    memory_store(memory_store&&) noexcept;
    memory_store& operator=(memory_store&&) noexcept;

    /// One process's view of the store; either may outlive the other.
    std::unique_ptr<backend> connect();
    /// Looks again at the clock, where a test has set it.
    void wake();
    /// Takes an owner for dead from now on, as if its process had been killed: it gives nothing
    /// back, its next calls throw errc::store_unavailable, and `rescue` takes its jobs at once.
    void kill(std::uint32_t owner);

    struct state;

private:
    std::shared_ptr<state> state_;
};

}  // namespace postlude

#endif
