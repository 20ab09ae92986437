// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_BACKENDS_RABBITMQ_CONNECTION_HPP
#define POSTLUDE_SRC_BACKENDS_RABBITMQ_CONNECTION_HPP

#include "backends/rabbitmq/address.hpp"
#include "backends/rabbitmq/table.hpp"
#include "postlude/jobs/record.hpp"

#include <amqp.h>
#include <amqp_framing.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <stdexcept>
#include <string>

namespace postlude::detail::rabbitmq {

using clock = std::chrono::steady_clock;

/// A message that came: delivered to a consumer, or returned because no queue was there for it.
struct incoming {
    bool returned = false;
    std::string consumer;         ///< its tag; of a delivered one
    std::uint64_t tag = 0;        ///< likewise
    std::string routing_key;      ///< as it was published
    job_record job;               ///< the kind is left to the queue
    std::int64_t deliveries = 0;  ///< how often it has come back to its queue, unacknowledged
};

/// The broker refused what was asked, and has closed the channel. The connection is usable.
struct refusal : std::runtime_error {
    refusal(int c, const std::string& sentence) : std::runtime_error(sentence), code(c) {}
    int code;
};

/// One connection to the broker, of one thread at a time. What throws system_error leaves it
/// unusable: errc::store_unavailable when another one may work.
class connection {
public:
    /// What comes unasked.
    struct listener {
        virtual void delivered(incoming&&) {}
        virtual void confirmed(std::uint64_t /*tag*/, bool /*multiple*/, bool /*good*/) {}

    protected:
        ~listener() = default;
    };

    connection(const address& to, std::chrono::seconds heartbeat, listener& hears);
    connection(const connection&) = delete;
    connection& operator=(const connection&) = delete;
    ~connection();

    /// Opens a channel, or one that the broker has closed.
    void open_channel(amqp_channel_t channel);
    void send(amqp_channel_t channel, amqp_method_number_t method, void* decoded);
    void publish(amqp_channel_t channel, std::string_view exchange, std::string_view key,
                 bool mandatory, const amqp_basic_properties_t& properties, std::string_view body);
    /// While it is so, what is sent may wait until there is enough for a packet: many small ones
    /// would each wake the broker.
    void gather(bool on) noexcept;
    /// The next of the broker's answers on a channel that is this method (the broker mixes the
    /// answers to different ones): how many messages the queue had, where it says so. Throws
    /// refusal.
    std::uint32_t answer(amqp_channel_t channel, amqp_method_number_t method);
    std::uint32_t ask(amqp_channel_t channel, amqp_method_number_t method, void* decoded,
                      amqp_method_number_t answered_by) {
        send(channel, method, decoded);
        return answer(channel, answered_by);
    }
    /// Whether the broker has closed the channel, and nobody has asked for an answer since.
    bool has_closed(amqp_channel_t channel) const;
    /// Takes what has come; the next frame at the latest by then. False when none came.
    bool pump(clock::time_point until);
    void pump_all() {
        while (pump(clock::now())) {
        }
    }
    /// Why the broker takes no messages at the moment; empty when it does.
    const std::string& blocked() const noexcept { return blocked_; }
    int descriptor() const noexcept { return amqp_get_sockfd(state_); }
    const address& to() const noexcept { return to_; }

private:
    struct reply {
        amqp_method_number_t method = 0;
        std::uint32_t messages = 0;
        int code = 0;  ///< of a refusal
        std::string sentence;
    };
    struct partial {
        incoming message;
        std::uint64_t missing = 0;  ///< bytes of the body
    };

    void connect();
    void log_in(std::chrono::seconds heartbeat);
    void check_version();
    void set_time_limits();
    void check(int status);
    [[noreturn]] void lost(int status);
    [[noreturn]] void closed(int code, const std::string& sentence);
    void take(const amqp_frame_t& frame);
    void take_method(amqp_channel_t channel, const amqp_method_t& method);
    void take_channel_close(amqp_channel_t channel, const amqp_channel_close_t& close);
    void take_header(partial& to, const amqp_basic_properties_t& properties, std::uint64_t size);
    void complete(amqp_channel_t channel);

    address to_;
    listener& hears_;
    amqp_connection_state_t state_;
    std::map<amqp_channel_t, std::deque<reply>> replies_;
    std::map<amqp_channel_t, partial> partial_;
    std::string blocked_;
};

}  // namespace postlude::detail::rabbitmq

#endif
