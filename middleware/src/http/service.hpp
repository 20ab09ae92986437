// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_HTTP_SERVICE_HPP
#define POSTLUDE_SRC_HTTP_SERVICE_HPP

#include "http/pace.hpp"
#include "http/route_table.hpp"
#include "http/transports.hpp"
#include "http/turn.hpp"
#include "postlude/http/router.hpp"
#include "postlude/http/server.hpp"

#include <boost/intrusive/list.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

namespace postlude::http::detail {

class session;

/// The connections that are open. From any thread.
class session_registry {
public:
    session_registry();
    ~session_registry();
    void add(session& s);
    void remove(session& s) noexcept;
    std::size_t size() const noexcept { return size_.load(std::memory_order_relaxed); }
    /// Those alive at this moment.
    std::vector<std::shared_ptr<session>> all() const;
    /// Has each one whose time is over end what it waits for.
    void expire_overdue() const;
    /// Has those closed that have been silent between requests for the longest time, unless they
    /// are about to read a request. Returns how many there were, at most `most`.
    std::size_t evict(std::size_t most) const;

private:
    struct members;
    template <class Predicate>
    std::vector<std::shared_ptr<session>> pick(const Predicate& predicate) const;

    mutable std::mutex mutex_;
    std::unique_ptr<members> members_;
    std::atomic<std::size_t> size_{0};
};

/// What the sessions of a server share. Outlives them.
struct service {
    explicit service(server_options o)
        : options(std::move(o)), work(std::move(options.dispatcher)) {
        if (options.tls) {
            identity.emplace(*options.tls);
        } else if (options.threads == 1) {
            together.emplace();
        }
    }
    void stream(verb method, std::string_view pattern, exchange_handler h) {
        routes.table_->add(method, pattern, std::move(h));
    }
    spdlog::logger& log() noexcept { return work.pool().logger(); }

    server_options options;  ///< without its `dispatcher`, which `work` has taken over
    dispatcher work;
    router routes;
    std::optional<tls_identity> identity;
    session_registry sessions;
    /// None where several threads serve, and for TLS, whose writes cannot be done at once.
    std::optional<turn> together;
    std::atomic<bool> stopping{false};

    struct {
        std::atomic<std::uint64_t> accepted{0}, refused{0}, evicted{0}, requests{0}, malformed{0},
            timed_out{0};
    } counts;
};

}  // namespace postlude::http::detail

#endif
