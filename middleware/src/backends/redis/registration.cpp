// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/redis/registration.hpp"

#include <array>
#include <charconv>
#include <random>

namespace postlude::detail::redis {

namespace {

std::string new_secret() {
    std::random_device source;
    std::string text;
    for (int i = 0; i < 4; ++i) {
        std::array<char, 8> digits;
        const auto end =
            std::to_chars(digits.data(), digits.data() + digits.size(), source(), 16).ptr;
        text.append(digits.data(), end);
    }
    return text.append(".");
}

}  // namespace

registration::registration(const location& to, script& enter, std::chrono::milliseconds lease,
                           format known)
    : to_(to),
      enter_(enter),
      lease_(std::to_string(std::chrono::microseconds(lease).count())),
      format_(known),
      secret_(new_secret()) {}

void registration::enter(connection& by, deadline until) {
    token_ = secret_ + "0";
    number_ = static_cast<std::uint32_t>(send(by, token_, {}, until));
}

std::int64_t registration::send(connection& by, const std::string& token,
                                const std::vector<std::uint64_t>& claims, deadline until) {
    command c;
    c.add(number_).add(token).add(lease_).add(format_.version).add(format_.min_reader).add(secret_);
    for (const auto claim : claims) {
        c.add(claim);
    }
    const auto answer = by.run(enter_, c, until);
    if (answer.is_error()) {
        refuse(answer.text());
    }
    return answer.integer();
}

std::string registration::token(connection& by, deadline until) {
    lock held(mutex_);
    if (!free_.wait_until(held, until, [this] { return !busy_; })) {
        to_.fail(errc::store_unavailable,
                 "the server has not answered in time; the network or the server hangs");
    }
    if (stale_) {
        renew(held, by, until);
    }
    return token_;
}

void registration::renew(lock& held, connection& by, deadline until) {
    busy_ = true;
    const auto claims = claims_;
    const auto next = secret_ + std::to_string(++count_);
    held.unlock();
    try {
        send(by, next, claims, until);
    } catch (...) {
        held.lock();
        busy_ = false;
        free_.notify_all();
        throw;
    }
    held.lock();
    busy_ = false;
    stale_ = false;
    token_ = next;
    std::erase_if(claims_, [&](auto claim) {
        return std::find(claims.begin(), claims.end(), claim) != claims.end();
    });
    free_.notify_all();
}

void registration::lost(const std::string& token) {
    const std::lock_guard held(mutex_);
    stale_ |= token == token_;
}

void registration::in_doubt(std::uint64_t claim) {
    const std::lock_guard held(mutex_);
    stale_ = true;
    if (claim != 0) {
        claims_.push_back(claim);
    }
}

void registration::refuse(std::string_view error) const {
    const auto rest = error.substr(std::min(error.find(' '), error.size() - 1) + 1);
    if (error.starts_with("POSTLUDEFOREIGN")) {
        to_.fail(errc::bad_store, std::string("another program's data is under the key ")
                                      .append(rest)
                                      .append("; name a prefix of its own for Postlude's jobs"));
    }
    if (error.starts_with("POSTLUDENEWER")) {
        const auto space = rest.find(' ');
        to_.fail(errc::bad_store, std::string("a newer Postlude has brought it to version ")
                                      .append(rest.substr(0, space))
                                      .append(", which needs a program that knows version ")
                                      .append(rest.substr(space + 1))
                                      .append(" or later; this one knows ")
                                      .append(std::to_string(format_.version))
                                      .append(": use the newer one"));
    }
    if (error.starts_with("POSTLUDEFULL")) {
        to_.fail(errc::bad_store,
                 "it was opened 8 million times, and has no number left for another process; let "
                 "its jobs end and begin with a new prefix");
    }
    to_.fail(errc::bad_store,
             "the server has lost what it had stored, and given this process's number to another "
             "one; restart this process");
}

}  // namespace postlude::detail::redis
