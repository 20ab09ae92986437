// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/http/server.hpp"

#include "http/listener.hpp"
#include "http/route_table.hpp"
#include "http/session.hpp"
#include "http/signals.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/system/system_error.hpp>

#include <spdlog/spdlog.h>

#include <sys/resource.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace postlude::http {

namespace {

using std::chrono::milliseconds;
using time_point = detail::session_clock::time_point;

/// How often time-outs are looked at, and the progress of a stop.
constexpr milliseconds look_while_serving{1'000};
constexpr milliseconds look_while_stopping{10};
/// What threads may take to end once their loop has, whatever the deadline; the second where no
/// handler holds them up.
constexpr milliseconds to_return{100};
constexpr milliseconds to_return_at_most{1'000};

void require(bool holds, const char* sentence) {
    if (!holds) {
        throw boost::system::system_error(errc::bad_option, sentence);
    }
}

void require_time(std::chrono::seconds time, const char* sentence) {
    require(time.count() >= 1 && time <= longest_drain, sentence);
}

server_options checked(server_options options) {
    require(options.threads >= 1 && options.threads <= 1'024,
            "server_options::threads takes 1 to 1024");
    require(options.connection_limit >= 1, "server_options::connection_limit takes 1 or more");
    require(options.header_limit >= 64 && options.header_limit <= 65'000,
            "server_options::header_limit takes 64 to 65000 bytes");
    require_time(options.header_timeout, "server_options::header_timeout takes 1 s to a year");
    require_time(options.body_timeout, "server_options::body_timeout takes 1 s to a year");
    require_time(options.write_timeout, "server_options::write_timeout takes 1 s to a year");
    require_time(options.keep_alive_timeout,
                 "server_options::keep_alive_timeout takes 1 s to a year");
    require(options.drain.count() >= 0 && options.drain <= longest_drain,
            "server_options::drain takes 0 ms to a year");
    return options;
}

/// What the system allows a process at first, often 1,024, is less than `connection_limit`.
void raise_descriptor_limit(const server_options& options, spdlog::logger& log) {
    constexpr rlim_t for_all_else = 256;
    const auto wanted = static_cast<rlim_t>(options.connection_limit) + for_all_else;
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted) {
        return;
    }
    limit.rlim_cur = std::min(wanted, limit.rlim_max);
    if (::setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < wanted) {
        log.warn(
            "this process may open {} files, so that {} connections (connection_limit) do not "
            "fit; raise its hard limit",
            limit.rlim_cur, options.connection_limit);
    }
}

}  // namespace

/// Shared with the threads that serve, since one that is stuck in a handler outlives the server.
struct server::state : std::enable_shared_from_this<state> {
    explicit state(server_options options)
        : service(checked(std::move(options))),
          io(static_cast<int>(service.options.threads)),
          listener(io, service) {
        raise_descriptor_limit(service.options, service.log());
    }
    ~state() {
        if (service.together) {
            service.together->clear();
        }
    }

    void start_threads();
    void wait_for_stop();
    void finish_responses(time_point until);
    void end_threads(time_point until);
    /// Waits until `done`, seeing to the time-outs meanwhile. Returns whether it was in time.
    template <class Done>
    bool wait_until(time_point end, milliseconds look, Done done);

    detail::service service;  // outlives the loop, whose destruction ends the sessions
    boost::asio::io_context io;
    std::optional<boost::asio::executor_work_guard<boost::asio::io_context::executor_type>> guard;
    detail::listener listener;

    std::mutex mutex;
    std::condition_variable changed;
    bool stop_requested = false;
    milliseconds drain{service.options.drain};
    unsigned serving = 0;
    std::vector<std::thread> threads;
};

void server::state::start_threads() {
    guard.emplace(io.get_executor());
    const auto serve = [self = shared_from_this()] {
        for (;;) {
            try {
                self->io.run();
                break;
            } catch (const std::exception& e) {
                self->service.work.pool().logger().error("a thread that serves threw: {}",
                                                         e.what());
            } catch (...) {
                self->service.work.pool().logger().error(
                    "a thread that serves threw something that is no std::exception");
            }
        }
        const std::lock_guard lock(self->mutex);
        --self->serving;
        self->changed.notify_all();
    };
    try {
        for (unsigned i = 0; i < service.options.threads; ++i) {
            const std::lock_guard lock(mutex);
            threads.emplace_back(serve);
            ++serving;
        }
    } catch (const std::system_error&) {
        end_threads(time_point::min());
        throw boost::system::system_error(errc::no_thread, "postlude::http::server");
    }
}

template <class Done>
bool server::state::wait_until(time_point end, milliseconds look, Done done) {
    std::unique_lock lock(mutex);
    while (!done()) {
        const auto now = detail::session_clock::now();
        if (now >= end) {
            return false;
        }
        changed.wait_until(lock, std::min(end, now + look));
        lock.unlock();
        service.sessions.expire_overdue();
        lock.lock();
    }
    return true;
}

void server::state::wait_for_stop() {
    wait_until(time_point::max(), look_while_serving, [this] { return stop_requested; });
}

void server::state::finish_responses(time_point until) {
    auto& log = service.work.pool().logger();
    service.stopping = true;
    listener.close();
    for (const auto& s : service.sessions.all()) {
        s->announce_stop();
    }
    const auto done = [this] { return listener.closed() && service.sessions.size() == 0; };
    if (wait_until(until, look_while_stopping, done)) {
        return;
    }
    log.error("{} connections are cut: their responses took too long", service.sessions.size());
    for (const auto& s : service.sessions.all()) {
        s->abandon();
    }
    // Those that are not stuck end at once.
    wait_until(detail::session_clock::now() + milliseconds(100), look_while_stopping, done);
}

void server::state::end_threads(time_point until) {
    guard.reset();
    io.stop();
    const auto now = detail::session_clock::now();
    const auto ended = [this] { return serving == 0; };
    if (!wait_until(std::max(until, now + to_return), look_while_stopping, ended)) {
        // A thread that is stuck has a connection still; for the others it is worth the wait.
        wait_until(now + to_return_at_most, look_while_stopping,
                   [this] { return serving <= service.sessions.size(); });
    }
    std::unique_lock lock(mutex);
    if (serving == 0) {
        lock.unlock();
        for (auto& thread : threads) {
            thread.join();
        }
        // What the loop had no time for: nobody else touches them any more.
        for (const auto& s : service.sessions.all()) {
            s->close();
        }
        return;
    }
    const auto left = serving;
    lock.unlock();
    service.work.pool().logger().error("{} threads are left in handlers that do not return", left);
    for (auto& thread : threads) {
        thread.detach();
    }
}

server::server(server_options options) : state_(std::make_shared<state>(std::move(options))) {}

server::~server() = default;

void server::route(verb method, std::string_view pattern, handler h) {
    state_->service.routes.route(method, pattern, std::move(h));
}

void server::stream(verb method, std::string_view pattern, exchange_handler h) {
    state_->service.stream(method, pattern, std::move(h));
}

void server::use(middleware m) { state_->service.routes.use(std::move(m)); }

server_counters server::counters() const noexcept {
    const auto& counts = state_->service.counts;
    return {.connections = state_->service.sessions.size(),
            .accepted = counts.accepted,
            .refused = counts.refused,
            .evicted = counts.evicted,
            .requests = counts.requests,
            .malformed = counts.malformed,
            .timed_out = counts.timed_out};
}

void server::reload_certificate() {
    if (!state_->service.identity) {
        throw boost::system::system_error(
            errc::bad_option, "there is no certificate: server_options::tls is not set");
    }
    state_->service.identity->reload();
}

void server::shutdown(milliseconds deadline) {
    require(deadline.count() >= 0 && deadline <= longest_drain,
            "server::shutdown takes 0 ms to a year");
    const std::lock_guard lock(state_->mutex);
    if (!std::exchange(state_->stop_requested, true)) {
        state_->drain = deadline;
    }
    state_->changed.notify_all();
}

unsigned short server::port() const noexcept { return state_->listener.port(); }

dispatcher& server::get_dispatcher() noexcept { return state_->service.work; }

void server::stop() noexcept {
    const std::lock_guard lock(state_->mutex);
    state_->stop_requested = true;
    state_->changed.notify_all();
}

drain_report server::run() {
    auto& s = *state_;
    auto& log = s.service.work.pool().logger();
    std::optional<detail::signal_watch> signals;
    if (s.service.options.handle_signals) {
        signals.emplace(log, [this] { stop(); });
        if (s.service.identity) {
            signals->on_hangup([this] { reload_certificate(); });
        }
    }
    s.listener.start();
    s.start_threads();
    s.wait_for_stop();

    const auto begin = detail::session_clock::now();
    const auto drain = s.drain;
    const auto deadline = begin + drain;
    log.info("stopping: {} connections, {} tasks, {} ms at most", s.service.sessions.size(),
             s.service.work.counters().left, drain.count());
    s.finish_responses(begin + drain * 4 / 5);
    const auto rest =
        std::chrono::duration_cast<milliseconds>(deadline - detail::session_clock::now());
    auto report = s.service.work.shutdown(std::max(rest, milliseconds(0)));
    s.end_threads(deadline);

    const auto counts = s.service.work.counters();
    log.info("stopped: {} tasks completed, {} failed, {} lost", counts.completed, counts.failed,
             counts.lost);
    return report;
}

}  // namespace postlude::http
