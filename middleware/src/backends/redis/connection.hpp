// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_BACKENDS_REDIS_CONNECTION_HPP
#define POSTLUDE_SRC_BACKENDS_REDIS_CONNECTION_HPP

#include "backends/redis/reply.hpp"
#include "backends/redis/scripts.hpp"
#include "backends/redis/transport.hpp"

#include <array>
#include <span>
#include <string>

namespace postlude::detail::redis {

/// The owner's token is not the server's any more: to be entered anew, and the call made again.
struct owner_lost {};

/// Whether what is published comes.
enum class listening { yes, not_now, not_allowed };

/// One connection, made by the first call that needs it and again after it broke. Whoever shares it
/// between threads has a mutex for it.
class connection {
public:
    explicit connection(const location& to) : to_(to) {}

    /// The server's answer, an error too. Throws as `location::fail` does, and then the connection
    /// is closed.
    reply call(const command& c, deadline until);
    /// Throws `owner_lost`, and what an error of the server's means, except for those that begin
    /// with POSTLUDE.
    reply run(script& s, const command& arguments, deadline until);
    /// The command that runs it, which the server may have forgotten by then.
    command prepare(script& s, const command& arguments, deadline until);
    /// All of them between MULTI and EXEC, in one message; answers an array with an answer for
    /// each, which may be an error. Throws what it means when none of them was done.
    reply run_together(std::span<const command> commands, deadline until);
    /// Throws what an error means that the server has answered instead of doing something.
    [[noreturn]] void refuse(std::string_view error);
    /// Whether the last call failed after it had been sent: nobody knows whether it was done.
    bool in_doubt() const noexcept { return in_doubt_; }
    /// Says so of a call that was answered, and not as it should be.
    void doubt() noexcept { in_doubt_ = true; }
    /// Whether the server refused the last script or transaction because its memory is full.
    bool was_full() const noexcept { return was_full_; }
    bool is_open() const noexcept { return transport_ != nullptr; }

    /// From now on the server sends what is published there, unless it has refused that; connects
    /// when it is necessary.
    listening subscribe(const std::string& channel, deadline until);
    /// What a subscribed connection is polled for; -1 when it is closed.
    int descriptor() const noexcept { return transport_ ? transport_->descriptor() : -1; }
    /// Takes what has come; closes the connection when it is at its end.
    void drain() noexcept;
    void close() noexcept;
    /// What it means that the server is a replica: at first the wrong URL, later a failover.
    void expect_primary(bool once_seen) noexcept {
        if_replica_ = once_seen ? errc::store_unavailable : errc::bad_store;
    }

private:
    void connect(deadline until);
    void greet(deadline until);
    bool stale() const noexcept;
    void begin(deadline until);
    void send(deadline until);
    void send(const command& c, deadline until);
    reply receive(deadline until);
    std::string load(script& s, deadline until);

    struct free_reader {
        void operator()(redisReader* r) const noexcept { redisReaderFree(r); }
    };
    const location& to_;
    std::unique_ptr<transport> transport_;
    std::unique_ptr<redisReader, free_reader> reader_;
    std::array<char, 64 * 1024> buffer_;
    std::string outgoing_;
    bool in_doubt_ = false;
    bool was_full_ = false;
    bool subscribed_ = false;
    errc if_replica_ = errc::store_unavailable;
};

}  // namespace postlude::detail::redis

#endif
