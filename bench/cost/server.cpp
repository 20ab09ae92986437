// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
//
// The servers whose cost a request bench/cost.py counts, one thread that serves each:
//
// cost_server VARIANT WINDOW DIRECTORY
//   server, server-task, server-job   postlude::http::server in its default configuration; without
//                                     deferred work, with an empty task a request, and with a
//                                     durable job a request in an SQLite file in DIRECTORY
//   beast                             Beast alone: http::async_write, in a coroutine
//   embedded, embedded-task           the same with async_respond instead; without and with a task
//
// Prints its port and its process's number, and serves any GET /hello until its standard input
// ends. Each byte of that is a mark: before and after what is counted. WINDOW is a file of 4 KiB
// through which others see the counters below while this process sleeps.
#include "postlude/http/server.hpp"
#include "postlude/backends/sqlite.hpp"
#include "postlude/http/request_info.hpp"
#include "postlude/http/respond.hpp"
#include "support/allocations.hpp"
#include "support/watched_backend.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <boost/describe/class.hpp>

#include <spdlog/spdlog.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::use_awaitable;
using asio::ip::tcp;
using counter = std::atomic<std::uint64_t>;

/// What bench/cost.py reads, in this order. A mark is a byte of the standard input.
struct counters {
    counter marks{0};      ///< bytes of the standard input that were read
    counter done{0};       ///< tasks that have run, jobs whose end is stored
    counter served{0};     ///< allocations on the thread that serves
    counter elsewhere{0};  ///< and on all others
};
static_assert(counter::is_always_lock_free);

counters before_window;  // what is allocated until there is one
std::atomic<counters*> window{&before_window};
thread_local bool serves = false;  ///< set by the first request

counters& counts() noexcept { return *window.load(std::memory_order_relaxed); }

void open_window(const char* path) {
    const int fd = ::open(path, O_RDWR | O_CLOEXEC);
    void* at = fd < 0
                   ? MAP_FAILED
                   : ::mmap(nullptr, sizeof(counters), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) {
        std::perror(path);
        std::exit(1);
    }
    window = new (at) counters;
}

}  // namespace

void bench::on_allocation() noexcept {
    (serves ? counts().served : counts().elsewhere).fetch_add(1, std::memory_order_relaxed);
}

// Callgrind begins to count when the first is called, and writes down what it has when the second
// is.
extern "C" {
[[gnu::noinline]] void cost_begins() { counts().marks = 1; }
[[gnu::noinline]] void cost_ends() { counts().marks = 2; }
}

namespace {

struct mail_job {
    std::string to, name;
    static constexpr postlude::job_traits job{.kind = "mail",
                                              .stored = postlude::durability::durable};
};
BOOST_DESCRIBE_STRUCT(mail_job, (), (to, name))

void task() { counts().done.fetch_add(1, std::memory_order_relaxed); }

/// Says where it listens, then waits for the end of the standard input.
void follow_marks(unsigned short port) {
    std::printf("%hu %d\n", port, ::getpid());
    std::fflush(stdout);
    char byte = 0;
    for (bool begun = false; ::read(STDIN_FILENO, &byte, 1) == 1; begun = true) {
        begun ? cost_ends() : cost_begins();
    }
}

void run_server(std::string_view variant, const std::string& directory) {
    postlude::http::server_options options;
    options.port = 0;
    if (variant == "server-job") {
        // The end of a job is the last that its request causes.
        options.dispatcher.jobs.store = std::make_unique<bench::watched_backend>(
            postlude::sqlite_backend({.file = directory + "/jobs.db"}),
            [](std::size_t ends) { counts().done.fetch_add(ends); });
        options.dispatcher.kinds.handle<mail_job>([](const mail_job&) {});
    }
    postlude::http::server server(std::move(options));
    server.get("/hello", [variant](const postlude::http::request&, postlude::deferred& after) {
        serves = true;
        if (variant == "server-task") {
            after.run(task);
        } else if (variant == "server-job") {
            after.enqueue(mail_job{"anna@example.com", "Anna"});
        }
        return postlude::http::text(postlude::http::status::ok, "hello, world\n");
    });
    std::thread thread([&] { server.run(); });
    follow_marks(server.port());
    server.stop();
    thread.join();
}

using request = http::request<http::string_body>;
using response = http::response<http::string_body>;

response hello(const request& req) {
    serves = true;
    response res(http::status::ok, req.version());
    res.set(http::field::content_type, "text/plain");
    res.keep_alive(req.keep_alive());
    res.body() = "hello, world\n";
    res.prepare_payload();
    return res;
}

asio::awaitable<void> answer(beast::tcp_stream& stream, const request& req,
                             postlude::dispatcher* dispatcher, bool defers) {
    auto res = hello(req);
    if (dispatcher == nullptr) {
        co_await http::async_write(stream, res, use_awaitable);
        co_return;
    }
    postlude::deferred after(*dispatcher, req);
    if (defers) {
        after.run(task);
    }
    co_await postlude::async_respond(stream, std::move(res), after, use_awaitable);
}

/// One connection, as examples/embed/awaitable.cpp serves it.
asio::awaitable<void> serve(tcp::acceptor& acceptor, postlude::dispatcher* dispatcher,
                            bool defers) {
    beast::tcp_stream stream(co_await acceptor.async_accept(use_awaitable));
    beast::flat_buffer buffer;
    for (;;) {
        request req;
        stream.expires_after(std::chrono::seconds(30));
        co_await http::async_read(stream, buffer, req, use_awaitable);
        co_await answer(stream, req, dispatcher, defers);
    }
}

void run_beast(std::string_view variant) {
    std::unique_ptr<postlude::dispatcher> dispatcher;
    if (variant != "beast") {
        dispatcher = std::make_unique<postlude::dispatcher>();
    }
    asio::io_context loop(1);
    tcp::acceptor acceptor(loop, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
    asio::co_spawn(loop, serve(acceptor, dispatcher.get(), variant == "embedded-task"),
                   asio::detached);
    std::thread thread([&] { loop.run(); });
    follow_marks(acceptor.local_endpoint().port());
    loop.stop();
    thread.join();
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 4) {
        std::fputs("usage: cost_server VARIANT WINDOW DIRECTORY\n", stderr);
        return 2;
    }
    const std::string_view variant = argv[1];
    open_window(argv[2]);
    spdlog::set_level(spdlog::level::warn);
    if (variant == "server" || variant == "server-task" || variant == "server-job") {
        run_server(variant, argv[3]);
    } else if (variant == "beast" || variant == "embedded" || variant == "embedded-task") {
        run_beast(variant);
    } else {
        std::fprintf(stderr, "there is no variant %s\n", argv[1]);
        return 2;
    }
}
