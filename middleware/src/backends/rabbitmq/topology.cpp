// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/rabbitmq/topology.hpp"

#include <algorithm>
#include <bit>

namespace postlude::detail::rabbitmq {

namespace {

/// Where the broker itself gives up a message that comes back again and again: far beyond what
/// Postlude counts, since a queue's arguments can't follow an option.
constexpr std::int64_t delivery_limit = 100;
/// How many bits of a delay are kept.
constexpr int precision = 6;

const char* word(const lane& l) {
    static constexpr const char* words[] = {"0", "1", "2", "3", "suspects"};
    return words[l.priority];
}

/// A kind as one word of a routing key.
std::string kind_word(std::string kind) {
    std::ranges::replace(kind, '.', '%');  // which is in no kind's name
    return kind;
}

/// What keeps a message until the next queue has confirmed it.
table surely_dead_lettered(const std::string& exchange) {
    table arguments;
    arguments.add("x-queue-type", "quorum")
        .add("x-dead-letter-exchange", exchange)
        .add("x-dead-letter-strategy", "at-least-once")
        .add("x-overflow", "reject-publish");
    return arguments;
}

}  // namespace

std::string names::queue(const lane& of) const {
    return prefix + ".jobs." + of.kind + "." + word(of);
}

std::string names::delay(std::size_t level) const {
    auto name = prefix + ".delay." + std::to_string(delays::step(level));
    if (level < delays::longest_times) {
        name.append(".").append(std::to_string(level));
    }
    return name;
}

namespace delays {

std::string route(std::chrono::milliseconds delay) {
    constexpr std::uint64_t unit = 1u << shortest_bit;
    auto units = (static_cast<std::uint64_t>(delay.count()) + unit - 1) / unit;
    if (const auto spare = static_cast<int>(std::bit_width(units)) - precision; spare > 0) {
        const auto grain = std::uint64_t{1} << spare;
        units = (units + grain - 1) / grain * grain;
    }
    auto left = std::min<std::uint64_t>(units * unit, static_cast<std::uint64_t>(longest.count()));
    std::string result(levels, '0');
    for (std::size_t i = 0; i != levels; ++i) {
        if (left >= step(i)) {
            result[i] = '1';
            left -= step(i);
        }
    }
    return result;
}

std::string key(const std::string& route, const lane& to) {
    std::string result;
    for (const char bit : route) {
        result.append(1, bit).append(1, '.');
    }
    return result.append(kind_word(to.kind)).append(1, '.').append(word(to));
}

}  // namespace delays

explanation explain(const refusal& why, const names& n) {
    const std::string_view reason(why.what());
    const auto said = std::string(" (the broker said: ").append(reason).append(")");
    const auto mentions = [&](std::string_view part) { return reason.find(part) != reason.npos; };
    if (why.code == AMQP_ACCESS_REFUSED) {
        return {errc::bad_store,
                "the user lacks a permission; it needs configure, write and read for \"" +
                    n.prefix + "\\..*\", and write for \"amq\\.default\"" + said};
    }
    if (why.code == AMQP_PRECONDITION_FAILED && mentions("queue limit")) {
        return {errc::store_unavailable,
                "the virtual host has no room for another queue; raise its max-queues with "
                "rabbitmqctl set_vhost_limits: a kind of jobs takes five, delays up to 43 more" +
                    said};
    }
    if (why.code == AMQP_PRECONDITION_FAILED && mentions("max size")) {
        return {errc::store_unavailable,
                "a job is larger than the broker's max_message_size; raise that" + said};
    }
    if (why.code == AMQP_PRECONDITION_FAILED) {
        return {errc::bad_store,
                "a queue or exchange of this name is there and is not as Postlude makes it; remove "
                "it, or choose another prefix" +
                    said};
    }
    return {errc::store_unavailable, "the broker refuses" + said};
}

template <class F>
void topology::once(const std::string& what, F make) {
    if (!known_.contains(what)) {
        make();
        known_.insert(what);
    }
}

void topology::exchange(const std::string& name, const char* type) {
    amqp_exchange_declare_t declare{};
    declare.exchange = bytes(name);
    declare.type = bytes(type);
    declare.durable = 1;
    on_.ask(channel_, AMQP_EXCHANGE_DECLARE_METHOD, &declare, AMQP_EXCHANGE_DECLARE_OK_METHOD);
}

void topology::queue(const std::string& name, amqp_table_t arguments) {
    amqp_queue_declare_t declare{};
    declare.queue = bytes(name);
    declare.durable = 1;
    declare.arguments = arguments;
    on_.ask(channel_, AMQP_QUEUE_DECLARE_METHOD, &declare, AMQP_QUEUE_DECLARE_OK_METHOD);
}

void topology::bind_queue(const std::string& queue, const std::string& exchange,
                          const std::string& key) {
    amqp_queue_bind_t bind{};
    bind.queue = bytes(queue);
    bind.exchange = bytes(exchange);
    bind.routing_key = bytes(key);
    on_.ask(channel_, AMQP_QUEUE_BIND_METHOD, &bind, AMQP_QUEUE_BIND_OK_METHOD);
}

void topology::bind_exchange(const std::string& to, const std::string& from,
                             const std::string& key) {
    amqp_exchange_bind_t bind{};
    bind.destination = bytes(to);
    bind.source = bytes(from);
    bind.routing_key = bytes(key);
    on_.ask(channel_, AMQP_EXCHANGE_BIND_METHOD, &bind, AMQP_EXCHANGE_BIND_OK_METHOD);
}

void topology::need_dead() {
    once(names_.dead(), [&] {
        table arguments;
        arguments.add("x-queue-type", "quorum");
        queue(names_.dead(), arguments.get());
    });
}

void topology::need_wake() {
    once(names_.wake(), [&] { exchange(names_.wake(), "fanout"); });
}

void topology::need(const lane& l) {
    const auto name = names_.queue(l);
    once(name, [&] {
        need_dead();
        const auto dead = names_.dead();
        auto arguments = surely_dead_lettered({});
        arguments.add("x-dead-letter-routing-key", dead).add("x-delivery-limit", delivery_limit);
        queue(name, arguments.get());
    });
}

void topology::need(const lane& l, const std::string& route) {
    need(l);
    const auto name = names_.queue(l);
    once("bound " + name, [&] {
        once(names_.due(), [&] { exchange(names_.due(), "topic"); });
        bind_queue(name, names_.due(), "#." + kind_word(l.kind) + "." + word(l));
    });
    // From the last to the first, so that whoever finds one finds where it leads to.
    for (auto i = delays::levels; i-- > route.find('1');) {
        need_level(i, route[i] == '1');
    }
}

void topology::need_level(std::size_t level, bool stops) {
    const auto name = names_.delay(level);
    const auto next = level + 1 == delays::levels ? names_.due() : names_.delay(level + 1);
    std::string before;
    for (std::size_t i = 0; i != level; ++i) {
        before.append("*.");
    }
    once("exchange " + name, [&] {
        exchange(name, "topic");
        bind_exchange(next, name, before + "0.#");
    });
    if (stops) {
        once("queue " + name, [&] {
            auto arguments = surely_dead_lettered(next);
            arguments.add("x-message-ttl", static_cast<std::int64_t>(delays::step(level)));
            queue(name, arguments.get());
            bind_queue(name, name, before + "1.#");
        });
    }
}

}  // namespace postlude::detail::rabbitmq
