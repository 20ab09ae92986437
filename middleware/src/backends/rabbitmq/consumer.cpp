// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/rabbitmq/consumer.hpp"

#include "backends/rabbitmq/failure.hpp"

#include <algorithm>
#include <random>
#include <utility>

namespace postlude::detail::rabbitmq {

namespace {

constexpr std::uint32_t largest_owner = (1u << 23) - 1;
constexpr int tries_for_a_number = 100;
/// What others may have taken meanwhile is not waited for any longer.
constexpr std::chrono::milliseconds longest_delivery{20};
constexpr std::string_view wake_tag = "wake";
/// What has to wait elsewhere, and can't be published there, is held here: not more of it.
constexpr std::size_t most_to_move = 16;

}  // namespace

consumer::consumer(const address& to, const names& n, std::chrono::seconds heartbeat,
                   const open_options& asked, publisher& mover)
    : to_(to), names_(n), heartbeat_(heartbeat), asked_(asked), mover_(mover) {
    for (const auto& kind : asked.kinds) {
        for (std::uint8_t p = 0; p != lane::count; ++p) {
            const lane l{kind.kind, p};
            lanes_.push_back({l, kind.group, n.queue(l), 0, {}});
        }
    }
}

void consumer::connect() {
    const std::lock_guard lock(mutex_);
    ensure();
}

void consumer::drop() noexcept {
    on_.reset();
    held_.clear();
    to_move_.clear();
    arrived_.clear();
    suspect_.reset();
}

void consumer::ensure() {
    take_what_has_come();
    if (on_) {
        return;
    }
    try {
        connect_now();
    } catch (const refusal& why) {
        drop();
        const auto e = explain(why, names_);
        fail(e.code, to_.shown, e.text);
    } catch (...) {
        drop();
        throw;
    }
}

void consumer::connect_now() {
    connection::listener& self = *this;
    on_ = std::make_unique<connection>(to_, heartbeat_, self);
    ++generation_;
    look_at_all_ = true;
    for (const auto channel : {deliveries, questions}) {
        on_->open_channel(channel);
    }
    take_a_number();
    declare_all();
    if (!lanes_.empty()) {
        hear_wake_ups();
    }
}

void consumer::declare_all() {
    topology there(*on_, questions, names_);
    there.need_dead();
    there.need_wake();
    for (const auto& l : lanes_) {
        there.need(l.of);
    }
}

void consumer::take_a_number() {
    if (owner_ != 0) {
        try_number(owner_);  // the broker may not have noticed yet that the last connection ended
        return;
    }
    std::random_device random;
    std::uniform_int_distribution<std::uint32_t> any(1, largest_owner);
    for (int i = 0; i != tries_for_a_number && owner_ == 0; ++i) {
        const auto number = any(random);
        owner_ = try_number(number) ? number : 0;
    }
    if (owner_ == 0) {
        fail(errc::store_unavailable, to_.shown, "no free number was found for this process");
    }
}

bool consumer::try_number(std::uint32_t number) {
    const auto name = names_.owner(number);
    amqp_queue_declare_t declare{};
    declare.queue = bytes(name);
    declare.exclusive = 1;
    declare.auto_delete = 1;
    try {
        on_->ask(questions, AMQP_QUEUE_DECLARE_METHOD, &declare, AMQP_QUEUE_DECLARE_OK_METHOD);
        return true;
    } catch (const refusal& why) {
        if (why.code != AMQP_RESOURCE_LOCKED) {
            throw;
        }
        on_->open_channel(questions);
        return false;
    }
}

void consumer::hear_wake_ups() {
    const auto exchange = names_.wake();
    // A new name each time: the queue of an earlier one may be there for a moment.
    const auto queue = exchange + "." + std::to_string(owner_) + "." + std::to_string(++ears_);
    amqp_queue_declare_t declare{};
    declare.queue = bytes(queue);
    declare.exclusive = 1;
    declare.auto_delete = 1;
    table limits;
    limits.add("x-max-length", std::int64_t{1});
    declare.arguments = limits.get();
    on_->ask(questions, AMQP_QUEUE_DECLARE_METHOD, &declare, AMQP_QUEUE_DECLARE_OK_METHOD);
    amqp_queue_bind_t bind{};
    bind.queue = bytes(queue);
    bind.exchange = bytes(exchange);
    on_->ask(questions, AMQP_QUEUE_BIND_METHOD, &bind, AMQP_QUEUE_BIND_OK_METHOD);
    amqp_basic_consume_t consume{};
    consume.queue = bytes(queue);
    consume.consumer_tag = bytes(wake_tag);
    consume.no_ack = 1;
    on_->ask(questions, AMQP_BASIC_CONSUME_METHOD, &consume, AMQP_BASIC_CONSUME_OK_METHOD);
}

void consumer::delivered(incoming&& message) {
    if (message.consumer == wake_tag) {
        look_at_all_ = true;
        wake_.wake();
        return;
    }
    if (fetching_ != nullptr) {
        const auto of = std::ranges::find(*fetching_, message.consumer, &portion::tag);
        if (of != fetching_->end()) {
            ++of->got;
        }
    }
    arrived_.push_back(std::move(message));
}

std::vector<claimed_job> consumer::claim(std::span<const std::size_t> credits) {
    const std::lock_guard lock(mutex_);
    ensure();
    std::vector<claimed_job> claimed;
    if (std::ranges::all_of(credits, [](auto n) { return n == 0; })) {
        return claimed;
    }
    try {
        for (;;) {
            sort_out(claimed);  // what came after its consumer was cancelled
            if (!claimed.empty() || to_move_.size() >= most_to_move) {
                return claimed;
            }
            look(credits);
            auto wanted = plan({credits.begin(), credits.end()});
            if (wanted.empty()) {
                return claimed;
            }
            fetch(wanted);
            const auto arrived = arrived_.size();
            sort_out(claimed);
            if (!claimed.empty() || arrived == 0 || !to_move_.empty()) {
                return claimed;
            }
        }
    } catch (const refusal& why) {
        drop();
        fail(errc::store_unavailable, to_.shown,
             std::string("the broker refuses (it said: ") + why.what() + ")");
    } catch (const boost::system::system_error&) {
        drop();
        throw;
    }
}

void consumer::look(std::span<const std::size_t> credits) {
    try {
        ask(credits);
    } catch (const refusal& why) {
        if (why.code != AMQP_NOT_FOUND) {
            throw;
        }
        // Somebody has removed a queue. What is held is of another channel, and stays.
        on_->open_channel(questions);
        declare_all();
        hear_wake_ups();
        look_at_all_ = true;
        ask(credits);
    }
}

void consumer::ask(std::span<const std::size_t> credits) {
    const auto now = clock::now();
    std::vector<served_lane*> asked;
    const bool all = std::exchange(look_at_all_, false);
    for (auto& l : lanes_) {
        const bool stale = all || l.ready != 0 || now - l.empty_since >= to_.options.poll;
        if (l.group < credits.size() && credits[l.group] != 0 && stale &&
            !(l.of.suspects() && suspect_)) {
            amqp_queue_declare_t declare{};
            declare.queue = bytes(l.queue);
            declare.passive = 1;
            on_->send(questions, AMQP_QUEUE_DECLARE_METHOD, &declare);
            asked.push_back(&l);
        } else if (all) {
            l.empty_since = {};
        }
    }
    for (auto* const l : asked) {
        l->ready = on_->answer(questions, AMQP_QUEUE_DECLARE_OK_METHOD);
        l->empty_since = now;
    }
}

std::vector<consumer::portion> consumer::plan(std::vector<std::size_t> credits) {
    std::vector<portion> wanted;
    ++turn_;
    const auto take = [&](std::uint8_t priority, std::size_t most) {
        std::size_t taken = 0;
        for (std::size_t i = 0; i != lanes_.size() && taken < most; ++i) {
            auto& l = lanes_[(i + turn_ * lane::count) % lanes_.size()];
            if (l.of.priority != priority || l.group >= credits.size()) {
                continue;
            }
            const auto n = std::min(
                {credits[l.group], std::size_t{l.ready}, most - taken, std::size_t{UINT16_MAX}});
            if (n != 0) {
                credits[l.group] -= n;
                taken += n;
                wanted.push_back({&l, n, {}, 0});
            }
        }
    };
    // A suspect first, or it would wait for as long as there is other work.
    if (!suspect_) {
        take(lane::of_suspects, 1);
    }
    for (std::uint8_t p = 0; p != lane::of_suspects; ++p) {
        take(p, SIZE_MAX);
    }
    return wanted;
}

void consumer::begin_portion(portion& p) {
    p.tag = std::to_string(p.from - lanes_.data()) + "." + std::to_string(++consumers_);
    amqp_basic_qos_t window{};
    window.prefetch_count = static_cast<std::uint16_t>(p.count);
    on_->send(deliveries, AMQP_BASIC_QOS_METHOD, &window);
    amqp_basic_consume_t consume{};
    consume.queue = bytes(p.from->queue);
    consume.consumer_tag = bytes(p.tag);
    on_->send(deliveries, AMQP_BASIC_CONSUME_METHOD, &consume);
}

bool consumer::complete(const std::vector<portion>& wanted) const {
    return std::ranges::all_of(wanted, [](const auto& p) { return p.got >= p.count; });
}

void consumer::fetch(std::vector<portion>& wanted) {
    fetching_ = &wanted;
    for (auto& p : wanted) {
        begin_portion(p);
    }
    for ([[maybe_unused]] const auto& p : wanted) {
        on_->answer(deliveries, AMQP_BASIC_QOS_OK_METHOD);
        on_->answer(deliveries, AMQP_BASIC_CONSUME_OK_METHOD);
    }
    auto until = clock::now() + longest_delivery;
    for (auto before = arrived_.size(); !complete(wanted);) {
        on_->pump(until);
        const auto now = clock::now();
        if (arrived_.size() != std::exchange(before, arrived_.size())) {
            until = now + longest_delivery;
        } else if (now >= until) {
            break;
        }
    }
    for (auto& p : wanted) {
        amqp_basic_cancel_t cancel{};
        cancel.consumer_tag = bytes(p.tag);
        on_->send(deliveries, AMQP_BASIC_CANCEL_METHOD, &cancel);
    }
    for ([[maybe_unused]] const auto& p : wanted) {
        on_->answer(deliveries, AMQP_BASIC_CANCEL_OK_METHOD);
    }
    fetching_ = nullptr;
}

void consumer::sort_out(std::vector<claimed_job>& claimed) {
    for (auto& message : std::exchange(arrived_, {})) {
        // The tag begins with the place of its lane.
        const auto& from = lanes_.at(std::stoul(message.consumer));
        sort_out(std::move(message), from, claimed);
    }
    move_away();
}

void consumer::sort_out(incoming&& message, const served_lane& from,
                        std::vector<claimed_job>& claimed) {
    auto& job = message.job;
    job.kind = from.of.kind;
    job.priority = from.of.suspects() ? job.priority : from.of.priority;
    if (job.id == 0) {
        // Beyond what the dispatcher gets to.
        job.id = (job_id{owner_} << 40) + (job_id{1} << 39) + ++nameless_;
    }
    job.crashes += static_cast<unsigned>(message.deliveries);
    const bool quarantined = job.crashes >= asked_.quarantine_after;
    if (message.deliveries != 0) {
        rescued_.push_back({job.id, job.kind, job.crashes,
                            quarantined ? job_state::quarantined : job_state::ready});
    }
    if (quarantined || (job.crashes != 0 && !from.of.suspects())) {
        to_move_.push_back({message.tag, std::move(job), quarantined});
        return;
    }
    if (from.of.suspects()) {
        suspect_ = message.tag;
    }
    held_.emplace(message.tag, held_job{job, false});
    claimed.push_back({std::move(job), {generation_, message.tag}});
}

void consumer::move_away() {
    if (to_move_.empty()) {
        return;
    }
    std::vector<outgoing> moves;
    moves.reserve(to_move_.size());
    for (const auto& m : to_move_) {
        moves.push_back({&m.job,
                         {},
                         m.quarantined ? "quarantined" : "",
                         "its processes died, or lost their connections, while they had it"});
    }
    try {
        mover_.store(moves);
    } catch (const boost::system::system_error&) {
        return;  // they wait here; what else is held must not be lost by that
    }
    std::vector<to_move> left;
    for (std::size_t i = 0; i != moves.size(); ++i) {
        if (moves[i].stored) {
            amqp_basic_ack_t ack{};
            ack.delivery_tag = to_move_[i].tag;
            on_->send(deliveries, AMQP_BASIC_ACK_METHOD, &ack);
        } else {
            left.push_back(std::move(to_move_[i]));
        }
    }
    to_move_ = std::move(left);
    look_at_all_ = true;
}

}  // namespace postlude::detail::rabbitmq
