// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/http/server.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <cstring>

namespace postlude::http {

namespace {

constexpr int first_descriptor = 3;

// The environment is not thread-safe, and the header says so of this.
// NOLINTBEGIN(concurrency-mt-unsafe)

/// The number that a variable holds, or -1.
int number_in(const char* variable) noexcept {
    const char* const text = std::getenv(variable);
    if (!text) {
        return -1;
    }
    int n = -1;
    const auto* const end = text + std::strlen(text);
    const auto [stop, error] = std::from_chars(text, end, n);
    return error == std::errc{} && stop == end ? n : -1;
}

}  // namespace

std::vector<int> inherited_sockets() {
    std::vector<int> sockets;
    if (number_in("LISTEN_PID") == ::getpid()) {
        for (int i = 0; i < number_in("LISTEN_FDS"); ++i) {
            const auto descriptor = first_descriptor + i;
            ::fcntl(descriptor, F_SETFD, FD_CLOEXEC);
            sockets.push_back(descriptor);
        }
        ::unsetenv("LISTEN_PID");
        ::unsetenv("LISTEN_FDS");
        ::unsetenv("LISTEN_FDNAMES");
    }
    return sockets;
}
// NOLINTEND(concurrency-mt-unsafe)

}  // namespace postlude::http
