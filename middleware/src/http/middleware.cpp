// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/http/middleware.hpp"

#include "http/access_log.hpp"

#include <chrono>
#include <string>

namespace postlude::http {

namespace {

using check = std::function<std::optional<response>(request&, deferred&)>;
using around = std::function<boost::asio::awaitable<response>(request&, deferred&, const next&)>;

/// The request line and the fields, as they were sent but for blanks around values.
std::size_t header_size(const request& req) {
    constexpr std::string_view version = " HTTP/1.1\r\n";
    auto size = req.method_string().size() + 1 + req.target().size() + version.size() + 2;
    for (const auto& line : req) {
        size += line.name_string().size() + line.value().size() + 4;
    }
    return size;
}

}  // namespace

middleware admit(std::uint32_t n, queue_id queue) {
    return check([n, queue](request&, deferred& after) -> std::optional<response> {
        if (after.reserve(n, queue)) {
            return std::nullopt;
        }
        return text(status::service_unavailable,
                    "The server is busy.\n");  // `respond` knows better
    });
}

middleware limit_body(std::uint64_t bytes) {
    return check([bytes](request& req, deferred&) -> std::optional<response> {
        if (req.body().size() <= bytes) {
            return std::nullopt;
        }
        return text(status::payload_too_large,
                    "The body may have " + std::to_string(bytes) + " bytes at most.\n");
    });
}

middleware limit_header(std::uint32_t bytes) {
    return check([bytes](request& req, deferred&) -> std::optional<response> {
        if (header_size(req) <= bytes) {
            return std::nullopt;
        }
        return text(status::request_header_fields_too_large,
                    "The header may have " + std::to_string(bytes) + " bytes at most.\n");
    });
}

middleware request_id() {
    return around(
        [](request& req, deferred& after, const next& rest) -> boost::asio::awaitable<response> {
            auto res = co_await rest(req, after);
            res.set("X-Request-Id", after.request_id());
            co_return res;
        });
}

middleware access_log(std::shared_ptr<spdlog::logger> logger) {
    return around(
        [logger = std::move(logger)](request& req, deferred& after,
                                     const next& rest) -> boost::asio::awaitable<response> {
            const auto begin = std::chrono::steady_clock::now();
            detail::access line{
                .method = req.method_string(), .path = path(req), .id = after.request_id()};
            const auto write = [&](unsigned status) {
                line.status = after.refused() ? 503 : status;
                line.tasks = after.size();
                line.took = std::chrono::steady_clock::now() - begin;
                detail::write_access_line(*logger, line);
            };
            try {
                auto res = co_await rest(req, after);
                write(res.result_int());
                co_return res;
            } catch (...) {
                write(500);
                throw;
            }
        });
}

}  // namespace postlude::http
