// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
// A server each of whose answers tells which request it belongs to, for clients that check every
// one of them. Usage: echo_server REQUESTS
//
// Each request has a query id=N, N below REQUESTS, and defers one task. The answer has the method,
// path and id in X-Answer. Prints "port N", and at the end "tasks N", how many tasks ran, and
// "once N", for how many ids exactly one did.
#include "postlude/http/server.hpp"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstdlib>
#include <iostream>
#include <numeric>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace asio = boost::asio;
namespace http = postlude::http;
using http::request;
using http::response;
using http::status;

namespace {

/// How often the task of each id has run.
class run_counts {
public:
    explicit run_counts(std::size_t ids) : counts_(ids) {}

    void add(std::size_t id) { counts_[id].fetch_add(1, std::memory_order_relaxed); }
    std::size_t total() const {
        return std::accumulate(counts_.begin(), counts_.end(), std::size_t{0});
    }
    auto once() const { return std::count(counts_.begin(), counts_.end(), 1u); }
    std::size_t size() const { return counts_.size(); }

private:
    std::vector<std::atomic<unsigned>> counts_;
};

std::string_view id_of(const request& req) { return http::query(req, "id"); }

std::size_t number(std::string_view id) {
    std::size_t n = 0;
    const auto end = id.data() + id.size();
    const auto [stop, failed] = std::from_chars(id.data(), end, n);
    if (id.empty() || stop != end || failed != std::errc()) {
        throw std::invalid_argument("the request has no id");
    }
    return n;
}

/// Defers the request's task and marks its answer.
response answer(response res, const request& req, postlude::deferred& after, run_counts& counts) {
    const auto id = number(id_of(req));
    if (id >= counts.size()) {
        throw std::out_of_range("the id is too high");
    }
    after.run([id, &counts] { counts.add(id); }, {.when = postlude::when::always});
    res.set("X-Answer", std::string(req.method_string()) + " " + std::string(http::path(req)) +
                            " " + std::string(id_of(req)));
    return res;
}

response bare(status code) {
    response res;
    res.result(code);
    return res;
}

/// A mebibyte in which each line has the id.
std::string big_body(std::string_view id) {
    std::string line(id);
    line.resize(15, '.');
    line += '\n';
    std::string body;
    body.reserve(1 << 20);
    while (body.size() < 1 << 20) {
        body += line;
    }
    return body;
}

void add_routes(http::server& server, run_counts& counts) {
    server.get("/plain", [&](const request& req, postlude::deferred& after) {
        auto res = http::text(status::ok, "plain " + std::string(id_of(req)) + "\n");
        return answer(std::move(res), req, after, counts);
    });
    server.get("/coroutine",
               [&](const request& req, postlude::deferred& after) -> asio::awaitable<response> {
                   asio::steady_timer timer(co_await asio::this_coro::executor,
                                            std::chrono::microseconds(number(id_of(req)) % 2000));
                   co_await timer.async_wait(asio::use_awaitable);
                   auto res = http::text(status::ok, "awaited " + std::string(id_of(req)) + "\n");
                   co_return answer(std::move(res), req, after, counts);
               });
    server.post("/echo", [&](const request& req, postlude::deferred& after) {
        return answer(http::text(status::ok, req.body()), req, after, counts);
    });
    server.get("/big", [&](const request& req, postlude::deferred& after) {
        return answer(http::text(status::ok, big_body(id_of(req))), req, after, counts);
    });
    server.get("/no_content", [&](const request& req, postlude::deferred& after) {
        return answer(bare(status::no_content), req, after, counts);
    });
    server.get("/not_modified", [&](const request& req, postlude::deferred& after) {
        return answer(bare(status::not_modified), req, after, counts);
    });
    server.get("/refused", [&](const request& req, postlude::deferred& after) {
        auto res = http::text(status::forbidden, "refused " + std::string(id_of(req)) + "\n");
        return answer(std::move(res), req, after, counts);
    });
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        return 2;
    }
    run_counts counts(static_cast<std::size_t>(std::atol(argv[1])));
    http::server server({.port = 0, .threads = 2});
    add_routes(server, counts);
    std::cout << "port " << server.port() << std::endl;
    server.run();
    std::cout << "tasks " << counts.total() << "\nonce " << counts.once() << std::endl;
}
