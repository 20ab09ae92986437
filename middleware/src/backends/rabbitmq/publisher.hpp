// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_BACKENDS_RABBITMQ_PUBLISHER_HPP
#define POSTLUDE_SRC_BACKENDS_RABBITMQ_PUBLISHER_HPP

#include "backends/rabbitmq/topology.hpp"

#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace postlude::detail::rabbitmq {

/// A message to be stored.
struct outgoing {
    const job_record* job = nullptr;
    std::chrono::milliseconds delay{0};
    std::string_view ended{};  ///< "dead" or "quarantined": for people, with the reason
    std::string_view reason{};
    bool homeless = false;  ///< its queue can't be made
    /// Of those that the broker has been given: whether it has confirmed them.
    bool stored = false;
};

/// A connection by which messages are stored and queues are asked about. Its calls may come from
/// any thread; each has the connection for itself.
class publisher final : private connection::listener {
public:
    publisher(const address& to, const names& n, std::chrono::seconds heartbeat)
        : to_(to), names_(n), heartbeat_(heartbeat) {}
    ~publisher() = default;

    /// Publishes all and waits until each is confirmed, or not. Why some are not, if it is known.
    /// Throws when nothing was published.
    std::string store(std::span<outgoing> all);
    /// Likewise, if no other call is under way; none otherwise.
    std::optional<std::string> store_if_free(std::span<outgoing> all);
    /// Connects, if it is not.
    void connect();
    /// How many messages wait there; none where there is no such queue.
    std::optional<std::uint32_t> waiting(const std::string& queue);
    /// Takes what has come, and sends a heartbeat when it is time. Not while it is busy.
    void keep_alive();

private:
    void delivered(incoming&& message) override;
    void confirmed(std::uint64_t tag, bool multiple, bool good) override;

    void ensure();
    std::string store_alone(std::span<outgoing> all);
    /// Makes their queues. Why some can't be made; throws when none can.
    std::string prepare(std::span<outgoing> all);
    void need(const outgoing& one);
    void publish(outgoing& one);
    void publish_all(std::span<outgoing> all, std::span<const std::size_t> which);
    /// Until no more than so many are not answered; throws when none is for too long.
    void wait_for(std::size_t most);
    /// Throws refusal when the broker has closed the channel.
    void check_channel();
    /// What came back was confirmed as well, or will be; it is nowhere.
    std::vector<std::size_t> take_back_returned(std::span<outgoing> all);
    void settle_returned(std::span<outgoing> all);
    void say_it_is_there(std::span<const outgoing> all);
    [[noreturn]] void refused(const refusal& why);

    const address& to_;
    const names& names_;
    const std::chrono::seconds heartbeat_;
    std::mutex mutex_;
    std::unique_ptr<connection> on_;
    std::optional<topology> there_;

    // Of the batch that is being stored.
    std::uint64_t published_ = 0;        ///< on this connection's channel
    std::uint64_t base_ = 0;             ///< the number of the batch's first
    std::vector<std::size_t> entry_of_;  ///< by number, from `base_`: its place in the batch
    std::vector<bool> answered_;         ///< likewise
    std::size_t open_ = 0;               ///< not answered yet
    std::size_t all_before_ = 0;         ///< answered are all up to here
    std::size_t open_bytes_ = 0;
    std::vector<incoming> returned_;
    std::span<outgoing> batch_;
};

}  // namespace postlude::detail::rabbitmq

#endif
