// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/postgres/values.hpp"

#include "core/utf8.hpp"

#include <charconv>

namespace postlude::detail::postgres {

namespace {

/// PostgreSQL counts microseconds from the year 2000 on.
constexpr std::chrono::sys_seconds epoch = std::chrono::sys_days(std::chrono::year(2000) / 1 / 1);

// In array_recv: dimensions, whether there are NULLs, the type of the elements, and then of the one
// dimension its length and first index.
constexpr std::size_t nulls_at = 4;
constexpr std::size_t length_at = 12;
constexpr std::size_t header = 20;

void overwrite(std::string& bytes, std::size_t at, std::int32_t value) {
    std::string number;
    append_number(number, value);
    bytes.replace(at, number.size(), number);
}

void append_interval(std::string& to, std::chrono::microseconds time) {
    append_number(to, static_cast<std::int64_t>(time.count()));
    append_number(to, std::int32_t{0});  // days
    append_number(to, std::int32_t{0});  // months
}

}  // namespace

array::array(std::int32_t element) {
    bytes_.reserve(1024);
    append_number(bytes_, std::int32_t{1});
    append_number(bytes_, std::int32_t{0});
    append_number(bytes_, element);
    append_number(bytes_, std::int32_t{0});
    append_number(bytes_, std::int32_t{1});
}

void array::add(std::string_view text) {
    append_number(bytes_, static_cast<std::int32_t>(text.size()));
    bytes_.append(text);
    ++count_;
}

void array::add(std::chrono::microseconds time) {
    append_number(bytes_, std::int32_t{16});
    append_interval(bytes_, time);
    ++count_;
}

void array::add(store_time time) {
    add(std::int64_t{std::chrono::microseconds(time - epoch).count()});
}

void array::add_null() {
    append_number(bytes_, std::int32_t{-1});
    nulls_ = true;
    ++count_;
}

std::string array::take() && {
    if (count_ == 0) {
        overwrite(bytes_, 0, 0);
        bytes_.resize(header - 8);
    } else {
        overwrite(bytes_, nulls_at, nulls_ ? 1 : 0);
        overwrite(bytes_, length_at, static_cast<std::int32_t>(count_));
    }
    return std::move(bytes_);
}

parameters& parameters::int4(std::int64_t value) {
    append_number(values_.emplace_back().emplace(), static_cast<std::int32_t>(value));
    return *this;
}
parameters& parameters::int8(std::int64_t value) {
    append_number(values_.emplace_back().emplace(), value);
    return *this;
}
parameters& parameters::boolean(bool value) {
    values_.emplace_back(std::in_place, 1, value ? '\1' : '\0');
    return *this;
}
parameters& parameters::text(std::string_view value) {
    values_.emplace_back(value);
    return *this;
}
parameters& parameters::interval(std::chrono::microseconds value) {
    append_interval(values_.emplace_back().emplace(), value);
    return *this;
}
parameters& parameters::time(store_time value) {
    return int8(std::chrono::microseconds(value - epoch).count());
}
parameters& parameters::list(array values) {
    values_.emplace_back(std::move(values).take());
    return *this;
}
parameters& parameters::null() {
    values_.emplace_back();
    return *this;
}

parameters::lent parameters::lend() const {
    lent result;
    for (const auto& value : values_) {
        result.values.push_back(value ? value->data() : nullptr);
        result.lengths.push_back(value ? static_cast<int>(value->size()) : 0);
        result.formats.push_back(1);
    }
    return result;
}

std::string_view rows::text(int row, int column) const {
    return {PQgetvalue(result_.get(), row, column),
            static_cast<std::size_t>(PQgetlength(result_.get(), row, column))};
}

store_time rows::time(int row, int column) const {
    return epoch + std::chrono::microseconds(int8(row, column));
}

std::optional<store_time> rows::optional_time(int row, int column) const {
    return is_null(row, column) ? std::nullopt : std::optional(time(row, column));
}

std::size_t rows::changed() const {
    const std::string_view count = PQcmdTuples(result_.get());
    std::size_t value = 0;
    std::from_chars(count.data(), count.data() + count.size(), value);
    return value;
}

std::string storable(std::string_view text) {
    std::string result;
    while (!text.empty()) {
        const auto size = text.front() == '\0' ? 0 : utf8_character(text);
        size == 0 ? result.append(1, '?') : result.append(text.substr(0, size));
        text.remove_prefix(std::max<std::size_t>(size, 1));
    }
    return result;
}

bool is_storable(std::string_view text) {
    while (!text.empty()) {
        // Most text is ASCII, a word of it at a time.
        std::uint64_t word = 0;
        if (text.size() >= sizeof(word)) {
            std::memcpy(&word, text.data(), sizeof(word));
            constexpr std::uint64_t high = 0x8080808080808080U;
            constexpr std::uint64_t one = 0x0101010101010101U;
            if (((word | (word - one)) & high) == 0) {
                text.remove_prefix(sizeof(word));
                continue;
            }
        }
        const auto size = text.front() == '\0' ? 0 : utf8_character(text);
        if (size == 0) {
            return false;
        }
        text.remove_prefix(size);
    }
    return true;
}

}  // namespace postlude::detail::postgres
