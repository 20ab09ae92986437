// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "http/session.hpp"

#include <boost/intrusive/list.hpp>

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

bool session_registry::evict_one() const {
    std::shared_ptr<session> chosen;
    {
        const std::lock_guard lock(mutex_);
        auto longest = session_clock::time_point::max();
        for (auto& s : members_->list) {
            if (const auto since = s.silent_since(); since < longest) {
                if (auto held = s.weak_from_this().lock()) {
                    longest = since;
                    chosen = std::move(held);
                }
            }
        }
    }
    if (chosen) {
        chosen->evict();
    }
    return chosen != nullptr;
}

}  // namespace postlude::http::detail
