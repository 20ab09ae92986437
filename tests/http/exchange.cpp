// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/http/exchange.hpp"

#include "support/catch.hpp"
#include "support/running_server.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

#include <atomic>
#include <exception>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>

using namespace std::chrono_literals;
using boost::asio::awaitable;
using postlude::deferred;
using postlude::when;
using postlude::http::exchange;
using postlude::http::field;
using postlude::http::next;
using postlude::http::request;
using postlude::http::response;
using postlude::http::server_options;
using postlude::http::status;
using postlude::http::text;
using postlude::http::verb;

namespace {

const std::string post = "POST / HTTP/1.1\r\nHost: t\r\n";
const std::string get = "GET / HTTP/1.1\r\nHost: t\r\n\r\n";

std::string sized(std::size_t n) {
    return post + "Content-Length: " + std::to_string(n) + "\r\n\r\n";
}
const std::string chunked = post + "Transfer-Encoding: chunked\r\n\r\n";

std::string chunks_of(std::size_t n, std::size_t chunk) {
    std::string all;
    char size[20];
    for (; n != 0; n -= std::min(n, chunk)) {
        std::snprintf(size, sizeof size, "%zx\r\n", std::min(n, chunk));
        all += size + std::string(std::min(n, chunk), 'c') + "\r\n";
    }
    return all + "0\r\n\r\n";
}

/// Reads the body to its end and answers with its size.
awaitable<void> count_body(exchange& e) {
    std::size_t size = 0;
    for (;;) {
        const auto piece = co_await e.read();
        if (piece.empty()) {
            break;
        }
        size += piece.size();
    }
    co_await e.respond(text(status::ok, std::to_string(size)));
}

response with_length(std::size_t n) {
    response head(status::ok, 11);
    head.content_length(n);
    return head;
}

/// Which conditions' tasks ran.
class conditions {
public:
    void register_all(deferred& after) {
        for (const auto condition : {when::handled, when::sent, when::failed, when::always}) {
            after.run(
                [this, condition] {
                    const std::lock_guard lock(mutex_);
                    ran_.insert(condition);
                },
                {.when = condition});
        }
    }
    std::set<when> ran() const {
        const std::lock_guard lock(mutex_);
        return ran_;
    }

private:
    mutable std::mutex mutex_;
    std::set<when> ran_;
};
const std::set<when> succeeded{when::handled, when::sent, when::always};
const std::set<when> unsent{when::handled, when::always};
const std::set<when> failed{when::failed, when::always};

/// A server with one exchange handler for every method that is asked for.
struct streaming_server : test::running_server {
    explicit streaming_server(postlude::http::exchange_handler h, server_options options = {})
        : running_server(std::move(options)) {
        server.stream(verb::get, "/", h);
        server.stream(verb::post, "/", std::move(h));
        start();
    }
};

}  // namespace

TEST_CASE("a handler reads a body piece by piece, larger than the server's limit if it says so") {
    constexpr std::size_t size = 3'000'000;
    server_options options;
    options.body_limit = 1'000;
    std::atomic<std::size_t> largest{0};
    streaming_server running(
        [&](exchange& e) -> awaitable<void> {
            CHECK(e.get_request().body().empty());
            e.limit_body(size);
            std::size_t sum = 0;
            for (;;) {
                const auto piece = co_await e.read();
                if (piece.empty()) {
                    break;
                }
                sum += piece.size();
                largest = std::max(largest.load(), piece.size());
            }
            CHECK((co_await e.read()).empty());
            co_await e.respond(text(status::ok, std::to_string(sum)));
        },
        std::move(options));
    auto client = running.connect();
    CHECK(client.ask(sized(size) + std::string(size, 'x')).body() == std::to_string(size));
    CHECK(client.ask(chunked + chunks_of(size, 50'000)).body() == std::to_string(size));
    CHECK(client.ask(chunked + chunks_of(3, 1)).body() == "3");
    CHECK(client.ask(sized(0)).body() == "0");
    CHECK(client.get("/").body() == "0");
    CHECK(largest <= 64 * 1024);
    CHECK(client.ask(sized(size + 1)).result() == status::payload_too_large);
    CHECK(client.ended());
}

TEST_CASE("a body over the limit is 413, and what is malformed 400, as the last response") {
    const bool lowered = GENERATE(false, true);
    server_options options;
    options.body_limit = lowered ? 1'000'000 : 1'000;
    conditions ran;
    streaming_server running(
        [&](exchange& e) -> awaitable<void> {
            ran.register_all(e.after());
            if (lowered) {
                e.limit_body(1'000);
            }
            co_await count_body(e);
        },
        std::move(options));
    const auto answer = [&](const std::string& bytes) {
        auto client = running.connect();
        const auto got = client.ask(bytes);
        CHECK(got["Connection"] == "close");
        CHECK(client.ended());
        return got.result();
    };
    CHECK(answer(sized(1'001)) == status::payload_too_large);
    CHECK(answer(chunked + chunks_of(1'001, 100)) == status::payload_too_large);
    CHECK(answer(chunked + "nonsense\r\n") == status::bad_request);
    running.stop();
    CHECK(ran.ran() == failed);
    CHECK(running.log.count({"the handler of"}) == 0);  // it is no fault of his
}

TEST_CASE("a handler that catches what is wrong with the body answers as it likes, and in whole") {
    const bool in_pieces = GENERATE(false, true);
    server_options options;
    options.body_limit = 1'000;
    conditions ran;
    streaming_server running(
        [&](exchange& e) -> awaitable<void> {
            ran.register_all(e.after());
            bool too_large = false;
            try {
                while (!(co_await e.read()).empty()) {
                }
            } catch (const boost::system::system_error& error) {
                too_large = error.code() == boost::beast::http::error::body_limit;
            }
            CHECK(too_large);
            if (in_pieces) {
                co_await e.begin(text(status::ok, "at most "));
                co_await e.write("a thousand");
            } else {
                co_await e.respond(text(status::ok, "at most a thousand"));
            }
        },
        std::move(options));
    auto client = running.connect();
    const auto got = client.ask(chunked + chunks_of(1'001, 100));
    CHECK(got.result() == status::ok);
    CHECK(got.body() == "at most a thousand");
    CHECK((got.count("Transfer-Encoding") == 1) == in_pieces);
    CHECK(!got.keep_alive());
    CHECK(client.ended());
    CHECK(!client.was_reset());
    running.stop();
    CHECK(ran.ran() == succeeded);
    CHECK(running.log.count({"the handler of"}) == 0);
}

TEST_CASE("a handler that throws again what was wrong with the body cuts its own response") {
    server_options options;
    options.body_limit = 1'000;
    conditions ran;
    streaming_server running(
        [&](exchange& e) -> awaitable<void> {
            ran.register_all(e.after());
            std::exception_ptr wrong;
            try {
                while (!(co_await e.read()).empty()) {
                }
            } catch (...) {
                wrong = std::current_exception();
            }
            co_await e.begin(text(status::payload_too_large, "at most "));
            std::rethrow_exception(wrong);
        },
        std::move(options));
    auto client = running.connect();
    client.send(chunked + chunks_of(1'001, 100));
    CHECK(client.read_to_end().ends_with("\r\n\r\n8\r\nat most \r\n"));
    running.stop();
    CHECK(ran.ran() == failed);
}

TEST_CASE("a body that does not get on is answered with 408, also one that drips") {
    server_options options;
    options.body_timeout = 1s;
    streaming_server running([](exchange& e) { return count_body(e); }, std::move(options));
    auto stops = running.connect();
    stops.send(sized(10) + "x");
    auto drips = running.connect();
    drips.send(sized(1'000'000));
    const auto since = std::chrono::steady_clock::now();
    while (!drips.readable(20ms) && std::chrono::steady_clock::now() - since < test::patience) {
        drips.send("x");
    }
    for (auto* client : {&stops, &drips}) {
        const auto got = client->read();
        REQUIRE(got);
        CHECK(got->result() == status::request_timeout);
        CHECK((*got)["Connection"] == "close");
    }
    CHECK(running.server.counters().timed_out == 2);
}

TEST_CASE("a time-out or a full queue of the handler's own is its failure, not the client's") {
    const auto code = GENERATE(boost::system::error_code(boost::asio::error::timed_out),
                               make_error_code(postlude::errc::full));
    streaming_server running([code](exchange& e) -> awaitable<void> {
        co_await e.read();
        throw boost::system::system_error(code, "from elsewhere");
    });
    auto client = running.connect();
    CHECK(client.get("/").result() == status::internal_server_error);
    CHECK(running.log.count({"the handler of / failed: from elsewhere"}) == 1);
    CHECK(client.get("/").result() == status::internal_server_error);
}

TEST_CASE("a client that goes in the middle of its body is told to the handler") {
    std::atomic<bool> gone{false};
    conditions ran;
    streaming_server running([&](exchange& e) -> awaitable<void> {
        ran.register_all(e.after());
        try {
            co_await count_body(e);
        } catch (const boost::system::system_error& error) {
            gone = error.code() == boost::beast::http::error::partial_message;
            throw;
        }
    });
    auto client = running.connect();
    client.send(sized(10) + "x");
    client.shutdown_send();
    REQUIRE(test::eventually([&] { return gone.load(); }));
    running.stop();
    CHECK(ran.ran() == failed);
}

TEST_CASE("a client that waits for 100-continue is told so once, and only when the body is read") {
    std::atomic<int> handled{0};
    test::door door;
    const test::door_opener opener(door);
    streaming_server running([&](exchange& e) -> awaitable<void> {
        ++handled;
        if (e.get_request()["X-Unwanted"] == "yes") {
            co_await e.respond(text(status::forbidden, "no"));
            co_return;
        }
        door.wait();
        co_await count_body(e);
    });
    const std::string expects = "Expect: 100-continue\r\n";
    auto client = running.connect();
    client.send(post + expects + "Content-Length: 10\r\n\r\n");
    REQUIRE(door.wait_for_waiters(1));
    CHECK(!client.readable(0ms));
    door.open();
    CHECK(client.read_raw("\r\n\r\n") == "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("12345");
    CHECK(!client.readable(20ms));
    CHECK(client.ask("67890").body() == "10");
    // What is there already is not asked for.
    CHECK(client.ask(post + expects + "Content-Length: 2\r\n\r\nhi").body() == "2");

    const auto got = client.ask(post + expects + "X-Unwanted: yes\r\nContent-Length: 2\r\n\r\n");
    CHECK(got.result() == status::forbidden);
    CHECK(got["Connection"] == "close");
    CHECK(client.ended());
}

TEST_CASE("a client that waits for 100-continue is not told so within the response") {
    streaming_server running([](exchange& e) -> awaitable<void> {
        co_await e.begin(response(status::ok, 11));
        const auto piece = co_await e.read();
        co_await e.write(piece);
    });
    auto client = running.connect();
    client.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
    CHECK(client.read_raw("\r\n\r\n").starts_with("HTTP/1.1 200 OK\r\n"));
    client.send("body");
    CHECK(client.read_to_end() == "4\r\nbody\r\n0\r\n\r\n");
}

TEST_CASE("a response of unknown length is chunked, and its connection stays") {
    streaming_server running([](exchange& e) -> awaitable<void> {
        auto head = text(status::created, "first, ");
        co_await e.begin(std::move(head));
        co_await e.write("second");
        co_await e.write("");  // is not its end
        co_await e.write(", third");
    });
    auto client = running.connect();
    client.send(get + get + "GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
    for (int i = 0; i < 2; ++i) {
        const auto got = client.read();
        REQUIRE(got);
        CHECK(got->result() == status::created);
        CHECK((*got)["Transfer-Encoding"] == "chunked");
        CHECK((*got)["X-Request-Id"].size() == 32);
        CHECK((*got)["Date"].ends_with(" GMT"));
        CHECK(got->body() == "first, second, third");
        CHECK(got->keep_alive());
    }
    const auto raw = client.read_to_end();
    CHECK(raw.find("Connection: close\r\n") != raw.npos);
    CHECK(raw.ends_with("\r\n\r\n7\r\nfirst, \r\n6\r\nsecond\r\n7\r\n, third\r\n0\r\n\r\n"));
}

TEST_CASE("a response with a Content-Length is sent as it is, and must come to that") {
    streaming_server running([](exchange& e) -> awaitable<void> {
        const std::string body(e.get_request()["X-Body"]);
        co_await e.begin(with_length(6));
        co_await e.write(body.substr(0, 3));
        co_await e.write(body.substr(3));
    });
    auto client = running.connect();
    for (int i = 0; i < 2; ++i) {
        const auto got = client.get("/", "X-Body: 123456\r\n");
        CHECK(got["Content-Length"] == "6");
        CHECK(got.count("Transfer-Encoding") == 0);
        CHECK(got.body() == "123456");
    }
    client.send("GET / HTTP/1.1\r\nHost: t\r\nX-Body: 12345\r\n\r\n");
    CHECK(client.read_to_end().ends_with("\r\n\r\n12345"));
    CHECK(running.log.count({"wrote 1 bytes less than its Content-Length says"}) == 1);

    auto other = running.connect();
    other.send("GET / HTTP/1.1\r\nHost: t\r\nX-Body: 1234567\r\n\r\n");
    CHECK(other.read_to_end().ends_with("\r\n\r\n123"));
    CHECK(running.log.count({"longer than its Content-Length"}) == 1);
}

TEST_CASE("HEAD, 204 and 304 have no body, whatever the handler writes") {
    streaming_server running([](exchange& e) -> awaitable<void> {
        const auto code = e.get_request()["X-Status"];
        response head(code == "204"   ? status::no_content
                      : code == "304" ? status::not_modified
                                      : status::ok,
                      11);
        co_await e.begin(std::move(head));
        co_await e.write("what nobody may see");
    });
    auto client = running.connect();
    const auto none = client.get("/", "X-Status: 204\r\n");
    CHECK(none.result() == status::no_content);
    CHECK(none.count("Transfer-Encoding") == 0);
    CHECK(client.get("/", "X-Status: 304\r\n").result() == status::not_modified);
    CHECK(client.ask("HEAD / HTTP/1.1\r\nHost: t\r\n\r\n", true).result() == status::ok);
    CHECK(client.get("/").body() == "what nobody may see");
}

TEST_CASE("to a client of HTTP/1.0 the body ends with the connection, a broken one with a reset") {
    streaming_server running([](exchange& e) -> awaitable<void> {
        co_await e.begin(response(status::ok, 11));
        co_await e.write("hello");
        if (e.get_request()["X-Broken"] == "yes") {
            throw std::runtime_error("no luck");
        }
    });
    auto client = running.connect();
    const auto got = client.ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    CHECK(got.count("Transfer-Encoding") == 0);
    CHECK(got["Connection"] == "close");
    CHECK(got.body() == "hello");

    auto broken = running.connect();
    broken.send("GET / HTTP/1.0\r\nX-Broken: yes\r\n\r\n");
    broken.read_to_end();
    CHECK(broken.was_reset());
    CHECK(!client.was_reset());
}

TEST_CASE("a handler that writes faster than its client reads is held up, not its memory") {
    constexpr std::size_t pieces = 1'000;
    const std::string piece(256 * 1024, 'x');
    std::atomic<std::size_t> written{0};
    conditions ran;
    server_options options;
    options.write_timeout = 300s;
    streaming_server running(
        [&](exchange& e) -> awaitable<void> {
            ran.register_all(e.after());
            co_await e.begin(with_length(pieces * piece.size()));
            for (std::size_t i = 0; i < pieces; ++i) {
                co_await e.write(piece);
                ++written;
            }
        },
        std::move(options));
    test::http_client slow(running.server.port(), 64 * 1024);
    slow.send(get);
    slow.discard(1'000'000);
    std::size_t before = 0;
    int polls = 0;  // since it got on for the last time
    REQUIRE(test::eventually([&] {
        polls = std::exchange(before, written.load()) == written ? polls + 1 : 0;
        return polls == 100;
    }));
    CHECK(written < pieces / 2);
    CHECK(ran.ran().empty());
    slow.discard(pieces * piece.size() - 1'000'000);
    REQUIRE(test::eventually([&] { return ran.ran() == succeeded; }));
}

TEST_CASE("a body that nobody has read ends the connection with the response") {
    std::atomic<int> handled{0};
    streaming_server running([&](exchange& e) -> awaitable<void> {
        ++handled;
        co_await e.respond(text(status::ok, "enough"));
    });
    auto client = running.connect();
    client.send(sized(500'000) + std::string(500'000, 'x') + get);
    const auto got = client.read();
    REQUIRE(got);
    CHECK(got->body() == "enough");
    CHECK(!got->keep_alive());
    CHECK(client.ended());
    CHECK(handled == 1);
}

TEST_CASE("a handler that throws before its response is 500, after it the connection is cut") {
    conditions before;
    conditions during;
    streaming_server running([&](exchange& e) -> awaitable<void> {
        const bool begins = e.get_request()["X-Begin"] == "yes";
        (begins ? during : before).register_all(e.after());
        if (begins) {
            co_await e.begin(response(status::ok, 11));
            co_await e.write("half");
        }
        throw std::runtime_error("no luck");
    });
    auto client = running.connect();
    CHECK(client.get("/").result() == status::internal_server_error);
    client.send("GET / HTTP/1.1\r\nHost: t\r\nX-Begin: yes\r\n\r\n");
    const auto raw = client.read_to_end();
    CHECK(raw.find("4\r\nhalf\r\n") != raw.npos);
    CHECK(raw.find("0\r\n\r\n") == raw.npos);
    CHECK(running.log.count({"the handler of / failed: no luck"}) == 2);
    running.stop();
    CHECK(before.ran() == failed);
    CHECK(during.ran() == failed);
}

TEST_CASE("a broken response is not made to look whole by middleware that swallows the failure") {
    test::running_server running;
    running.server.use([](request& req, deferred& after, const next& rest) -> awaitable<response> {
        try {
            co_return co_await rest(req, after);
        } catch (const std::exception&) {
        }
        co_return text(status::internal_server_error, "sorry");
    });
    running.server.stream(verb::get, "/", [](exchange& e) -> awaitable<void> {
        if (e.get_request()["X-Begin"] == "yes") {
            co_await e.begin(response(status::ok, 11));
            co_await e.write("half");
        }
        throw std::runtime_error("no luck");
    });
    running.start();
    auto client = running.connect();
    CHECK(client.get("/").body() == "sorry");
    client.send("GET / HTTP/1.1\r\nHost: t\r\nX-Begin: yes\r\n\r\n");
    const auto raw = client.read_to_end();
    CHECK(raw.find("half") != raw.npos);
    CHECK(raw.find("0\r\n\r\n") == raw.npos);
}

TEST_CASE("a handler that makes no response is 500, and that is logged") {
    streaming_server running([](exchange&) -> awaitable<void> { co_return; });
    auto client = running.connect();
    CHECK(client.get("/").result() == status::internal_server_error);
    CHECK(running.log.count({"the handler of / failed: it returned without a response"}) == 1);
}

TEST_CASE("deferred work waits for the last byte of a streamed response") {
    std::atomic<bool> ran{false};
    std::atomic<bool> early{false};
    test::door door;
    const test::door_opener opener(door);
    streaming_server running([&](exchange& e) -> awaitable<void> {
        e.after().run([&] { ran = true; });
        co_await e.begin(response(status::ok, 11));
        e.after().run([&] { ran = true; });
        co_await e.write("first");
        door.wait();
        early = ran.load();
        co_await e.write("last");
    });
    auto client = running.connect();
    client.send(get);
    client.read_raw("first\r\n");
    // Other work, begun after it, is done meanwhile: the workers are idle.
    std::atomic<bool> other{false};
    CHECK(!running.server.get_dispatcher().try_run([&] { other = true; }));
    REQUIRE(test::eventually([&] { return other.load(); }));
    CHECK(!ran);
    door.open();
    client.read_raw("0\r\n\r\n");
    CHECK(test::eventually([&] { return ran.load(); }));
    CHECK(!early);
    running.stop();
    CHECK(running.counters().completed == 3);
}

TEST_CASE("conditions go by the status that a streamed response began with, and by its writing") {
    conditions good;
    conditions bad;
    conditions cut;
    std::atomic<bool> broke{false};
    streaming_server running([&](exchange& e) -> awaitable<void> {
        const auto kind = e.get_request()["X-Kind"];
        (kind == "good" ? good : kind == "bad" ? bad : cut).register_all(e.after());
        co_await e.begin(response(kind == "bad" ? status::not_found : status::ok, 11));
        const std::string piece(1 << 20, 'x');
        try {
            for (int i = 0; kind == "cut" || i == 0; ++i) {
                co_await e.write(piece);
            }
        } catch (const boost::system::system_error&) {
            broke = true;
            throw;
        }
    });
    auto client = running.connect();
    client.get("/", "X-Kind: good\r\n");
    client.get("/", "X-Kind: bad\r\n");
    client.send("GET / HTTP/1.1\r\nHost: t\r\nX-Kind: cut\r\n\r\n");
    client.discard(1 << 20);
    client.reset();
    REQUIRE(test::eventually([&] { return broke.load(); }));
    running.stop();
    CHECK(good.ran() == succeeded);
    CHECK(bad.ran() == failed);
    CHECK(cut.ran() == unsent);
}

TEST_CASE("a list that was refused work gets 503 instead of a streamed response") {
    server_options options;
    options.dispatcher.pool.threads = 1;
    options.dispatcher.pool.default_queue.capacity = 1;
    options.dispatcher.retry_after = 7s;
    test::door door;
    const test::door_opener opener(door);
    std::atomic<int> refused{0};
    streaming_server running(
        [&](exchange& e) -> awaitable<void> {
            e.after().run([door] { door.wait(); });
            try {
                co_await e.begin(with_length(5));
            } catch (const boost::system::system_error& error) {
                refused += error.code() == postlude::errc::full ? 1 : 0;
                throw;
            }
            co_await e.write("hello");
        },
        std::move(options));
    auto client = running.connect();
    CHECK(client.get("/").body() == "hello");
    REQUIRE(door.wait_for_waiters(1));
    for (int i = 1; i < 4; ++i) {
        const auto got = client.get("/");  // on the same connection, which is in order
        CHECK(got.result() == status::service_unavailable);
        CHECK(got["Retry-After"] == "7");
        CHECK(got.keep_alive());
        CHECK(test::eventually([&] { return refused == i; }));
    }
    CHECK(running.log.count({"the handler of"}) == 0);
    door.open();
    REQUIRE(test::eventually([&] { return running.counters().left == 0; }));
    CHECK(client.get("/").body() == "hello");
}

TEST_CASE("a handler that asked is told when the server stops, and can end its response in time") {
    std::atomic<bool> told{false};
    streaming_server running([&](exchange& e) -> awaitable<void> {
        boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor, 1h);
        e.on_stop([&] {
            told = true;
            timer.cancel();
        });
        co_await e.begin(response(status::ok, 11));
        co_await e.write("endless");
        co_await timer.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
        co_await e.write(", but for this");
    });
    auto client = running.connect();
    client.send(get);
    client.read_raw("endless");
    std::jthread stopper([&] { CHECK(running.stop().clean()); });
    const auto rest = client.read_to_end();
    CHECK(rest.ends_with(", but for this\r\n0\r\n\r\n"));
    stopper.join();
    CHECK(told);
    CHECK(running.log.count({"did not end in time"}) == 0);
}

TEST_CASE("middleware stands around exchanges: checks, finishes of the header, coroutines") {
    std::atomic<int> handled{0};
    std::atomic<int> seen{0};
    test::running_server running;
    running.server.use([](const request&, response& res) { res.set("X-Finished", "yes"); });
    running.server.use([](request& req, deferred&) -> std::optional<response> {
        if (req["X-Forbidden"] == "yes") {
            return text(status::forbidden, "no");
        }
        return std::nullopt;
    });
    running.server.use([&](request& req, deferred& after, const next& rest) -> awaitable<response> {
        auto res = co_await rest(req, after);
        seen = static_cast<int>(res.result_int());
        co_return res;
    });
    running.server.stream(verb::post, "/", [&](exchange& e) -> awaitable<void> {
        ++handled;
        co_await e.read();
        co_await e.begin(response(status::accepted, 11));
        co_await e.write("streamed");
    });
    running.start();
    auto client = running.connect();
    const auto got = client.ask(sized(2) + "hi");
    CHECK(got.result() == status::accepted);
    CHECK(got["X-Finished"] == "yes");
    CHECK(got.body() == "streamed");
    CHECK(seen == 202);
    const auto refused = client.ask(post + "X-Forbidden: yes\r\nContent-Length: 0\r\n\r\n");
    CHECK(refused.result() == status::forbidden);
    CHECK(refused["X-Finished"] == "yes");
    CHECK(handled == 1);
}

TEST_CASE("what an exchange cannot do any more it refuses with a sentence") {
    std::atomic<int> refused{0};
    streaming_server running([&](exchange& e) -> awaitable<void> {
        const auto note = [&](const boost::system::system_error& error) {
            refused += error.code() == postlude::errc::bad_option ? 1 : 0;
        };
        try {
            co_await e.write("x");
        } catch (const boost::system::system_error& error) {
            note(error);
        }
        co_await e.respond(text(status::ok, "once"));
        try {
            co_await e.respond(text(status::ok, "twice"));
        } catch (const boost::system::system_error& error) {
            note(error);
        }
        try {
            e.take_over();
        } catch (const boost::system::system_error& error) {
            note(error);
        }
    });
    auto client = running.connect();
    CHECK(client.get("/").body() == "once");
    CHECK(test::eventually([&] { return refused == 3; }));
    CHECK(client.get("/").body() == "once");
}
