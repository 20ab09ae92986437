// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_BACKENDS_RABBITMQ_TABLE_HPP
#define POSTLUDE_SRC_BACKENDS_RABBITMQ_TABLE_HPP

#include <amqp.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace postlude::detail::rabbitmq {

inline amqp_bytes_t bytes(std::string_view text) noexcept {
    return {text.size(), const_cast<char*>(text.data())};
}
inline std::string_view view(const amqp_bytes_t& b) noexcept {
    return {static_cast<const char*>(b.bytes), b.len};
}
inline std::string text(const amqp_bytes_t& b) { return std::string(view(b)); }

/// Names with values, to be sent. Texts are referred to, not copied.
class table {
public:
    table& add(const char* name, std::string_view value) {
        auto& entry = next(name);
        entry.value.kind = AMQP_FIELD_KIND_UTF8;
        entry.value.value.bytes = bytes(value);
        return *this;
    }
    table& add(const char* name, const char* value) { return add(name, std::string_view(value)); }
    table& add(const char* name, std::int64_t value) {
        auto& entry = next(name);
        entry.value.kind = AMQP_FIELD_KIND_I64;
        entry.value.value.i64 = value;
        return *this;
    }
    table& add(const char* name, bool value) {
        auto& entry = next(name);
        entry.value.kind = AMQP_FIELD_KIND_BOOLEAN;
        entry.value.value.boolean = value ? 1 : 0;
        return *this;
    }
    table& add(const char* name, amqp_table_t value) {
        auto& entry = next(name);
        entry.value.kind = AMQP_FIELD_KIND_TABLE;
        entry.value.value.table = value;
        return *this;
    }
    table& add(const char* name, const std::vector<std::string>& values) {
        items_.clear();
        items_.reserve(values.size());
        for (const auto& v : values) {
            auto& item = items_.emplace_back();
            item.kind = AMQP_FIELD_KIND_UTF8;
            item.value.bytes = bytes(v);
        }
        auto& entry = next(name);
        entry.value.kind = AMQP_FIELD_KIND_ARRAY;
        entry.value.value.array = {static_cast<int>(items_.size()), items_.data()};
        return *this;
    }
    amqp_table_t get() noexcept { return {static_cast<int>(entries_.size()), entries_.data()}; }

private:
    amqp_table_entry_t& next(const char* name) {
        auto& entry = entries_.emplace_back();
        entry.key = amqp_cstring_bytes(name);
        return entry;
    }

    std::vector<amqp_table_entry_t> entries_;
    std::vector<amqp_field_value_t> items_;  ///< of the one array
};

inline const amqp_field_value_t* find(const amqp_table_t& t, std::string_view name) noexcept {
    for (int i = 0; i < t.num_entries; ++i) {
        if (view(t.entries[i].key) == name) {
            return &t.entries[i].value;
        }
    }
    return nullptr;
}

/// A whole number of any width, as programs in other languages choose them.
std::optional<std::int64_t> integer(const amqp_field_value_t* value) noexcept;
/// Empty where there is none.
std::string text_of(const amqp_field_value_t* value);
std::vector<std::string> texts_of(const amqp_field_value_t* value);

}  // namespace postlude::detail::rabbitmq

#endif
