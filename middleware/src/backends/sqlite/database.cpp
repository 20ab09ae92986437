// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/sqlite/database.hpp"

#include "backends/sqlite/failure.hpp"

#include <time.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <random>
#include <thread>

namespace postlude::detail::sqlite {

namespace {

/// What is wrong and what to do, for people.
struct explanation {
    errc code;
    const char* text;
};

explanation explain(int code, int system_error) {
    if (system_error == ENOSPC || system_error == EDQUOT) {
        code = SQLITE_FULL;
    }
    switch (code & 0xff) {
    case SQLITE_FULL:
        return {errc::store_unavailable,
                "its disk is full, or a quota is reached; make room, nothing else is needed"};
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return {
            errc::store_unavailable,
            "another process has held its lock for longer than busy_timeout; look for a program "
            "with a transaction that it does not end"};
    case SQLITE_READONLY:
        return {errc::store_unavailable,
                "it can't be written; give this process's user write permission for it and for its "
                "directory"};
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return {errc::store_unavailable,
                "it can't be opened; give this process's user read and write permission for it and "
                "for its directory, and look at its limit of open files"};
    case SQLITE_NOTADB:
        return {errc::bad_store,
                "it is no SQLite database; name another file, or move this one away"};
    case SQLITE_CORRUPT:
        return {errc::bad_store,
                "it is damaged; stop all that use it, keep a copy of it and of its -wal file, and "
                "recover what can be with '.recover' of the sqlite3 program"};
    case SQLITE_ERROR:
    case SQLITE_MISMATCH:
        return {errc::bad_store,
                "its tables are not as this version of Postlude has made them; undo what was "
                "changed in them, or use the version that changed them"};
    default:
        return {errc::store_unavailable,
                "it can't be read or written; look at its disk and the system's log"};
    }
}

}  // namespace

connection::connection(const std::filesystem::path& file, std::chrono::milliseconds busy_timeout)
    : file_(file), busy_{busy_timeout, {}, std::random_device{}() | 1U} {
    sqlite3* handle = nullptr;
    const auto code = sqlite3_open_v2(
        file_.c_str(), &handle,
        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
        nullptr);
    handle_.reset(handle);
    check(code);
    sqlite3_busy_handler(handle, &connection::on_busy, &busy_);
}

// SQLite's own sleeps up to 100 ms, so the one who waits longest is the last to get the lock.
int connection::on_busy(void* state, int count) noexcept {
    auto& busy = *static_cast<busy_state*>(state);
    const auto now = std::chrono::steady_clock::now();
    if (count == 0) {
        busy.since = now;
    }
    if (now - busy.since >= busy.timeout) {
        return 0;
    }
    busy.random ^= busy.random << 13;
    busy.random ^= busy.random >> 17;
    busy.random ^= busy.random << 5;
    const auto longest =
        std::min<std::uint32_t>(100 + 50 * static_cast<std::uint32_t>(count), 2000);
    std::this_thread::sleep_for(std::chrono::microseconds(50 + busy.random % longest));
    return 1;
}

void connection::execute(const char* sql) {
    check(sqlite3_exec(handle(), sql, nullptr, nullptr, nullptr));
}

std::int64_t connection::integer(const char* sql) {
    statement query(*this, sql);
    return query.step() ? query.integer(0) : 0;
}

std::string connection::text(const char* sql) {
    statement query(*this, sql);
    return query.step() ? std::string(query.text(0)) : std::string();
}

void connection::fail(int code) const {
    if ((code & 0xff) == SQLITE_NOMEM) {
        throw std::bad_alloc();
    }
    auto* db = handle();
    const auto meaning = explain(code, db ? sqlite3_system_errno(db) : 0);
    auto text = std::string(meaning.text).append(" (SQLite: ");
    text.append(db && sqlite3_errcode(db) != SQLITE_OK ? sqlite3_errmsg(db) : sqlite3_errstr(code));
    text.append(")");
    sqlite::fail(meaning.code, file_, text);
}

void connection::set_synced(bool synced) {
    const auto wanted = synced ? 2 : 1;
    if (wanted != synchronous_) {
        execute(synced ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
        synchronous_ = wanted;
    }
}

void connection::roll_back() noexcept {
    // One that is left at a row would keep its snapshot, and the log from ever starting anew.
    for (auto* s = sqlite3_next_stmt(handle(), nullptr); s; s = sqlite3_next_stmt(handle(), s)) {
        sqlite3_reset(s);
    }
    if (sqlite3_get_autocommit(handle()) == 0) {
        sqlite3_exec(handle(), "ROLLBACK", nullptr, nullptr, nullptr);
    }
}

statement::statement(connection& on, const char* sql) : on_(&on) {
    sqlite3_stmt* handle = nullptr;
    on.check(sqlite3_prepare_v3(on.handle(), sql, -1, SQLITE_PREPARE_PERSISTENT, &handle, nullptr));
    handle_.reset(handle);
}

bool statement::ended(int code) {
    if (code != SQLITE_DONE) {
        // Not reset first: that would forget the message. Whoever catches rolls back.
        try {
            on_->fail(code);
        } catch (...) {
            reset();
            throw;
        }
    }
    reset();
    return false;
}

bool statement::run_unless_present() {
    const auto code = sqlite3_step(handle_.get());
    if (code == SQLITE_CONSTRAINT_PRIMARYKEY || code == SQLITE_CONSTRAINT_ROWID) {
        reset();
        return false;
    }
    ended(code);
    return true;
}

std::string_view statement::text(int column) const noexcept {
    const auto* text = sqlite3_column_text(handle_.get(), column);
    const auto size = sqlite3_column_bytes(handle_.get(), column);
    return text ? std::string_view(reinterpret_cast<const char*>(text),
                                   static_cast<std::size_t>(size))
                : std::string_view();
}

transaction::transaction(connection& on, bool synced) : on_(on) {
    on_.set_synced(synced);
    on_.execute("BEGIN IMMEDIATE");
}

void transaction::commit() {
    on_.execute("COMMIT");
    open_ = false;
}

std::int64_t lease_now() noexcept {
    timespec t{};
    ::clock_gettime(CLOCK_MONOTONIC, &t);
    return std::int64_t{t.tv_sec} * 1'000'000 + t.tv_nsec / 1000;
}

}  // namespace postlude::detail::sqlite
