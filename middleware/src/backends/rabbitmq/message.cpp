// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/rabbitmq/message.hpp"

#include <algorithm>
#include <charconv>
#include <limits>

namespace postlude::detail::rabbitmq {

namespace {

constexpr std::size_t longest_text = 255;  // of a property; AMQP's short strings

job_id id_in(std::string_view digits) {
    job_id id = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), id);
    const bool good = error == std::errc() && end == digits.data() + digits.size() &&
                      id <= static_cast<job_id>(std::numeric_limits<std::int64_t>::max());
    return good ? id : 0;
}

unsigned count_in(const amqp_table_t& headers, std::string_view name) {
    constexpr std::int64_t most = 1'000'000;
    return static_cast<unsigned>(
        std::clamp<std::int64_t>(integer(find(headers, name)).value_or(0), 0, most));
}

}  // namespace

message_properties::message_properties(const job_record& job, std::string_view ended,
                                       std::string_view reason)
    : id_(std::to_string(job.id)) {
    auto& p = properties_;
    p._flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG |
               AMQP_BASIC_MESSAGE_ID_FLAG | AMQP_BASIC_TYPE_FLAG;
    p.content_type = bytes("application/json");
    p.delivery_mode = AMQP_DELIVERY_PERSISTENT;
    p.message_id = bytes(id_);
    p.type = bytes(job.kind);
    if (!job.request_id.empty() && job.request_id.size() <= longest_text) {
        p._flags |= AMQP_BASIC_CORRELATION_ID_FLAG;
        p.correlation_id = bytes(job.request_id);
    }
    if (!job.queue.empty()) {
        headers_.add("queue", job.queue);
    }
    if (!job.tags.empty()) {
        headers_.add("tags", job.tags);
    }
    if (job.failures != 0) {
        headers_.add("failures", std::int64_t{job.failures});
    }
    if (job.crashes != 0) {
        headers_.add("crashes", std::int64_t{job.crashes});
    }
    if (!ended.empty()) {
        headers_.add("state", ended).add("reason", reason);
    }
    // Where the queue does not tell it.
    if (!ended.empty() || job.crashes != 0) {
        headers_.add("priority", std::int64_t{job.priority});
    }
    const auto table = headers_.get();
    if (table.num_entries != 0) {
        p._flags |= AMQP_BASIC_HEADERS_FLAG;
        p.headers = table;
    }
}

void read_properties(const amqp_basic_properties_t& from, incoming& to) {
    auto& job = to.job;
    if ((from._flags & AMQP_BASIC_MESSAGE_ID_FLAG) != 0) {
        job.id = id_in(view(from.message_id));
    }
    if ((from._flags & AMQP_BASIC_CORRELATION_ID_FLAG) != 0) {
        job.request_id = text(from.correlation_id);
    }
    if ((from._flags & AMQP_BASIC_HEADERS_FLAG) != 0) {
        const auto& headers = from.headers;
        job.queue = text_of(find(headers, "queue"));
        job.tags = texts_of(find(headers, "tags"));
        job.failures = count_in(headers, "failures");
        job.crashes = count_in(headers, "crashes");
        if (const auto priority = integer(find(headers, "priority"))) {
            job.priority = static_cast<std::uint8_t>(std::clamp<std::int64_t>(*priority, 0, 3));
        }
        to.deliveries = integer(find(headers, "x-delivery-count")).value_or(0);
    }
}

}  // namespace postlude::detail::rabbitmq
