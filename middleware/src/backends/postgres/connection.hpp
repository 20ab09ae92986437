// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_BACKENDS_POSTGRES_CONNECTION_HPP
#define POSTLUDE_SRC_BACKENDS_POSTGRES_CONNECTION_HPP

#include "backends/postgres/failure.hpp"
#include "backends/postgres/values.hpp"

#include <chrono>
#include <functional>
#include <initializer_list>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

namespace postlude::detail::postgres {

struct host {
    std::string name, address, port;
};

/// Where a store is.
struct place {
    std::string url;
    std::string shown;  ///< the URL without its password
    std::string schema;
    std::chrono::milliseconds timeout{};
    /// A connection is lent for a transaction: nothing of a session lasts.
    bool pooled = false;
    /// Of its URL, if that names several; else one without anything, for what the URL has.
    std::vector<host> hosts = std::vector<host>(1);

    /// SQL in which @ stands for the schema and a full stop.
    std::string sql(std::string_view text) const;
    [[noreturn]] void fail(errc code, std::string_view why) const {
        postgres::fail(code, shown, why);
    }
};

/// A statement that is sent: its text and values. The text outlives the call.
struct command {
    const std::string& sql;
    parameters values{};
    bool once = false;  ///< not worth to be prepared
};

/// A connection that is made when it is needed, and again when it was lost. One thread at a time.
class connection {
public:
    using clock = std::chrono::steady_clock;
    using starter = std::function<void(connection&)>;

    /// @param settings of a session, as "name=value".
    /// @param start what else a new connection needs; may call `run`.
    connection(const place& where, std::vector<std::string> settings, starter start = {},
               int patience = 1)
        : place_(where),
          settings_(std::move(settings)),
          start_(std::move(start)),
          timeout_(where.timeout * patience) {}
    connection(const connection&) = delete;
    connection& operator=(const connection&) = delete;
    ~connection() { close(); }

    /// Runs these as one transaction with one Sync: all of them or none. What each returned.
    /// Throws broken or refused. A transaction that one of these began, or one of a call before,
    /// is over then.
    std::vector<rows> run(std::span<const command> commands);
    std::vector<rows> run(std::initializer_list<command> commands) {
        return run(std::span(commands.begin(), commands.size()));
    }
    rows run(const std::string& sql, parameters values = {}) {
        return std::move(run({command{sql, std::move(values)}}).front());
    }

    /// Rolls back what a BEGIN has left open, if anything; where that fails, closes the connection.
    void leave_transaction() noexcept;

    /// Connects if it is not so; throws.
    void connect();
    /// For poll(); -1 when there is none.
    int socket() const noexcept { return pg_ ? PQsocket(pg_) : -1; }
    /// From now on the server tells what is sent to that channel by NOTIFY, but for what has this
    /// text.
    void listen(const std::string& channel, std::string but_for);
    /// Takes what the server has told; what is left lying keeps it from telling others.
    void hear();
    /// Likewise. True when it has told something since the last time, or when the connection is
    /// gone, and with it what would have come.
    bool has_heard();

    PGconn* handle() const noexcept { return pg_; }
    /// How often it was made.
    unsigned count() const noexcept { return count_; }
    /// When it was made anew after it was lost.
    clock::time_point made_anew() const noexcept { return made_anew_; }

private:
    struct exchange;

    void note_notices();
    void close() noexcept;
    void open();
    void open(const host& at, clock::duration share);
    void set_up();
    bool is_there();
    void send(exchange& e, std::span<const command> commands);
    void send_text(const std::string& sql, const parameters& values);
    void send_prepared(exchange& e, const command& c);
    void sync();
    void receive(exchange& e);
    void take(exchange& e, PGresult* result);
    void wait(clock::time_point until, short events, bool sent);
    [[noreturn]] void lost(bool sent);
    [[noreturn]] void fail_to_connect();

    const place& place_;
    std::vector<std::string> settings_;
    starter start_;
    std::chrono::milliseconds timeout_;
    std::string local_settings_;
    PGconn* pg_ = nullptr;
    std::unordered_map<std::string, std::string> prepared_;  ///< the names of statements
    std::size_t next_name_ = 0;
    bool starting_ = false;
    std::string but_for_;
    bool heard_ = false;
    unsigned count_ = 0;
    clock::time_point made_anew_{};
};

}  // namespace postlude::detail::postgres

#endif
