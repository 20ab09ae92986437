// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "http/session.hpp"

#include <boost/intrusive/list.hpp>

#include <algorithm>
#include <utility>

namespace postlude::http::detail {

struct session_registry::members {
    boost::intrusive::list<session, boost::intrusive::constant_time_size<false>> list;
};

session_registry::session_registry() : members_(std::make_unique<members>()) {}
session_registry::~session_registry() = default;

void session_registry::add(session& s) {
    const std::lock_guard lock(mutex_);
    members_->list.push_back(s);
    ++size_;
}

void session_registry::remove(session& s) noexcept {
    const std::lock_guard lock(mutex_);
    if (s.is_linked()) {
        members_->list.erase(members_->list.iterator_to(s));
        --size_;
    }
}

template <class Predicate>
std::vector<std::shared_ptr<session>> session_registry::pick(const Predicate& predicate) const {
    std::vector<std::shared_ptr<session>> alive;
    const std::lock_guard lock(mutex_);
    for (auto& s : members_->list) {
        if (predicate(s)) {
            if (auto held = s.weak_from_this().lock()) {
                alive.push_back(std::move(held));
            }
        }
    }
    return alive;
}

std::vector<std::shared_ptr<session>> session_registry::all() const {
    return pick([](const session&) { return true; });
}

void session_registry::expire_overdue() const {
    const auto now = session_clock::now();
    for (const auto& s : pick([now](const session& s) { return s.overdue(now); })) {
        s->expire();
    }
}

std::size_t session_registry::evict(std::size_t most) const {
    // Raw until the end: the last reference to a session must not go while the mutex is held.
    std::vector<std::pair<session_clock::time_point, session*>> silent;
    std::vector<std::shared_ptr<session>> chosen;
    {
        const std::lock_guard lock(mutex_);
        for (auto& s : members_->list) {
            if (const auto since = s.silent_since(); since != session_clock::time_point::max()) {
                silent.emplace_back(since, &s);
            }
        }
        const auto n = std::min(most, silent.size());
        const auto middle = silent.begin() + static_cast<std::ptrdiff_t>(n);
        std::nth_element(silent.begin(), middle, silent.end());
        for (auto at = silent.begin(); at != middle; ++at) {
            if (auto held = at->second->weak_from_this().lock()) {
                chosen.push_back(std::move(held));
            }
        }
    }
    for (const auto& s : chosen) {
        s->evict();
    }
    return chosen.size();
}

}  // namespace postlude::http::detail
