// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
// A whole connection: what a client sends, in pieces, to a session with handlers of every kind, and
// how it ends. All that comes back is checked against what was sent.
#include "http/session.hpp"

#include "check.hpp"
#include "handlers.hpp"
#include "pieces.hpp"
#include "requests.hpp"
#include "responses.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include <spdlog/logger.h>
#include <spdlog/sinks/base_sink.h>

#include <sys/socket.h>
#include <unistd.h>

#include <sched.h>
#include <array>
#include <cerrno>
#include <chrono>
#include <memory>
#include <string>

namespace {

namespace asio = boost::asio;
namespace detail = postlude::http::detail;
using fuzz::check;

/// How a connection goes on when all has been sent. What else there is, is `half_close`.
enum class ending : unsigned {
    half_close,
    time_out,
    reset,
    stop,
    abandon,
    evict,
    close,
    half_close_unread  ///< what comes is not read before all has been sent
};

/// No line of the access log may hold what could end it or move the cursor.
class checked_sink : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
    void sink_it_(const spdlog::details::log_msg& line) override {
        for (const char c : line.payload) {
            check(c >= ' ' && c < 0x7f, "the access log has a byte that is no visible ASCII",
                  {line.payload.data(), line.payload.size()});
        }
    }
    void flush_() override {}
};

postlude::http::server_options options() {
    using std::chrono::seconds;
    postlude::http::server_options o{.header_limit = fuzz::header_limit,
                                     .body_limit = fuzz::body_limit,
                                     // Over as soon as somebody looks.
                                     .header_timeout = seconds(0),
                                     .body_timeout = seconds(0),
                                     .write_timeout = seconds(0),
                                     .keep_alive_timeout = seconds(0)};
    o.access_log = std::make_shared<spdlog::logger>("access", std::make_shared<checked_sink>());
    o.dispatcher.pool.threads = 1;
    o.dispatcher.pool.logger = std::make_shared<spdlog::logger>("server");
    o.dispatcher.pool.logger->set_level(spdlog::level::off);
    return o;
}

/// What is kept for all inputs.
struct server {
    server() {
        handlers.add_to(service.routes, [this](verb method, std::string_view path, auto h) {
            service.stream(method, path, h);
        });
        service.routes.use([](request&, deferred&) -> std::optional<response> { return {}; });
        service.routes.use([](const request&, response& res) { res.set("X-Finish", "x"); });
    }
    using verb = postlude::http::verb;
    using request = postlude::http::request;
    using response = postlude::http::response;
    using deferred = postlude::deferred;

    /// Runs all that can run now.
    void settle() {
        while (io.poll() != 0) {
        }
    }

    fuzz::handled done{};
    fuzz::handlers handlers{done};
    detail::service service{options()};
    asio::io_context io{1};
    asio::executor_work_guard<asio::io_context::executor_type> guard{io.get_executor()};
};

class connection {
public:
    explicit connection(server& to, bool reads) : server_(to), reads_(reads) {
        std::array<int, 2> ends;
        check(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0, "socketpair");
        fd_ = ends[0];
        // So that the larger responses have to wait.
        const int small = 8'192;
        ::setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
        detail::stream_socket socket(asio::make_strand(server_.io),
                                     asio::generic::stream_protocol(AF_UNIX, 0), ends[1]);
        std::make_shared<detail::session>(server_.service,
                                          detail::make_plain_transport(std::move(socket), true))
            ->start();
        server_.settle();
    }
    connection(const connection&) = delete;
    connection& operator=(const connection&) = delete;
    ~connection() { close(); }

    void send(std::string_view piece) {
        while (!piece.empty()) {
            const auto n = ::send(fd_, piece.data(), piece.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
            if (n < 0 && errno != EAGAIN) {
                return;  // it is closed, which may be right
            }
            const bool moved = n > 0 || reads_;
            piece.remove_prefix(n > 0 ? static_cast<std::size_t>(n) : 0);
            server_.settle();
            if (reads_ || n < 0) {
                receive();
            }
            if (!moved && n < 0 && ++stuck_ > 10'000) {
                return;  // a handler that does not read
            }
            if (n < 0 && reads_ && ++stuck_ > 10'000) {
                return;
            }
        }
        server_.settle();
        if (reads_) {
            receive();
        }
    }
    void shutdown_send() { ::shutdown(fd_, SHUT_WR); }
    void close() {
        if (fd_ >= 0) {
            ::close(std::exchange(fd_, -1));
            server_.settle();
        }
    }
    /// Reads until nothing comes any more.
    void receive() {
        server_.settle();
        std::array<char, 64 * 1024> bytes;
        for (;;) {
            const auto n = ::recv(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT);
            if (n <= 0) {
                ended_ = ended_ || n == 0;
                return;
            }
            received_.append(bytes.data(), static_cast<std::size_t>(n));
            server_.settle();
        }
    }

    bool ended() const noexcept { return ended_; }
    const std::string& received() const noexcept { return received_; }

private:
    server& server_;
    const bool reads_;
    int fd_ = -1;
    unsigned stuck_ = 0;
    bool ended_ = false;
    std::string received_;
};

void end(server& on, connection& client, ending how) {
    auto& sessions = on.service.sessions;
    switch (how) {
    case ending::time_out: sessions.expire_overdue(); break;
    case ending::reset: client.close(); return;
    case ending::stop:
        on.service.stopping = true;
        for (const auto& s : sessions.all()) {
            s->announce_stop();
        }
        sessions.expire_overdue();
        break;
    case ending::abandon:
        for (const auto& s : sessions.all()) {
            s->abandon();
        }
        break;
    case ending::evict: sessions.evict(1); break;
    default: break;
    }
    client.receive();
    if (how != ending::close && how != ending::time_out) {
        client.shutdown_send();
        client.receive();
    }
    check(client.ended() || on.done.waits || how == ending::close, "the connection does not end",
          client.received());
    client.close();
}

/// The connection has ended, in whichever way.
void check_gone(server& on) {
    for (const auto& s : on.service.sessions.all()) {
        check(on.done.waits, "a session does not end");
        s->abandon();
    }
    on.settle();
    check(on.service.sessions.size() == 0, "a session is left");
    on.service.stopping = false;
}

/// Each task has been accounted for.
void check_tasks(server& on) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (on.service.work.counters().left != 0) {
        check(std::chrono::steady_clock::now() < deadline, "a task does not end");
        ::sched_yield();
        on.settle();
    }
    const auto n = on.service.work.counters();
    check(n.registered == n.refused + n.discarded + n.completed + n.failed + n.lost,
          "the counters do not add up");
    check(n.lost == 0 && n.refused == 0, "a task was lost or refused");
    check(on.done.ran == on.done.owed, "not each task that is owed has run");
    check(on.done.wrong == 0, "a task ran, or a handler saw, what it may not");
}

/// What came back, against what was sent.
class judge {
public:
    judge(std::string_view sent, std::string_view received, const fuzz::handled& done, ending how)
        : sent_(sent),
          received_(received),
          done_(done),
          how_(how),
          requests_(fuzz::requests_in(sent)),
          reader_(received) {}

    void see() {
        while (!reader_.done() && !over_) {
            see_next();
        }
        require(reader_.done(), "something comes after the connection's last response");
        require(finals_ <= blank_lines() + 1, "more responses than requests");
        require(done_.calls <= blank_lines(), "more calls of handlers than requests");
        if (!harsh() && !done_.waits && !over_) {
            require(finals_ == requests_.all.size() + (requests_.refused ? 1 : 0) -
                                   (cut_off_body() ? 1 : 0),
                    "a request has no response");
        }
    }

private:
    void require(bool holds, const char* what) const {
        if (!holds) {
            check(false, what, std::string(sent_) + "--- received ---\n" + std::string(received_));
        }
    }

    /// The client or the server has cut the connection.
    bool harsh() const noexcept {
        return how_ == ending::reset || how_ == ending::abandon || how_ == ending::close ||
               how_ == ending::time_out || how_ == ending::stop || how_ == ending::evict;
    }
    /// The last request is counted among the requests; its refusal is its response.
    bool cut_off_body() const noexcept {
        return !requests_.all.empty() && !requests_.all.back().whole;
    }
    std::size_t blank_lines() const {
        std::size_t n = 0;
        for (auto at = sent_.find("\r\n\r\n"); at != sent_.npos;
             at = sent_.find("\r\n\r\n", at + 2)) {
            ++n;
        }
        return n;
    }

    void see_next() {
        const auto* asked = finals_ < requests_.all.size() ? &requests_.all[finals_] : nullptr;
        const auto got = reader_.next(asked && asked->method == "HEAD");
        if (got.status == 100 && got.whole) {
            require(asked && !std::exchange(continued_, true), "100 Continue unasked");
            return;
        }
        if (got.status == 101 && got.whole) {
            see_taken_over(asked);
            return;
        }
        continued_ = false;
        ++finals_;
        over_ = !got.whole || got.closes || got.connection == "close" ||
                (asked && !asked->keep_alive && got.connection != "keep-alive");
        if (!asked) {
            require(got.status >= 400 && (!got.whole || got.connection == "close"),
                    "what is no request is not refused");
            return;
        }
        require(asked->whole || over_, "the connection goes on behind half a request");
        see_body(*asked, got);
    }

    void see_body(const fuzz::sent_request& asked, const fuzz::received_response& got) {
        const auto name = std::string_view(got.body).substr(0, got.body.find(' '));
        require(got.whole || harsh() || name == "cut" || !asked.whole, "a response is cut off");
        if (got.status != 200 || asked.method == "HEAD") {
            return;
        }
        auto right = std::string(name) + " " + asked.method + " " + asked.target + "\n" +
                     (name == "cut" ? "" : asked.body);
        if (name == "big") {
            right.resize(100'000, '.');
        }
        require(got.whole && asked.whole ? got.body == right : right.starts_with(got.body),
                "a response is not that of its request");
    }

    void see_taken_over(const fuzz::sent_request* asked) {
        over_ = true;
        require(asked, "101 for no request");
        const auto right = "take " + asked->method + " " + asked->target + "\n" +
                           std::string(sent_.substr(asked->end));
        require(how_ == ending::half_close ? reader_.rest() == right
                                           : right.starts_with(reader_.rest()),
                "what has taken the connection over got other bytes");
        reader_ = fuzz::response_reader({});
    }

    std::string_view sent_;
    std::string_view received_;
    const fuzz::handled& done_;
    ending how_;
    fuzz::sent_requests requests_;
    fuzz::response_reader reader_;
    std::size_t finals_ = 0;
    bool continued_ = false;
    bool over_ = false;  ///< no further response may come
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static auto& on = *new server;
    fuzz::pieces pieces(data, size, 200);
    if (!pieces.valid()) {
        return -1;
    }
    on.done.calls = 0;
    on.done.waits = false;
    const auto how = static_cast<ending>(pieces.mode() % 8);
    connection client(on, how != ending::half_close_unread);
    while (!pieces.done()) {
        client.send(pieces.next());
    }
    end(on, client, how);
    check_gone(on);
    // Waiting for the workers takes longer than all else. A single input is always checked.
    static unsigned inputs = 0;
    if (inputs++ % 16 == 0) {
        check_tasks(on);
    }
    judge(pieces.all(), client.received(), on.done, how).see();
    return 0;
}
