// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_BACKENDS_POSTGRES_VALUES_HPP
#define POSTLUDE_SRC_BACKENDS_POSTGRES_VALUES_HPP

#include "postlude/jobs/record.hpp"

#include <libpq-fe.h>

#include <bit>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace postlude::detail::postgres {

/// What a value is in PostgreSQL's binary format: numbers with their highest byte first.
template <class T>
void append_number(std::string& to, T value) {
    char bytes[sizeof(T)];
    for (std::size_t i = 0; i < sizeof(T); ++i) {
        bytes[sizeof(T) - 1 - i] = static_cast<char>(value >> (8 * i));
    }
    to.append(bytes, sizeof(T));
}

/// An array as one parameter. Its elements are added one by one.
class array {
public:
    static array of_int2() { return array(21); }
    static array of_int4() { return array(23); }
    static array of_int8() { return array(20); }
    static array of_text() { return array(25); }
    static array of_interval() { return array(1186); }
    static array of_time() { return array(1184); }

    void add(std::int16_t value) { add_number(value); }
    void add(std::int32_t value) { add_number(value); }
    void add(std::int64_t value) { add_number(value); }
    void add(std::string_view text);
    void add(std::chrono::microseconds time);
    void add(store_time time);
    void add_null();
    /// The empty text is NULL.
    void add_unless_empty(std::string_view text) { text.empty() ? add_null() : add(text); }

    std::size_t size() const noexcept { return count_; }
    /// The parameter's value.
    std::string take() &&;

private:
    explicit array(std::int32_t element);
    template <class T>
    void add_number(T value) {
        append_number(bytes_, static_cast<std::int32_t>(sizeof(T)));
        append_number(bytes_, value);
        ++count_;
    }

    std::string bytes_;
    std::size_t count_ = 0;
    bool nulls_ = false;
};

/// The parameters of a statement, all in binary format; each one's type is told by a cast there.
class parameters {
public:
    parameters& int4(std::int64_t value);
    parameters& int8(std::int64_t value);
    parameters& boolean(bool value);
    parameters& text(std::string_view value);
    parameters& interval(std::chrono::microseconds value);
    parameters& time(store_time value);
    parameters& list(array values);
    parameters& null();

    int count() const noexcept { return static_cast<int>(values_.size()); }
    /// As libpq takes them; valid until this changes.
    struct lent {
        std::vector<const char*> values;
        std::vector<int> lengths;
        std::vector<int> formats;
    };
    lent lend() const;

private:
    std::vector<std::optional<std::string>> values_;
};

/// What a statement has returned, in binary format.
class rows {
public:
    rows() = default;
    explicit rows(PGresult* result) : result_(result) {}

    ExecStatusType status() const noexcept { return PQresultStatus(result_.get()); }
    /// A part of what an error says, such as PG_DIAG_SQLSTATE.
    std::string error(int part) const {
        const auto* const text = PQresultErrorField(result_.get(), part);
        return text ? text : "";
    }
    int size() const noexcept { return PQntuples(result_.get()); }
    bool is_null(int row, int column) const { return PQgetisnull(result_.get(), row, column) != 0; }
    std::int16_t int2(int row, int column) const { return number<std::int16_t>(row, column); }
    std::int32_t int4(int row, int column) const { return number<std::int32_t>(row, column); }
    std::int64_t int8(int row, int column) const { return number<std::int64_t>(row, column); }
    bool boolean(int row, int column) const { return number<std::int8_t>(row, column) != 0; }
    std::string_view text(int row, int column) const;
    store_time time(int row, int column) const;
    std::optional<store_time> optional_time(int row, int column) const;
    /// How many rows the statement has changed.
    std::size_t changed() const;

private:
    /// 0 where there is none.
    template <class T>
    T number(int row, int column) const {
        std::uint64_t value = 0;
        if (!is_null(row, column)) {
            const auto* const bytes = PQgetvalue(result_.get(), row, column);
            for (std::size_t i = 0; i < sizeof(T); ++i) {
                value = value << 8 | static_cast<unsigned char>(bytes[i]);
            }
        }
        return static_cast<T>(value);
    }

    struct clear {
        void operator()(PGresult* r) const noexcept { PQclear(r); }
    };
    std::unique_ptr<PGresult, clear> result_;
};

/// Text as PostgreSQL takes it: what is not UTF-8, and NUL, is replaced by a question mark.
std::string storable(std::string_view text);
bool is_storable(std::string_view text);

}  // namespace postlude::detail::postgres

#endif
