// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_HTTP_ACCESS_LOG_HPP
#define POSTLUDE_SRC_HTTP_ACCESS_LOG_HPP

#include "postlude/http/detail/transport.hpp"

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace spdlog {
class logger;
}

namespace postlude::http::detail {

/// One response, for the access log.
struct access {
    std::string client{};
    std::string_view method{};  ///< empty for what was no request
    std::string_view path{};
    unsigned status = 0;
    std::optional<std::size_t> sent{};
    std::chrono::nanoseconds took{};
    std::size_t tasks = 0;
    std::string_view id{};
};

/// The peer's address, or "unix".
std::string client_of(const stream_socket& socket);

/// One line. What comes from the client is in quotes, and nothing in it can end the line: the
/// path's bytes but visible ASCII are written as \xNN.
void write_access_line(spdlog::logger& log, const access& a);

}  // namespace postlude::http::detail

#endif
