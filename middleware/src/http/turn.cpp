// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "http/turn.hpp"

#include "http/session.hpp"

#include <boost/asio/defer.hpp>

#include <algorithm>
#include <exception>
#include <optional>
#include <utility>

namespace postlude::http::detail {

namespace {

/// Responses that wait for each other.
constexpr std::size_t most_together = 32;
/// With fewer there is little to save.
constexpr std::size_t worth_a_ring = 3;
/// What a request may take on the average, its writing included; with an empty handler it is
/// about 8.
constexpr std::chrono::microseconds quick{25};
/// Not for one that was slow because this thread had to wait for its core.
constexpr unsigned slow_weighs = 4;
constexpr unsigned enough = 2 * slow_weighs;

}  // namespace

struct turn::entry {
    std::shared_ptr<session> who;
    std::optional<session::answer> answer{};
    boost::system::error_code ec{};

    /// Does one of the steps; what it throws ends this connection, and no other.
    template <class Step>
    void step(const Step& step) noexcept {
        if (!who) {
            return;
        }
        try {
            if (step()) {
                return;
            }
        } catch (...) {
            who->cut(std::current_exception());
        }
        answer.reset();
        who.reset();
    }
};

turn::turn() : ring_(most_together) {
    entries_.reserve(most_together);
    items_.reserve(most_together);
}
turn::~turn() = default;

void turn::add(std::shared_ptr<session> ready, const boost::asio::io_context::executor_type& loop) {
    ready_.push_back(std::move(ready));
    if (ready_.size() == 1) {
        boost::asio::defer(loop, [this] { run(); });
    }
}

void turn::clear() noexcept {
    ready_.clear();
    taken_.clear();
    entries_.clear();
}

void turn::run() {
    std::swap(ready_, taken_);
    ready_.reserve(taken_.size());
    auto begin = session_clock::now();
    for (std::size_t i = 0; i != taken_.size();) {
        const auto n = std::min(most_together, taken_.size() - i);
        for (std::size_t j = 0; j != n; ++j) {
            entries_.push_back({std::move(taken_[i++])});
        }
        const auto end = slowness_ >= enough ? serve_one_by_one() : serve_together();
        if (end - begin > n * quick) {
            slowness_ = std::min(slowness_ + slow_weighs, 2 * enough);
        } else if (slowness_ != 0) {
            --slowness_;
        }
        begin = end;
    }
    taken_.clear();
}

session_clock::time_point turn::serve_together() {
    for (auto& e : entries_) {
        e.step([&e] { return e.who->handle_arrived(e.answer); });
    }
    send_together();
    for (auto& e : entries_) {
        e.step([&e] { return e.who->write_or_go_on(*e.answer, e.ec); });
    }
    const auto now = session_clock::now();
    for (auto& e : entries_) {
        e.step([&e, now] {
            e.who->conclude(*e.answer, e.ec, now);
            return false;
        });
    }
    entries_.clear();
    return now;
}

void turn::send_together() {
    if (!ring_.usable() || entries_.size() < worth_a_ring) {
        return;
    }
    items_.clear();
    for (auto& e : entries_) {
        if (e.who) {
            items_.push_back(e.who->first_send(*e.answer));
        }
    }
    ring_.send(items_);
    auto sent = items_.begin();
    for (auto& e : entries_) {
        if (e.who) {
            e.who->was_sent(*e.answer, *sent++);
        }
    }
}

session_clock::time_point turn::serve_one_by_one() {
    for (auto& e : entries_) {
        e.step([&e] {
            e.who->go_on();
            return false;
        });
    }
    entries_.clear();
    return session_clock::now();
}

}  // namespace postlude::http::detail
