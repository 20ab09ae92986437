// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_BACKENDS_SQLITE_CHECKPOINTER_HPP
#define POSTLUDE_SRC_BACKENDS_SQLITE_CHECKPOINTER_HPP

#include "backends/sqlite/database.hpp"
#include "postlude/backends/sqlite.hpp"

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <thread>

namespace postlude::detail::sqlite {

/// Moves what is in the write-ahead log into the database, on a thread and a connection of its own:
/// within a commit it would cost that commit milliseconds. While commits go on, the log is never
/// empty at the end of it, so it would grow for ever; from an eighth of its longest size on, a
/// short rest is moved while nobody writes, after which the next commit begins the log anew.
class checkpointer {
public:
    /// `write` is held by whoever writes through `writer`. Both outlive this.
    checkpointer(const sqlite_options& options, connection& writer, std::mutex& write);
    checkpointer(const checkpointer&) = delete;
    checkpointer& operator=(const checkpointer&) = delete;
    ~checkpointer();

    /// To be called with `write` held, before a transaction. Waits when the log has reached its
    /// longest size; not for longer than a moment, if somebody's open transaction needs the log.
    void make_room();

private:
    static int after_commit(void* self, sqlite3* db, const char* name, int pages) noexcept;
    void run() noexcept;
    void advance();
    bool start_anew();
    void begin_anew() noexcept;
    int step() const noexcept;
    std::size_t bytes(int pages) const noexcept { return static_cast<std::size_t>(pages) * page_; }

    connection& writer_;
    std::mutex& write_;
    const std::size_t longest_;
    const std::size_t anew_at_;
    std::mutex own_;  ///< of own_connection_; taken after write_
    connection own_connection_;
    std::size_t page_;
    std::atomic<int> pages_{0};       ///< in the log, after the last commit
    std::atomic<int> next_{0};        ///< from how many on to move them
    std::atomic<std::size_t> bound_;  ///< bytes at which a commit waits
    std::mutex mutex_;
    std::condition_variable wake_;
    bool stop_ = false;
    std::thread thread_;
};

}  // namespace postlude::detail::sqlite

#endif
