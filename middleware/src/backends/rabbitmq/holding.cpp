// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
//
// What this process holds, from the claim to the verdict.
#include "backends/rabbitmq/consumer.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace postlude::detail::rabbitmq {

void consumer::wait(clock::time_point until) {
    int socket = -1;
    {
        const std::lock_guard lock(mutex_);
        // Nothing that has come already is waited for.
        take_what_has_come();
        if (!on_ || look_at_all_) {
            return;
        }
        socket = on_->descriptor();
    }
    wake_.wait(socket, std::min(until, clock::now() + to_.options.poll));
}

std::optional<job_record> consumer::take_out(const receipt& held) {
    const std::lock_guard lock(mutex_);
    const auto found = held_.find(held.b);
    if (held.a != generation_ || found == held_.end() || found->second.settling) {
        return {};
    }
    found->second.settling = true;
    return std::move(found->second.job);
}

void consumer::put_back(const receipt& held, job_record&& job) {
    const std::lock_guard lock(mutex_);
    const auto found = held_.find(held.b);
    if (held.a == generation_ && found != held_.end()) {
        found->second = {std::move(job), false};
    }
}

bool consumer::acknowledge(std::vector<receipt> settled) {
    const std::lock_guard lock(mutex_);
    std::erase_if(settled, [&](const receipt& r) { return r.a != generation_ || !on_; });
    if (settled.empty()) {
        return false;
    }
    std::ranges::sort(settled);
    try {
        // One word for all from the oldest on, as far as all are settled.
        auto next = settled.begin();
        auto last = held_.begin();
        std::uint64_t together = 0;
        const bool none_moves = to_move_.empty() && arrived_.empty();
        while (none_moves && next != settled.end() && last != held_.end() &&
               last->first == next->b) {
            together = next->b;
            ++next, ++last;
        }
        const auto say = [&](std::uint64_t tag, bool multiple) {
            amqp_basic_ack_t ack{};
            ack.delivery_tag = tag;
            ack.multiple = multiple ? 1 : 0;
            on_->send(deliveries, AMQP_BASIC_ACK_METHOD, &ack);
        };
        if (together != 0) {
            say(together, true);
        }
        for (; next != settled.end(); ++next) {
            say(next->b, false);
        }
        // The answer to this says that the broker has read what came before.
        amqp_basic_qos_t window{};
        window.prefetch_count = 1;
        on_->ask(deliveries, AMQP_BASIC_QOS_METHOD, &window, AMQP_BASIC_QOS_OK_METHOD);
    } catch (const std::exception&) {
        drop();
        return false;
    }
    for (const auto& r : settled) {
        held_.erase(r.b);
        if (suspect_ == r.b) {
            suspect_.reset();
            look_at_all_ = true;
            wake_.wake();
        }
    }
    return true;
}

std::vector<receipt> consumer::lost_of(std::span<const receipt> held) {
    const std::lock_guard lock(mutex_);
    std::vector<receipt> lost;
    std::ranges::copy_if(held, std::back_inserter(lost), [&](const receipt& r) {
        return r.a != generation_ || !held_.contains(r.b);
    });
    return lost;
}

std::vector<std::pair<receipt, job_record>> consumer::take_all_out() {
    const std::lock_guard lock(mutex_);
    std::vector<std::pair<receipt, job_record>> all;
    for (auto& [tag, held] : held_) {
        if (!std::exchange(held.settling, true)) {
            all.emplace_back(receipt{generation_, tag}, std::move(held.job));
        }
    }
    return all;
}

std::vector<rescued_job> consumer::take_rescued(std::size_t limit) {
    const std::lock_guard lock(mutex_);
    const auto n = static_cast<std::ptrdiff_t>(std::min(limit, rescued_.size()));
    std::vector<rescued_job> some(rescued_.begin(), rescued_.begin() + n);
    rescued_.erase(rescued_.begin(), rescued_.begin() + n);
    return some;
}

void consumer::keep_alive() {
    if (const std::unique_lock lock(mutex_, std::try_to_lock); lock) {
        take_what_has_come();
    }
}

void consumer::notice_loss() {
    const std::lock_guard lock(mutex_);
    take_what_has_come();
}

void consumer::take_what_has_come() {
    try {
        if (on_) {
            on_->pump_all();
        }
        if (on_ && on_->has_closed(deliveries)) {
            drop();  // after consumer_timeout: the broker gives to others what was held
        }
    } catch (const std::exception&) {
        drop();  // it was lost while nobody looked
    }
}

}  // namespace postlude::detail::rabbitmq
