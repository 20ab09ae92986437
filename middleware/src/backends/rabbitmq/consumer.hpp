// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_BACKENDS_RABBITMQ_CONSUMER_HPP
#define POSTLUDE_SRC_BACKENDS_RABBITMQ_CONSUMER_HPP

#include "backends/rabbitmq/publisher.hpp"
#include "backends/rabbitmq/wake_up.hpp"
#include "postlude/backends/backend.hpp"

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

namespace postlude::detail::rabbitmq {

/// The connection that holds this process's jobs: what is delivered on it and not acknowledged
/// goes back to its queue when the connection ends. Its calls may come from any thread.
class consumer final : private connection::listener {
public:
    /// @param mover publishes what has to wait elsewhere.
    consumer(const address& to, const names& n, std::chrono::seconds heartbeat,
             const open_options& asked, publisher& mover);
    ~consumer() = default;

    /// Connects, and declares the queues of the kinds that are served.
    void connect();
    std::uint32_t owner() const noexcept { return owner_; }

    /// What is there now, within the credits.
    std::vector<claimed_job> claim(std::span<const std::size_t> credits);
    /// Until something may be there.
    void wait(clock::time_point until);
    void interrupt() noexcept { wake_.interrupt(); }
    bool interrupted() noexcept { return wake_.take_interruption(); }

    /// Takes a job out, for its verdict; none when it is not held any more.
    std::optional<job_record> take_out(const receipt& held);
    /// Its verdict could not be stored.
    void put_back(const receipt& held, job_record&& job);
    /// These are settled: true when the broker has heard so.
    bool acknowledge(std::vector<receipt> settled);
    std::vector<receipt> lost_of(std::span<const receipt> held);
    /// All that is not being settled.
    std::vector<std::pair<receipt, job_record>> take_all_out();
    std::vector<rescued_job> take_rescued(std::size_t limit);
    void keep_alive();
    /// A connection that was lost holds nothing any more.
    void notice_loss();

private:
    static constexpr amqp_channel_t deliveries = 1;
    static constexpr amqp_channel_t questions = 2;
    struct served_lane {
        lane of;
        std::size_t group = 0;
        std::string queue;
        std::uint32_t ready = 0;
        clock::time_point empty_since{};  ///< when it was last seen to be
    };
    struct portion {
        served_lane* from = nullptr;
        std::size_t count = 0;
        std::string tag;
        std::size_t got = 0;
    };
    struct held_job {
        job_record job;
        bool settling = false;
    };

    void delivered(incoming&& message) override;

    void ensure();
    void connect_now();
    void declare_all();
    void take_a_number();
    bool try_number(std::uint32_t number);
    void hear_wake_ups();
    /// How many jobs wait in the lanes.
    void look(std::span<const std::size_t> credits);
    void ask(std::span<const std::size_t> credits);
    std::vector<portion> plan(std::vector<std::size_t> credits);
    void fetch(std::vector<portion>& wanted);
    void begin_portion(portion& p);
    bool complete(const std::vector<portion>& wanted) const;
    void sort_out(std::vector<claimed_job>& claimed);
    void sort_out(incoming&& message, const served_lane& from, std::vector<claimed_job>& claimed);
    void move_away();
    void take_what_has_come();
    void drop() noexcept;

    const address& to_;
    const names& names_;
    const std::chrono::seconds heartbeat_;
    const open_options& asked_;
    publisher& mover_;
    wake_up wake_;
    std::mutex mutex_;
    std::unique_ptr<connection> on_;
    std::uint64_t generation_ = 0;  ///< counts connections
    std::uint64_t ears_ = 0;        ///< counts queues of wake-ups
    std::uint32_t owner_ = 0;
    std::vector<served_lane> lanes_;
    std::size_t turn_ = 0;  ///< which of several lanes is asked first
    bool look_at_all_ = true;
    std::uint64_t consumers_ = 0;  ///< so many tags were used
    std::vector<portion>* fetching_ = nullptr;
    std::vector<incoming> arrived_;
    /// By delivery tag: unacknowledged, with what is to be done about it.
    std::map<std::uint64_t, held_job> held_;
    std::optional<std::uint64_t> suspect_;  ///< the one that is held
    struct to_move {
        std::uint64_t tag;
        job_record job;
        bool quarantined;
    };
    std::vector<to_move> to_move_;
    std::vector<rescued_job> rescued_;
    std::uint64_t nameless_ = 0;  ///< jobs that came without an id
};

}  // namespace postlude::detail::rabbitmq

#endif
