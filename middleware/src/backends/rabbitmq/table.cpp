// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/rabbitmq/table.hpp"

#include <limits>

namespace postlude::detail::rabbitmq {

std::optional<std::int64_t> integer(const amqp_field_value_t* value) noexcept {
    if (value == nullptr) {
        return {};
    }
    switch (value->kind) {
    case AMQP_FIELD_KIND_I8: return value->value.i8;
    case AMQP_FIELD_KIND_U8: return value->value.u8;
    case AMQP_FIELD_KIND_I16: return value->value.i16;
    case AMQP_FIELD_KIND_U16: return value->value.u16;
    case AMQP_FIELD_KIND_I32: return value->value.i32;
    case AMQP_FIELD_KIND_U32: return value->value.u32;
    case AMQP_FIELD_KIND_I64: return value->value.i64;
    case AMQP_FIELD_KIND_U64:
        if (value->value.u64 <= std::numeric_limits<std::int64_t>::max()) {
            return static_cast<std::int64_t>(value->value.u64);
        }
        return {};
    default: return {};
    }
}

std::string text_of(const amqp_field_value_t* value) {
    if (value != nullptr &&
        (value->kind == AMQP_FIELD_KIND_UTF8 || value->kind == AMQP_FIELD_KIND_BYTES)) {
        return text(value->value.bytes);
    }
    return {};
}

std::vector<std::string> texts_of(const amqp_field_value_t* value) {
    std::vector<std::string> result;
    if (value != nullptr && value->kind == AMQP_FIELD_KIND_ARRAY) {
        const auto& array = value->value.array;
        for (int i = 0; i < array.num_entries; ++i) {
            result.push_back(text_of(&array.entries[i]));
        }
    }
    return result;
}

}  // namespace postlude::detail::rabbitmq
