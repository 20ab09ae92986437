// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_BACKENDS_RABBITMQ_TOPOLOGY_HPP
#define POSTLUDE_SRC_BACKENDS_RABBITMQ_TOPOLOGY_HPP

#include "backends/rabbitmq/connection.hpp"

#include "postlude/core/error.hpp"

#include <chrono>
#include <optional>
#include <set>
#include <string>
#include <string_view>

namespace postlude::detail::rabbitmq {

/// Jobs of one kind and priority, in the order in which they came.
struct lane {
    std::string kind;
    /// 0 to 3; or of the suspects, which have a lane a kind.
    std::uint8_t priority = 0;
    auto operator<=>(const lane&) const = default;

    bool suspects() const noexcept { return priority == of_suspects; }
    static constexpr std::uint8_t of_suspects = 4;
    static constexpr std::uint8_t count = 5;
};

/// Where a job waits.
inline lane lane_of(const job_record& job) {
    return {job.kind, job.crashes != 0 ? lane::of_suspects : job.priority};
}

/// The names of queues and exchanges.
struct names {
    std::string prefix;

    std::string queue(const lane& of) const;
    std::string dead() const { return prefix + ".dead"; }
    std::string wake() const { return prefix + ".wake"; }  ///< an exchange
    std::string due() const { return prefix + ".due"; }    ///< an exchange
    std::string owner(std::uint32_t number) const {
        return prefix + ".owner." + std::to_string(number);
    }
    /// A queue and an exchange.
    std::string delay(std::size_t level) const;
};

/// A delay is made of the fixed ones of queues through which the message goes down, each to the
/// next: a queue of one delay for all has no head that others wait behind.
namespace delays {

inline constexpr std::size_t longest_times = 15;
inline constexpr std::uint64_t longest_step = std::uint64_t{1} << 31;  ///< RabbitMQ takes < 2^32
inline constexpr unsigned shortest_bit = 3;                            ///< 8 ms
inline constexpr std::size_t levels = longest_times + 31 - shortest_bit;
inline constexpr std::chrono::milliseconds longest{longest_times * longest_step};

constexpr std::uint64_t step(std::size_t level) noexcept {
    return level < longest_times ? longest_step
                                 : std::uint64_t{1} << (30 - (level - longest_times));
}
/// For each level whether a message stops there: '0' or '1'. Rounded up, by 8 ms or 1/32 at most.
std::string route(std::chrono::milliseconds delay);
/// The routing key that says so to all levels, and then where to go.
std::string key(const std::string& route, const lane& to);

}  // namespace delays

/// What the broker has refused on a channel, in words that say what to do.
struct explanation {
    errc code;
    std::string text;
};
explanation explain(const refusal& why, const names& n);

/// Makes what there has to be, each thing once a connection.
class topology {
public:
    topology(connection& on, amqp_channel_t channel, const names& n)
        : on_(on), channel_(channel), names_(n) {}

    void need(const lane& l);
    /// Also that a delayed message finds it.
    void need(const lane& l, const std::string& route);
    void need_dead();
    void need_wake();
    /// Somebody has removed something.
    void forget() { known_.clear(); }

private:
    void exchange(const std::string& name, const char* type);
    void queue(const std::string& name, amqp_table_t arguments);
    void bind_queue(const std::string& queue, const std::string& exchange, const std::string& key);
    void bind_exchange(const std::string& to, const std::string& from, const std::string& key);
    void need_level(std::size_t level, bool stops);
    template <class F>
    void once(const std::string& what, F make);

    connection& on_;
    amqp_channel_t channel_;
    const names& names_;
    std::set<std::string> known_;
};

}  // namespace postlude::detail::rabbitmq

#endif
