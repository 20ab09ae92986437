// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_TESTS_HTTP_BAD_INPUT_SUPPORT_HPP
#define POSTLUDE_TESTS_HTTP_BAD_INPUT_SUPPORT_HPP

#include "postlude/core/request_id.hpp"
#include "support/catch.hpp"
#include "support/raw_responses.hpp"
#include "support/running_server.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <initializer_list>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace test {

/// What becomes of the connection after the answer.
enum class then { closes, stays, either };

/// Bytes that a client sends, and what may come of them.
struct attack {
    std::string name;
    std::string bytes;
    /// Of the one final answer.
    std::set<int> statuses;
    then end = then::closes;
    /// How often the handler runs for it.
    unsigned handled = 0;
    /// Whether it may be closed without a word instead.
    bool silence = false;
    /// What is sent behind it would belong to it, and change it: it is only sent alone.
    bool alone = false;
};

using attacks = std::vector<attack>;

inline attacks& operator+=(attacks& all, attacks more) {
    std::ranges::move(more, std::back_inserter(all));
    return all;
}

/// What is sent, readable: the beginning, with escapes.
inline std::string printable(std::string_view bytes) {
    std::string text;
    for (const unsigned char c : bytes.substr(0, 100)) {
        if (c >= ' ' && c < 0x7f) {
            text += static_cast<char>(c);
        } else {
            text += "\\x";
            text += "0123456789abcdef"[c >> 4];
            text += "0123456789abcdef"[c & 15];
        }
    }
    return text + (bytes.size() > 100 ? "..." : "");
}

// Requests.

inline std::string line(std::string_view request_line) {
    return std::string(request_line) + "\r\nHost: t\r\n\r\n";
}
inline std::string target(std::string_view t) {
    return line("GET " + std::string(t) + " HTTP/1.1");
}
/// @param fields each with its end.
inline std::string get(std::string_view fields) {
    return "GET / HTTP/1.1\r\nHost: t\r\n" + std::string(fields) + "\r\n";
}
inline std::string post(std::string_view fields, std::string_view body = "hello") {
    return "POST / HTTP/1.1\r\nHost: t\r\n" + std::string(fields) + "\r\n" + std::string(body);
}
inline std::string field(std::string_view whole) { return get(std::string(whole) + "\r\n"); }
inline std::string content_length(std::string_view value) {
    return post("Content-Length: " + std::string(value) + "\r\n");
}
inline std::string transfer_encoding(std::string_view value) {
    return post("Transfer-Encoding: " + std::string(value) + "\r\n", "5\r\nhello\r\n0\r\n\r\n");
}
inline std::string chunks(std::string_view body) {
    return post("Transfer-Encoding: chunked\r\n", body);
}
/// A body of one chunk whose size line is this.
inline std::string chunk_line(std::string_view size) {
    return chunks(std::string(size) + "\r\nhello\r\n0\r\n\r\n");
}
inline std::string trailer(std::string_view lines) {
    return chunks("5\r\nhello\r\n0\r\n" + std::string(lines) + "\r\n");
}

// Attacks.

using strings = std::vector<std::string_view>;

/// The values between the bars: a long list takes less room so.
inline strings split(std::string_view text) {
    strings all;
    for (std::size_t bar = 0; bar != text.npos;) {
        bar = text.find('|');
        all.push_back(text.substr(0, bar));
        text.remove_prefix(bar == text.npos ? 0 : bar + 1);
    }
    return all;
}

/// One for each of the values.
template <class Make>
attacks each(std::string_view what, const strings& values, Make bytes_of, const attack& like) {
    attacks all;
    for (const auto value : values) {
        all.push_back(like);
        all.back().name = std::string(what) + " [" + printable(value) + "]";
        all.back().bytes = bytes_of(value);
    }
    return all;
}

/// Answered with one of the statuses, and closed; no handler runs.
inline attack refusal(std::set<int> statuses = {400}) { return {"", "", std::move(statuses)}; }
/// Answered with one of the statuses, and served on; no handler runs.
inline attack answer(std::set<int> statuses) { return {"", "", std::move(statuses), then::stays}; }
/// Right after all.
inline attack service(then end = then::stays) { return {"", "", {200}, end, 1}; }

inline attack named(std::string name, std::string bytes, attack like) {
    like.name = std::move(name);
    like.bytes = std::move(bytes);
    return like;
}

/// A server whose handlers are counted, and attacks on it.
class target_server {
public:
    /// @param limit so that what hangs fails soon; what is well takes far less.
    explicit target_server(std::chrono::seconds limit = std::chrono::seconds(20))
        : running_(within(limit)) {
        using postlude::http::response;
        const auto count = [this](const auto& req, postlude::deferred& after) -> response {
            ++handled_;
            after.run([this] { ++tasks_; });
            return postlude::http::text(postlude::http::status::ok,
                                        std::to_string(req.body().size()));
        };
        running_.server.get("/", count);
        running_.server.post("/", count);
        running_.server.get("/last", count);
        running_.start();
    }

    /// Each attack alone, before and between good requests, and cut into pieces; up to the first
    /// of these that it does not bear.
    void suffers(const attacks& all) {
        for (const auto& a : all) {
            INFO(a.name);
            INFO("sent: " << printable(a.bytes));
            suffer(a, {.name = "alone"}) && suffer(a, {.name = "in pieces", .cut = true}) &&
                (a.alone ||
                 (suffer(a, {.name = "before a request", .after = true}) &&
                  suffer(a, {.name = "between requests", .before = true, .after = true}) &&
                  suffer(a, {.name = "in pieces, before a request", .after = true, .cut = true})));
            CHECK(running_.connect().ask(get("")).result_int() == 200);
            ++counted_;
        }
    }

    /// What comes when this is sent in two pieces, and then the end of the sending direction.
    std::string half_close_after(std::string_view bytes) {
        auto client = running_.connect();
        const auto cut = random_() % (bytes.size() + 1);
        client.send_apart(bytes.substr(0, cut), queue_);
        client.send(bytes.substr(cut));
        client.shutdown_send();
        return client.read_to_end();
    }

    /// After the last attack: what was handled has had its task done, and nothing else.
    void has_handled_only_what_it_may() {
        const auto report = running_.stop();
        CHECK(report.clean());
        CHECK(handled_ == counted_);
        CHECK(tasks_ == handled_);
    }

    running_server& running() { return running_; }

private:
    static postlude::http::server_options within(std::chrono::seconds limit) {
        postlude::http::server_options o;
        o.header_timeout = limit;
        o.body_timeout = limit;
        o.keep_alive_timeout = std::min(limit, std::chrono::seconds(5));
        return o;
    }

    struct way {
        const char* name;
        bool before = false;
        bool after = false;
        bool cut = false;
    };

    bool suffer(const attack& a, const way& w) {
        INFO(w.name);
        wrong_.clear();
        std::string got;
        try {
            got = exchange(a, w);
            judge(a, w, raw_responses::parse(got));
        } catch (const std::exception& e) {
            wrong_ = e.what();
        }
        // What it did wrong once shall not count against the next attack.
        counted_ += handled_now();
        INFO("received: " << printable(got));
        CHECK(wrong_ == "");
        return wrong_.empty();
    }

    void expect(bool right, const std::string& what) {
        if (!right) {
            wrong_ += what + "; ";
        }
    }

    std::string exchange(const attack& a, const way& w) {
        auto client = running_.connect();
        const auto before = w.before ? get("") : "";
        const std::string after =
            w.after ? "GET /last HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n" : "";
        if (w.cut) {
            send_cut(client, a.bytes);
            client.send(after);
        } else {
            client.send(before + a.bytes + after);
        }
        if (a.end != then::closes && !w.after) {
            client.shutdown_send();
        }
        return client.read_to_end();
    }

    /// Byte by byte, or at some places when that would be too many.
    void send_cut(http_client& client, std::string_view bytes) {
        constexpr std::size_t most = 128;
        constexpr std::size_t some = 20;
        std::set<std::size_t> cuts;
        for (std::size_t i = 1; i < (bytes.size() > most ? some : bytes.size()); ++i) {
            cuts.insert(bytes.size() > most ? random_() % bytes.size() : i);
        }
        std::size_t from = 0;
        for (const auto to : cuts) {
            if (!client.send_apart(bytes.substr(from, to - from), queue_)) {
                return;
            }
            from = to;
        }
        client.send(bytes.substr(from));
    }

    void judge(const attack& a, const way& w, std::vector<raw_response> got) {
        const bool may_continue = a.bytes.find("100-continue") != a.bytes.npos;
        const auto interim = std::erase_if(got, [](const auto& r) { return r.status == 100; });
        expect(interim <= (may_continue ? 1 : 0), "100 Continue");
        unsigned handled = 0;
        if (w.before && !got.empty()) {
            expect(got.front().status == 200 && got.front()["Connection"] != "close",
                   "the request before it was not served");
            got.erase(got.begin());
            ++handled;
        }
        const bool answered = !got.empty();
        expect(answered || a.silence, "no answer");
        if (answered) {
            judge_answer(a, w, got.front());
            handled += a.handled;
            got.erase(got.begin());
        }
        const bool goes_on =
            w.after && (a.end == then::stays || (a.end == then::either && !got.empty()));
        expect(got.size() == (goes_on ? 1 : 0),
               std::to_string(got.size()) + " answers more to what follows");
        if (goes_on && !got.empty()) {
            expect(got.front().status == 200, "the request behind it was not served");
            ++handled;
        }
        expect(handled_now() == handled, "handled " + std::to_string(handled_now()));
    }

    void judge_answer(const attack& a, const way& w, const raw_response& r) {
        expect(a.statuses.contains(r.status), "status " + std::to_string(r.status) +
                                                  " instead of " +
                                                  Catch::Detail::stringify(a.statuses));
        expect(r.count("X-Request-Id") == 1 && postlude::valid_request_id(r["X-Request-Id"]),
               "no X-Request-Id");
        expect((r.status != 405 && r.status != 204) || !r["Allow"].empty(), "no Allow");
        const bool closes = r["Connection"] == "close";
        expect(closes || a.end != then::closes, "no Connection: close");
        expect(!closes || !w.after || a.end != then::stays, "Connection: close");
    }

    /// Since the last that were counted.
    unsigned handled_now() const { return handled_ - counted_; }

    std::atomic<unsigned> handled_{0};
    std::atomic<unsigned> tasks_{0};
    unsigned counted_ = 0;
    std::string wrong_;
    std::mt19937 random_{1};
    socket_queue queue_;
    running_server running_;
};

}  // namespace test

#endif
