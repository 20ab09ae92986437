// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_BACKENDS_RABBITMQ_MESSAGE_HPP
#define POSTLUDE_SRC_BACKENDS_RABBITMQ_MESSAGE_HPP

#include "backends/rabbitmq/connection.hpp"

#include <string>
#include <string_view>

namespace postlude::detail::rabbitmq {

/// The properties of a job's message, which refer to the job. DESIGN.md has the format.
class message_properties {
public:
    /// @param ended "dead" or "quarantined", and why; empty for one that waits.
    message_properties(const job_record& job, std::string_view ended, std::string_view reason);
    message_properties(const message_properties&) = delete;
    message_properties& operator=(const message_properties&) = delete;
    const amqp_basic_properties_t& get() const noexcept { return properties_; }

private:
    std::string id_;
    table headers_;
    amqp_basic_properties_t properties_{};
};

/// All but the kind and the arguments. What another program has left out, or written otherwise,
/// keeps its default.
void read_properties(const amqp_basic_properties_t& from, incoming& to);

}  // namespace postlude::detail::rabbitmq

#endif
