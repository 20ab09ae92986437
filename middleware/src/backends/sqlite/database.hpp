// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_BACKENDS_SQLITE_DATABASE_HPP
#define POSTLUDE_SRC_BACKENDS_SQLITE_DATABASE_HPP

#include "postlude/jobs/record.hpp"

#include <sqlite3.h>

#include <chrono>
#include <concepts>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace postlude::detail::sqlite {

/// One handle of SQLite's. Whoever shares it between threads has a mutex for it.
class connection {
public:
    /// Makes the file if there is none. Waits for locks of others for `busy_timeout`. Throws as
    /// `check` does.
    connection(const std::filesystem::path& file, std::chrono::milliseconds busy_timeout);
    connection(const connection&) = delete;
    connection& operator=(const connection&) = delete;
    ~connection() = default;

    sqlite3* handle() const noexcept { return handle_.get(); }
    const std::filesystem::path& file() const noexcept { return file_; }

    /// Runs statements that return nothing of interest.
    void execute(const char* sql);
    /// The first column of the first row; 0 without one.
    std::int64_t integer(const char* sql);
    std::string text(const char* sql);

    /// Throws what a result code of this handle's means, unless it means success: system_error with
    /// errc::store_unavailable or errc::bad_store, or bad_alloc.
    void check(int code) const {
        if (code != SQLITE_OK) {
            fail(code);
        }
    }
    [[noreturn]] void fail(int code) const;

    /// Whether commits are synced (synchronous=FULL), from the next transaction on.
    void set_synced(bool synced);
    /// Ends what a transaction has left open, and every statement that is not at its end.
    void roll_back() noexcept;

private:
    struct close {
        void operator()(sqlite3* db) const noexcept { sqlite3_close_v2(db); }
    };
    struct busy_state {
        std::chrono::milliseconds timeout;
        std::chrono::steady_clock::time_point since;
        std::uint32_t random = 1;
    };
    static int on_busy(void* state, int count) noexcept;

    std::filesystem::path file_;
    busy_state busy_;
    std::unique_ptr<sqlite3, close> handle_;
    int synchronous_ = -1;
};

/// A prepared statement, to be kept. Text that is bound is not copied: it has to live until the
/// statement is reset. Columns count from 0, and text of theirs lives until the next step.
class statement {
public:
    statement(connection& on, const char* sql);

    template <class... Values>
    statement& bind(const Values&... values) {
        sqlite3_reset(handle_.get());
        int at = 0;
        (on_->check(bind_one(++at, values)), ...);
        return *this;
    }
    /// True while there is a row. At the end, and before it throws, the statement is reset.
    bool step() {
        const auto code = sqlite3_step(handle_.get());
        return code == SQLITE_ROW || ended(code);
    }
    /// For what returns no rows. Returns how many it has changed.
    int run() {
        while (step()) {
        }
        return sqlite3_changes(sqlite3_db_handle(handle_.get()));
    }
    /// run; false when the primary key exists already.
    bool run_unless_present();
    void reset() noexcept { sqlite3_reset(handle_.get()); }

    bool is_null(int column) const noexcept {
        return sqlite3_column_type(handle_.get(), column) == SQLITE_NULL;
    }
    template <class Number = std::int64_t>
    Number integer(int column) const noexcept {
        return static_cast<Number>(sqlite3_column_int64(handle_.get(), column));
    }
    store_time time(int column) const noexcept {
        return store_time(store_time::duration(integer(column)));
    }
    std::optional<store_time> optional_time(int column) const noexcept {
        return is_null(column) ? std::nullopt : std::optional(time(column));
    }
    std::string_view text(int column) const noexcept;

private:
    struct finalize {
        void operator()(sqlite3_stmt* s) const noexcept { sqlite3_finalize(s); }
    };
    template <std::integral Number>
    int bind_one(int at, Number value) noexcept {
        return sqlite3_bind_int64(handle_.get(), at, static_cast<sqlite3_int64>(value));
    }
    template <class Enum>
        requires std::is_enum_v<Enum>
    int bind_one(int at, Enum value) noexcept {
        return bind_one(at, static_cast<std::underlying_type_t<Enum>>(value));
    }
    int bind_one(int at, store_time value) noexcept {
        return bind_one(at, value.time_since_epoch().count());
    }
    int bind_one(int at, std::string_view value) noexcept {
        // A null pointer would be NULL.
        return sqlite3_bind_text64(handle_.get(), at, value.empty() ? "" : value.data(),
                                   value.size(), SQLITE_STATIC, SQLITE_UTF8);
    }
    template <class T>
    int bind_one(int at, const std::optional<T>& value) noexcept {
        return value ? bind_one(at, *value) : sqlite3_bind_null(handle_.get(), at);
    }
    bool ended(int code);

    connection* on_;
    std::unique_ptr<sqlite3_stmt, finalize> handle_;
};

/// A write transaction from its construction on; rolled back unless committed. The holder has the
/// connection for itself meanwhile.
class transaction {
public:
    transaction(connection& on, bool synced);
    transaction(const transaction&) = delete;
    transaction& operator=(const transaction&) = delete;
    ~transaction() {
        if (open_) {
            on_.roll_back();
        }
    }
    void commit();

private:
    connection& on_;
    bool open_ = true;
};

/// Empty text as NULL, which takes no room.
inline std::optional<std::string_view> unless_empty(std::string_view text) {
    return text.empty() ? std::nullopt : std::optional(text);
}

/// The store's clock: this machine's.
inline store_time now() {
    return std::chrono::time_point_cast<store_time::duration>(std::chrono::system_clock::now());
}

/// Microseconds of a clock that all processes of a machine share, that nobody sets and that stands
/// still while the machine sleeps: leases are measured with it.
std::int64_t lease_now() noexcept;

}  // namespace postlude::detail::sqlite

#endif
