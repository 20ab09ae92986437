// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/rabbitmq/publisher.hpp"

#include "backends/rabbitmq/failure.hpp"
#include "backends/rabbitmq/message.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace postlude::detail::rabbitmq {

namespace {

constexpr amqp_channel_t confirms = 1;
constexpr amqp_channel_t others = 2;
/// So many may be on their way, in messages and in bytes: a broker that reads nothing must not let
/// the sockets fill up.
constexpr std::size_t most_open = 2'048;
constexpr std::size_t most_open_bytes = 1 << 20;
/// After so many, what the broker has answered meanwhile is read.
constexpr std::size_t between_looks = 64;
constexpr std::size_t longest_reason = 16 * 1024;

}  // namespace

void publisher::ensure() {
    if (on_) {
        try {
            on_->pump_all();
            if (!on_->has_closed(confirms)) {
                return;
            }
        } catch (const boost::system::system_error&) {
            // It was lost while nobody looked.
        }
        on_.reset();
    }
    connection::listener& self = *this;
    auto made = std::make_unique<connection>(to_, heartbeat_, self);
    made->open_channel(confirms);
    made->open_channel(others);
    amqp_confirm_select_t select{};
    made->ask(confirms, AMQP_CONFIRM_SELECT_METHOD, &select, AMQP_CONFIRM_SELECT_OK_METHOD);
    published_ = 0;
    there_.reset();
    on_ = std::move(made);
    there_.emplace(*on_, others, names_);
}

void publisher::refused(const refusal& why) {
    on_.reset();
    const auto e = explain(why, names_);
    fail(e.code, to_.shown, e.text);
}

void publisher::connect() {
    const std::lock_guard lock(mutex_);
    ensure();
}

std::string publisher::store(std::span<outgoing> all) {
    const std::lock_guard lock(mutex_);  // who holds it has a time-out of its own
    return store_alone(all);
}

std::optional<std::string> publisher::store_if_free(std::span<outgoing> all) {
    const std::unique_lock lock(mutex_, std::try_to_lock);
    return lock ? std::optional(store_alone(all)) : std::nullopt;
}

std::string publisher::store_alone(std::span<outgoing> all) {
    if (all.empty()) {
        return {};
    }
    std::string why;
    try {
        ensure();
        why = prepare(all);
    } catch (const refusal& r) {
        refused(r);
    } catch (...) {
        on_.reset();
        throw;
    }
    if (!on_->blocked().empty()) {
        fail(errc::store_unavailable, to_.shown,
             "RabbitMQ takes no messages until an administrator has made room (" + on_->blocked() +
                 ")");
    }
    try {
        std::vector<std::size_t> which(all.size());
        std::iota(which.begin(), which.end(), std::size_t{0});
        std::erase_if(which, [&](std::size_t i) { return all[i].homeless; });
        publish_all(all, which);
        settle_returned(all);
        say_it_is_there(all);
    } catch (const refusal& r) {
        take_back_returned(all);
        on_.reset();
        if (r.code != AMQP_NOT_FOUND) {  // which a new connection mends
            why = sentence(to_.shown, explain(r, names_).text);
        }
    } catch (const std::exception& e) {
        take_back_returned(all);
        // What is not confirmed by now is not known. One that the broker has only stopped reading
        // is kept: it says when that ends.
        if (on_->blocked().empty()) {
            on_.reset();
        }
        why = e.what();
    }
    // What the broker says of it later nobody waits for.
    batch_ = {};
    entry_of_.clear();
    answered_.clear();
    all_before_ = 0;
    return why;
}

std::string publisher::prepare(std::span<outgoing> all) {
    std::optional<refusal> last;
    bool any = false;
    for (auto& one : all) {
        try {
            need(one);
            any = true;
        } catch (const refusal& why) {
            one.homeless = true;
            last.emplace(why);
            on_->open_channel(others);
        }
    }
    if (last && !any) {
        throw refusal(*last);
    }
    there_->need_wake();
    return last ? sentence(to_.shown, explain(*last, names_).text) : std::string();
}

void publisher::need(const outgoing& one) {
    if (!one.ended.empty()) {
        there_->need_dead();
    } else if (one.delay.count() > 0) {
        there_->need(lane_of(*one.job), delays::route(one.delay));
    } else {
        there_->need(lane_of(*one.job));
    }
}

void publisher::publish(outgoing& one) {
    const auto& job = *one.job;
    const message_properties properties(job, one.ended, one.reason.substr(0, longest_reason));
    std::string exchange;
    std::string key;
    if (!one.ended.empty()) {
        key = names_.dead();
    } else if (one.delay.count() > 0) {
        const auto route = delays::route(one.delay);
        exchange = names_.delay(route.find('1'));
        key = delays::key(route, lane_of(job));
    } else {
        key = names_.queue(lane_of(job));
    }
    on_->publish(confirms, exchange, key, true, properties.get(), job.arguments);
    ++published_;
}

void publisher::publish_all(std::span<outgoing> all, std::span<const std::size_t> which) {
    batch_ = all;
    base_ = published_ + 1;
    entry_of_.assign(which.begin(), which.end());
    answered_.assign(which.size(), false);
    open_ = open_bytes_ = all_before_ = 0;
    returned_.clear();
    on_->gather(true);
    for (std::size_t i = 0; i != which.size(); ++i) {
        auto& one = all[which[i]];
        publish(one);
        ++open_;
        open_bytes_ += one.job->arguments.size();
        if (i % between_looks == between_looks - 1) {
            on_->pump_all();
            check_channel();
        }
        if (open_ >= most_open) {
            wait_for(most_open / 2);
        }
        if (open_bytes_ >= most_open_bytes) {
            wait_for(0);
            open_bytes_ = 0;
        }
    }
    wait_for(0);
}

void publisher::check_channel() {
    if (on_->has_closed(confirms)) {
        on_->answer(confirms, AMQP_CONFIRM_SELECT_OK_METHOD);  // throws why
    }
}

void publisher::wait_for(std::size_t most) {
    on_->gather(false);  // sends what is there
    check_channel();
    auto deadline = clock::now() + to_.options.timeout;
    while (open_ > most) {
        const auto before = open_;
        on_->pump(deadline);
        check_channel();
        const auto now = clock::now();
        if (open_ != before) {
            deadline = now + to_.options.timeout;
        } else if (now >= deadline || !on_->blocked().empty()) {
            fail(errc::store_unavailable, to_.shown, "the broker does not confirm");
        }
    }
}

void publisher::confirmed(std::uint64_t tag, bool multiple, bool good) {
    if (tag < base_ || tag >= base_ + entry_of_.size()) {
        return;
    }
    const auto last = static_cast<std::size_t>(tag - base_);
    for (auto i = multiple ? all_before_ : last; i <= last; ++i) {
        if (!answered_[i]) {
            answered_[i] = true;
            batch_[entry_of_[i]].stored = good;
            --open_;
        }
    }
    while (all_before_ != answered_.size() && answered_[all_before_]) {
        ++all_before_;
    }
}

void publisher::delivered(incoming&& message) {
    if (message.returned) {
        returned_.push_back(std::move(message));
    }
}

std::vector<std::size_t> publisher::take_back_returned(std::span<outgoing> all) {
    std::vector<std::size_t> which;
    for (std::size_t i = 0; i != all.size() && !returned_.empty(); ++i) {
        if (std::ranges::any_of(returned_,
                                [&](const auto& r) { return r.job.id == all[i].job->id; })) {
            all[i].stored = false;
            which.push_back(i);
        }
    }
    return which;
}

void publisher::settle_returned(std::span<outgoing> all) {
    auto again = take_back_returned(all);
    if (again.empty()) {
        return;
    }
    there_->forget();  // their queue was there, and somebody has removed it
    prepare(all);
    std::erase_if(again, [&](std::size_t i) { return all[i].homeless; });
    publish_all(all, again);
    take_back_returned(all);
}

void publisher::say_it_is_there(std::span<const outgoing> all) {
    const bool any = std::ranges::any_of(all, [](const auto& one) {
        return one.stored && one.ended.empty() && one.delay.count() == 0;
    });
    if (any) {
        amqp_basic_properties_t transient{};
        on_->publish(others, names_.wake(), {}, false, transient, {});
    }
}

std::optional<std::uint32_t> publisher::waiting(const std::string& queue) {
    const std::lock_guard lock(mutex_);
    try {
        ensure();
        amqp_queue_declare_t declare{};
        declare.queue = bytes(queue);
        declare.passive = 1;
        return on_->ask(others, AMQP_QUEUE_DECLARE_METHOD, &declare, AMQP_QUEUE_DECLARE_OK_METHOD);
    } catch (const refusal& why) {
        if (why.code != AMQP_NOT_FOUND) {
            refused(why);
        }
        on_->open_channel(others);
        return {};
    } catch (...) {
        on_.reset();
        throw;
    }
}

void publisher::keep_alive() {
    const std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock || !on_) {
        return;
    }
    try {
        on_->pump_all();
    } catch (const std::exception&) {
        on_.reset();  // whoever needs it makes it anew
    }
}

}  // namespace postlude::detail::rabbitmq
