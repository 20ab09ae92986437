// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "http/pace.hpp"

namespace postlude::http::detail {

namespace {

using duration = session_clock::duration;

constexpr auto no_limit = duration::max();
/// How long a connection may still be silent once the server stops: a client that has just got a
/// response may be about to send its next request.
constexpr std::chrono::milliseconds silence_at_stop{500};
constexpr std::chrono::seconds linger_limit{2};
constexpr std::size_t progress_step = 64 * 1024;

duration limit(phase now, const server_options& options, bool stopping) noexcept {
    switch (now) {
    case phase::idle: return stopping ? silence_at_stop : duration(options.keep_alive_timeout);
    case phase::handshaking: return stopping ? silence_at_stop : duration(options.header_timeout);
    case phase::reading_head: return options.header_timeout;
    case phase::reading_body: return options.body_timeout;
    case phase::writing: return options.write_timeout;
    case phase::handling:
    case phase::taken_over: return no_limit;
    case phase::closing: return stopping ? silence_at_stop : linger_limit;
    }
    return no_limit;
}

}  // namespace

void pace::resume(phase next, const time_spent& before) noexcept {
    since_.store(session_clock::now() - before.time, std::memory_order_relaxed);
    pass(next);
    progress_ = before.bytes;
}

time_spent pace::pause(phase next) noexcept {
    const time_spent spent{session_clock::now() - since(), progress_};
    enter(next);
    return spent;
}

void pace::progress(std::size_t n) noexcept {
    progress_ += n;
    if (progress_ >= progress_step) {
        progress_ = 0;
        since_.store(session_clock::now(), std::memory_order_relaxed);
    }
}

bool pace::overdue(session_clock::time_point at, const server_options& options,
                   bool stopping) const noexcept {
    return at - since() > limit(now(), options, stopping);
}

}  // namespace postlude::http::detail
