// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
// What an empty task a request costs a server: requests a second and futex calls a request, with
// no task, with a task deferred by Postlude, and with a task that is posted to an
// asio::thread_pool when the response has been written. The same server writes the response in all
// three, on one thread; the load comes from 32 connections, or from one.
//
// The floor: a wake-up of a sleeping worker is one futex call of the server and one of the worker
// that goes to sleep again. At 32 connections a turn of the event loop answers many requests, and
// one wake-up does for all of them. The calls are counted by the kernel, for the whole process.
//
// Completed tasks stand beside the requests: starving the work would be fast, too.
#include "postlude/http/request_info.hpp"
#include "postlude/http/respond.hpp"
#include "support/load.hpp"
#include "support/options.hpp"
#include "support/results.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>

#include <linux/perf_event.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <atomic>
#include <fstream>
#include <memory>
#include <optional>
#include <thread>

namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;
using bench::tcp;
using boost::system::error_code;

enum class work { none, postlude, asio };

/// Futex calls of this process and of the threads it starts from now on, as the kernel counts them.
class futex_counter {
public:
    futex_counter() {
        std::uint64_t id = 0;
        for (const auto* root : {"/sys/kernel/tracing", "/sys/kernel/debug/tracing"}) {
            std::ifstream file(std::string(root) + "/events/syscalls/sys_enter_futex/id");
            if (file >> id) {
                break;
            }
        }
        perf_event_attr attributes{};
        attributes.size = sizeof attributes;
        attributes.type = PERF_TYPE_TRACEPOINT;
        attributes.config = id;
        attributes.inherit = 1;
        if (id != 0) {
            fd_ = static_cast<int>(syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0));
        }
    }
    futex_counter(const futex_counter&) = delete;
    futex_counter& operator=(const futex_counter&) = delete;
    ~futex_counter() {
        if (fd_ >= 0) {
            ::close(fd_);
        }
    }
    /// Nothing where the kernel does not let this process count.
    std::optional<double> count() const {
        std::uint64_t n = 0;
        if (fd_ < 0 || ::read(fd_, &n, sizeof n) != sizeof n) {
            return std::nullopt;
        }
        return static_cast<double>(n);
    }

private:
    int fd_ = -1;
};

struct shared {
    postlude::dispatcher dispatcher;
    boost::asio::thread_pool asio_pool{
        static_cast<std::size_t>(std::thread::hardware_concurrency())};
    std::atomic<std::uint64_t> done{0};
};

class session : public std::enable_shared_from_this<session> {
public:
    session(tcp::socket socket, work what, shared& s)
        : stream_(std::move(socket)), what_(what), shared_(&s) {}

    void read() {
        request_ = {};
        http::async_read(stream_, buffer_, request_,
                         [self = shared_from_this()](error_code ec, std::size_t) {
                             if (!ec) {
                                 self->answer();
                             }
                         });
    }

private:
    void answer() {
        response_ = {http::status::ok, request_.version()};
        response_.set(http::field::content_type, "text/plain");
        response_.body() = "hello, world\n";
        postlude::deferred after(shared_->dispatcher, request_);
        if (what_ == work::postlude) {
            after.run([s = shared_] { s->done.fetch_add(1, std::memory_order_relaxed); });
        }
        postlude::async_respond(
            stream_, response_, after, [self = shared_from_this()](error_code ec, std::size_t) {
                if (ec) {
                    return;
                }
                self->read();
                if (self->what_ == work::asio) {
                    boost::asio::post(self->shared_->asio_pool, [s = self->shared_] {
                        s->done.fetch_add(1, std::memory_order_relaxed);
                    });
                }
            });
    }

    beast::tcp_stream stream_;
    beast::flat_buffer buffer_;
    http::request<http::string_body> request_;
    http::response<http::string_body> response_;
    work what_;
    shared* shared_;
};

struct result {
    double requests_per_second;
    double completed;  ///< tasks a request, when the load ends
    std::optional<double> futex_calls;
};

/// Serves a load that a process of its own makes, for `seconds`.
result measure(work what, std::size_t connections, double seconds, shared& s,
               const futex_counter& futex) {
    boost::asio::io_context loop(1);
    tcp::acceptor acceptor(loop, tcp::endpoint(boost::asio::ip::address_v4::loopback(), 0));
    const auto endpoint = acceptor.local_endpoint();
    int result_pipe[2];
    if (::pipe(result_pipe) != 0) {
        bench::fail("pipe");
    }
    const pid_t child = ::fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        bench::load load(endpoint, connections);
        load.start();
        load.run_for(seconds / 4);
        // The server looks at its counters when it hears that the measured part begins.
        double answered = 0;
        if (::write(result_pipe[1], &answered, sizeof answered) < 0) {
            bench::fail("write");
        }
        answered = static_cast<double>(load.run_for(seconds));
        if (::write(result_pipe[1], &answered, sizeof answered) < 0) {
            bench::fail("write");
        }
        ::pause();  // its connections stay open until the counters have been read
    }
    std::function<void()> accept = [&] {
        acceptor.async_accept([&](error_code ec, tcp::socket socket) {
            if (!ec) {
                socket.set_option(tcp::no_delay(true));
                std::make_shared<session>(std::move(socket), what, s)->read();
                accept();
            }
        });
    };
    accept();
    std::thread server([&] { loop.run(); });
    const auto next = [&] {
        double answered = 0;
        if (::read(result_pipe[0], &answered, sizeof answered) != sizeof answered) {
            bench::fail("the load ended early");
        }
        return answered;
    };
    next();
    const auto futex_before = futex.count();
    const auto done_before = s.done.load();
    const auto begin = bench::bench_clock::now();
    const double answered = next();
    const std::chrono::duration<double> elapsed = bench::bench_clock::now() - begin;
    const auto done = static_cast<double>(s.done.load() - done_before);
    const auto futex_after = futex.count();
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    ::close(result_pipe[0]);
    ::close(result_pipe[1]);
    loop.stop();
    server.join();
    result r{answered / elapsed.count(), done / answered, std::nullopt};
    if (futex_before && futex_after) {
        r.futex_calls = (*futex_after - *futex_before) / answered;
    }
    return r;
}

void add(bench::results& out, std::size_t connections, const char* name,
         const std::vector<double>& calls, double completed, double target) {
    bench::figure f{.part = "latency",
                    .chart = "futex calls a request for an empty task, connections: " +
                             std::to_string(connections),
                    .name = name,
                    .unit = "calls/request",
                    .rounds = calls};
    if (target > 0) {
        f.target = target < 1 ? "<= 0.2" : "<= 2";
    }
    if (completed > 0) {
        f.work_done = completed;
    }
    out.add(f);
}

void compare(std::size_t connections, double seconds, int rounds, shared& s,
             const futex_counter& futex, double target, bench::results& out) {
    constexpr work variants[] = {work::none, work::postlude, work::asio};
    constexpr const char* names[] = {"no task", "postlude", "asio::post to thread_pool"};
    std::vector<double> rates[3];
    std::vector<double> ratios[3];
    std::vector<double> futexes[3];
    std::vector<double> completed[3];
    for (int round = 0; round < rounds; ++round) {
        for (std::size_t v = 0; v < 3; ++v) {
            const auto r = measure(variants[v], connections, seconds, s, futex);
            rates[v].push_back(r.requests_per_second);
            ratios[v].push_back(r.requests_per_second / rates[0].back());
            completed[v].push_back(r.completed);
            if (r.futex_calls) {
                futexes[v].push_back(*r.futex_calls);
            }
        }
    }
    std::printf("%zu connections, %d rounds in turn, medians; target: at most %.1f futex calls\n",
                connections, rounds, target);
    std::printf("  %-28s %10s %22s %16s %16s\n", "", "requests/s", "ratio (min .. max)",
                "tasks a request", "futex a request");
    for (std::size_t v = 0; v < 3; ++v) {
        const auto [low, high] = std::ranges::minmax(ratios[v]);
        std::printf("  %-28s %10.0f %8.2f (%.2f .. %.2f) %16.2f ", names[v],
                    bench::median(rates[v]), bench::median(ratios[v]), low, high,
                    bench::median(completed[v]));
        if (futexes[v].empty()) {
            std::printf("%16s\n", "not countable");
        } else {
            std::printf("%16.3f\n", bench::median(futexes[v]));
            add(out, connections, names[v], futexes[v], bench::median(completed[v]),
                variants[v] == work::postlude ? target : 0);
        }
    }
    std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
    double seconds = 1;
    int rounds = 11;
    CLI::App app("What an empty task a request costs a server in futex calls.");
    app.add_option("--seconds", seconds, "of each measurement")->capture_default_str();
    app.add_option("--rounds", rounds)->check(CLI::PositiveNumber)->capture_default_str();
    const auto common = bench::parse(app, argc, argv);
    if (common.smoke) {
        seconds = 0.1;
        rounds = 1;
    }
    bench::results out(common.json);
    const futex_counter futex;  // before the first thread, so that it counts all of them
    shared s;
    compare(32, seconds, rounds, s, futex, 0.2, out);
    compare(1, seconds, rounds, s, futex, 2, out);
}
