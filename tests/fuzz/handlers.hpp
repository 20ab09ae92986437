// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_TESTS_FUZZ_HANDLERS_HPP
#define POSTLUDE_TESTS_FUZZ_HANDLERS_HPP

#include "http/service.hpp"
#include "postlude/http/exchange.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <atomic>
#include <stdexcept>
#include <string>

namespace fuzz {

using boost::asio::awaitable;
using boost::asio::use_awaitable;
using postlude::deferred;
using postlude::when;
using postlude::http::exchange;
using postlude::http::request;
using postlude::http::response;
using postlude::http::status;
using postlude::http::verb;

/// What the handlers have done.
struct handled {
    unsigned calls = 0;         ///< for the current input
    bool waits = false;         ///< for it: one does not return by itself
    unsigned owed = 0;          ///< tasks that run in any case
    std::atomic<unsigned> ran;  ///< of those owed
    std::atomic<unsigned> wrong{0};
};

/// The beginning of each handler's response: its name and what was asked.
inline std::string heading(std::string_view name, const request& req) {
    std::string text(name);
    text += ' ';
    text += req.method_string();
    text += ' ';
    text += req.target();
    return text + '\n';
}

/// A handler of each kind there is. All GET and POST.
class handlers {
public:
    explicit handlers(handled& done) : done_(done) {}

    void add_to(postlude::http::router& routes, auto stream) {
        for (const auto method : {verb::get, verb::post}) {
            add_functions(routes, method);
            add_coroutines(routes, method);
            add_readers([&](auto path, auto h) { stream(method, path, std::move(h)); });
            add_writers([&](auto path, auto h) { stream(method, path, std::move(h)); });
        }
    }

private:
    /// Notes the call, and registers what runs in any case.
    void enter(deferred& after) {
        ++done_.calls;
        owe(after);
    }
    void owe(deferred& after) {
        done_.owed += after.run([this] { ++done_.ran; }, {.when = when::always}) ? 1 : 0;
    }

    response whole(std::string_view name, const request& req) {
        return postlude::http::text(status::ok, heading(name, req) + req.body());
    }

    void add_functions(postlude::http::router& routes, verb method) {
        routes.route(method, "/plain", [this](const request& req, deferred& after) {
            enter(after);
            return whole("plain", req);
        });
        routes.route(method, "/none", [this](const request&, deferred& after) {
            enter(after);
            return response(status::no_content, 11);
        });
        routes.route(method, "/big", [this](const request& req, deferred& after) {
            enter(after);
            auto res = whole("big", req);
            res.body().resize(100'000, '.');
            return res;
        });
        routes.route(method, "/throws", [this](const request&, deferred& after) -> response {
            enter(after);
            after.run([this] { ++done_.wrong; });
            throw std::runtime_error("as asked");
        });
        routes.route(method, "/params/{a}/{b...}", [this](const request& req, deferred& after) {
            enter(after);
            const bool dots = req.param("a").find("..") != std::string_view::npos;
            done_.wrong += req.param("a").empty() || (dots && req.param("a") == "..") ? 1 : 0;
            return whole("params", req);
        });
        routes.route(method, "/tasks/{n}", [this](const request& req, deferred& after) {
            enter(after);
            for (std::size_t i = 0; i < req.param("n").size(); ++i) {
                owe(after);
                after.run([] { throw std::runtime_error("a task that fails"); },
                          {.when = when::failed});
                after.run([] {}, {.when = when::sent});
            }
            return whole("tasks", req);
        });
    }

    void add_coroutines(postlude::http::router& routes, verb method) {
        routes.route(method, "/coroutine",
                     [this](const request& req, deferred& after) -> awaitable<response> {
                         enter(after);
                         co_await boost::asio::post(use_awaitable);
                         after.run([]() -> awaitable<void> {
                             co_await boost::asio::post(use_awaitable);
                             co_return;
                         });
                         co_return whole("coroutine", req);
                     });
        routes.route(
            method, "/waits", [this](const request& req, deferred& after) -> awaitable<response> {
                enter(after);
                done_.waits = true;
                boost::asio::steady_timer never(co_await boost::asio::this_coro::executor,
                                                std::chrono::steady_clock::time_point::max());
                co_await never.async_wait(use_awaitable);
                co_return whole("waits", req);
            });
    }

    awaitable<std::string> body_of(exchange& e) {
        std::string body;
        for (auto piece = co_await e.read(); !piece.empty(); piece = co_await e.read()) {
            body += piece;
        }
        co_return body;
    }

    void add_readers(auto stream) {
        stream("/read", [this](exchange& e) -> awaitable<void> {
            enter(e.after());
            auto body = co_await body_of(e);
            auto res = whole("read", e.get_request());
            res.body() += body;
            co_await e.respond(std::move(res));
        });
        stream("/small", [this](exchange& e) -> awaitable<void> {
            enter(e.after());
            e.limit_body(3);
            auto body = co_await body_of(e);
            done_.wrong += body.size() > 3 ? 1 : 0;
            auto res = whole("small", e.get_request());
            res.body() += body;
            co_await e.respond(std::move(res));
        });
        stream("/ignore", [this](exchange& e) -> awaitable<void> {
            enter(e.after());
            co_await e.respond(postlude::http::text(status::accepted, "ignored"));
        });
        stream("/nothing", [this](exchange& e) -> awaitable<void> {
            enter(e.after());
            co_await e.read();
        });
        stream("/take", [this](exchange& e) -> awaitable<void> { return take(e); });
    }

    awaitable<void> take(exchange& e) {
        enter(e.after());
        done_.waits = true;
        const auto begin =
            "HTTP/1.1 101 Switching Protocols\r\n\r\n" + heading("take", e.get_request());
        auto stream = e.take_over();
        postlude::pending_response pending(e.after(), 101);
        auto [ec, n] = co_await boost::asio::async_write(stream, boost::asio::buffer(begin),
                                                         boost::asio::as_tuple(use_awaitable));
        pending.end(ec);
        pending.release(stream.get_executor());
        std::array<char, 100> bytes;
        while (!ec) {
            const auto [end, got] = co_await stream.async_read_some(
                boost::asio::buffer(bytes), boost::asio::as_tuple(use_awaitable));
            if (end) {
                break;
            }
            std::tie(ec, n) = co_await boost::asio::async_write(
                stream, boost::asio::buffer(bytes, got), boost::asio::as_tuple(use_awaitable));
        }
    }

    static response begin_of(std::string_view name, const request& req) {
        response head(status::ok, 11);
        head.body() = heading(name, req);
        return head;
    }

    void add_writers(auto stream) {
        stream("/echo", [this](exchange& e) -> awaitable<void> {
            enter(e.after());
            co_await e.begin(begin_of("echo", e.get_request()));
            for (auto piece = co_await e.read(); !piece.empty(); piece = co_await e.read()) {
                co_await e.write(piece);
            }
        });
        stream("/length", [this](exchange& e) -> awaitable<void> {
            enter(e.after());
            const auto body = co_await body_of(e);
            auto head = begin_of("length", e.get_request());
            head.content_length(head.body().size() + body.size());
            co_await e.begin(std::move(head));
            owe(e.after());
            for (const char& c : body) {
                co_await e.write({&c, 1});
            }
        });
        stream("/cut", [this](exchange& e) -> awaitable<void> {
            enter(e.after());
            co_await e.begin(begin_of("cut", e.get_request()));
            throw std::runtime_error("in the middle, as asked");
        });
        stream("/short", [this](exchange& e) -> awaitable<void> {
            enter(e.after());
            auto head = begin_of("cut", e.get_request());
            head.content_length(100'000);
            co_await e.begin(std::move(head));
        });
        stream("/late", [this](exchange& e) -> awaitable<void> {
            enter(e.after());
            co_await e.begin(begin_of("late", e.get_request()));
            const auto body = co_await body_of(e);
            co_await boost::asio::post(use_awaitable);
            co_await e.write(body);
        });
    }

    handled& done_;
};

}  // namespace fuzz

#endif
