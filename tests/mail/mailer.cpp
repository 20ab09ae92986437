// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/mail/mailer.hpp"

#include "mail/send_both.hpp"
#include "mail/servers.hpp"
#include "postlude/dispatch/dispatcher.hpp"
#include "support/catch.hpp"
#include "support/eventually.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/system/system_error.hpp>

#include <dlfcn.h>
#include <netdb.h>

#include <atomic>
#include <fstream>
#include <future>
#include <optional>
#include <thread>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using boost::system::error_code;
using postlude::mail::errc;
using postlude::mail::is_passing;
using postlude::mail::is_permanent;
using postlude::mail::mailer;
using postlude::mail::mailer_options;
using postlude::mail::message;
using postlude::mail::report;
using postlude::mail::security;
using test::loop;
using test::make_message;

/// Listens, and says nothing.
class silent_server {
public:
    unsigned short port() const { return acceptor_.local_endpoint().port(); }

private:
    asio::io_context io_;
    asio::ip::tcp::acceptor acceptor_{io_, {asio::ip::address_v4::loopback(), 0}};
};

/// What a name server that does not answer is like, for names that end so.
constexpr std::string_view slow_domain = ".slow.example";
test::door name_server;

}  // namespace

/// Stands before the C library's for the whole test program, libcurl included.
extern "C" int getaddrinfo(const char* host, const char* service, const addrinfo* hints,
                           addrinfo** found) {
    using function = int(const char*, const char*, const addrinfo*, addrinfo**);
    static auto* const original = reinterpret_cast<function*>(::dlsym(RTLD_NEXT, "getaddrinfo"));
    if (host && std::string_view(host).ends_with(slow_domain)) {
        name_server.wait();
        return EAI_AGAIN;
    }
    return original(host, service, hints, found);
}

TEST_CASE("A mail is sent by a blocking call and with any completion token") {
    test::smtp_server server;
    asio::thread_pool other(1);  // outlives the loop, which posts to it
    loop loop;
    mailer mailer(server.options(), loop.get().get_executor());

    const auto about = mailer.send(make_message());
    CHECK(about.reply == "250 OK kept as 1");
    CHECK(about.message_id.ends_with("@example.com"));

    CHECK(mailer.async_send(make_message(), asio::use_future).get().reply == "250 OK kept as 2");
    auto by_coroutine = asio::co_spawn(
        loop.get(),
        [&]() -> asio::awaitable<report> {
            co_return co_await mailer.async_send(make_message(), asio::use_awaitable);
        },
        asio::use_future);
    CHECK(by_coroutine.get().reply == "250 OK kept as 3");

    // A handler runs where it belongs: by default on the mailer's executor, else on its own.
    std::promise<std::thread::id> here;
    mailer.async_send(make_message(), [&](error_code, const report&) {
        here.set_value(std::this_thread::get_id());
    });
    CHECK(here.get_future().get() == loop.thread());
    std::promise<std::thread::id> there;
    mailer.async_send(make_message(), asio::bind_executor(other, [&](error_code, const report&) {
                          there.set_value(std::this_thread::get_id());
                      }));
    const auto id = there.get_future().get();
    CHECK(id != loop.thread());
    CHECK(id != std::this_thread::get_id());
    CHECK(test::read_mails(server.mails()).size() == 5);
}

TEST_CASE("A field that cannot be sent is an error in each way of sending, and nothing connects") {
    test::smtp_server server;
    auto bad = make_message("Hello\nBcc: eve@example.org");
    CHECK_BOTH(server.options(), bad,
               code == errc::bad_field && is_permanent(code) && about.field == "subject" &&
                   about.reply == "holds a line feed");
    mailer mailer(server.options());
    CHECK_THROWS_WITH(mailer.send(bad), Catch::StartsWith("subject: holds a line feed"));
    CHECK(server.connections() == 0);
}

TEST_CASE("STARTTLS and TLS work, with verification and authentication") {
    const auto kind = GENERATE(security::starttls, security::tls);
    test::smtp_server server({.security = kind, .authentication = true});
    CHECK_BOTH(server.options(), make_message(), !code);
    CHECK(server.kept() == 2);

    auto options = server.options();
    options.password = "a wrong secret";
    CHECK_BOTH(options, make_message(),
               code == errc::authentication_failed && is_permanent(code) &&
                   about.reply.starts_with("535 ") &&
                   about.reply.find("secret") == std::string::npos);
    options = server.options();
    options.ca_file.clear();  // the system does not know it
    CHECK_BOTH(options, make_message(), code == errc::tls_failed && is_passing(code));
    options.verify = false;
    CHECK_BOTH(options, make_message(), !code);
    options.username.clear();
    CHECK_BOTH(options, make_message(), code == errc::rejected && about.reply.starts_with("530 "));
    CHECK(server.kept() == 4);
}

TEST_CASE("A server that offers no authentication gets no mail where one is asked for") {
    test::smtp_server server;
    auto options = server.options();
    options.username = "ada";
    CHECK_BOTH(options, make_message(), code == errc::authentication_failed);
    CHECK(server.arrived() == 0);
}

TEST_CASE("A certificate for another host is not trusted") {
    test::smtp_server server({.security = security::starttls, .subjects = "DNS:other.example"});
    CHECK_BOTH(server.options(), make_message(), code == errc::tls_failed);
    CHECK(server.kept() == 0);
}

TEST_CASE("Without STARTTLS at the server nothing is sent") {
    test::smtp_server server;
    auto options = server.options();
    options.security = security::starttls;
    CHECK_BOTH(options, make_message(), code == errc::tls_failed && is_passing(code));
    CHECK(server.arrived() == 0);
}

TEST_CASE("A password does not go unencrypted to another host") {
    mailer_options options{
        .host = "mail.example.com", .security = security::none, .username = "ada"};
    CHECK_THROWS_WITH(mailer(options), Catch::Contains("allow_plain_password"));
    options.allow_plain_password = true;
    CHECK_NOTHROW(mailer(options));
    options.allow_plain_password = false;
    options.host = "127.0.0.1";
    CHECK_NOTHROW(mailer(options));
    options.host = "127.0.0.1.example.com";
    CHECK_THROWS_AS(mailer(options), boost::system::system_error);
}

TEST_CASE("An option out of its range is named") {
    const auto refused = [](const mailer_options& options, const char* name) {
        CHECK_THROWS_WITH(mailer(options), Catch::StartsWith(name));
    };
    refused({.host = ""}, "host");
    for (const auto* host : {"a@b/c", "mail.example.com:25", "1.2.3.4:25", ":", "a..b", "[::1]"}) {
        refused({.host = host}, "host");
    }
    for (const auto* host : {"::1", "fe80::1", "mail.example.com", "mail_server", "1.2.3.4"}) {
        CHECK_NOTHROW(mailer({.host = host}));
    }
    refused({.password = "a\nb"}, "username and password");
    refused({.client_name = "a b"}, "client_name");
    refused({.connect_timeout = 0ms}, "connect_timeout");
    refused({.timeout = 2h}, "timeout");
    refused({.connections = 0}, "connections");
    refused({.idle = -1ms}, "idle");
}

TEST_CASE("Permanent and passing refusals are told apart, and name what they are about") {
    test::smtp_server server;
    const auto options = server.options();
    auto m = make_message();
    m.from.address = "code-550@example.com";
    CHECK_BOTH(options, m,
               code == errc::rejected && is_permanent(code) && about.field == "from.address");
    m.from.address = "code-451@example.com";
    CHECK_BOTH(options, m,
               code == errc::try_later && is_passing(code) && about.reply.starts_with("451 "));
    m = make_message();
    m.to.push_back({"", "code-550@example.org"});
    m.to.push_back({"", "lin@example.org"});
    CHECK_BOTH(options, m,
               code == errc::rejected && about.field == "to[1].address" &&
                   about.reply == "550 5.1.1 as asked");
    m.to[1].address = "code-450@example.org";
    CHECK_BOTH(options, m, code == errc::try_later && about.field == "to[1].address");
    CHECK_BOTH(options, make_message("[code 554]"), code == errc::rejected && about.field.empty());
    CHECK_BOTH(options, make_message("[code 452]"), code == errc::try_later);
    CHECK_BOTH(options, make_message("[code 421]"), code == errc::try_later);
    m = make_message();
    m.bcc = {{"", "drop@example.org"}};
    CHECK_BOTH(options, m, code == errc::connection_failed && is_passing(code));
    // One recipient refused: nobody has got the mail.
    CHECK(server.kept() == 0);

    mailer mailer(options);
    m = make_message();
    m.to[0].address = "nobody@example.org";
    CHECK_THROWS_WITH(mailer.send(m), Catch::StartsWith("to[0].address: 550 5.1.1 no such user"));
}

TEST_CASE("A mail that was handed over and not confirmed is told apart") {
    test::smtp_server server;
    CHECK_BOTH(server.options(), make_message("[drop]"),
               code == errc::unconfirmed && is_passing(code));
    CHECK(server.kept() == 2);  // and it has been delivered indeed
}

TEST_CASE("A mail that is larger than the server takes is refused before it is sent") {
    test::smtp_server server({.size = 10'000});
    auto m = make_message();
    m.text.assign(20'000, 'x');
    CHECK_BOTH(server.options(), m,
               code == errc::rejected && about.field.empty() &&
                   about.reply.find("message size") != std::string::npos);
    CHECK(server.arrived() == 0);
}

TEST_CASE("Nobody listens: a passing failure") {
    mailer_options options{.port = test::free_port(), .security = security::none};
    CHECK_BOTH(options, make_message(), code == errc::connection_failed && is_passing(code));
}

TEST_CASE("Connections are used again, and one that the server has closed costs no mail") {
    test::smtp_server server;
    loop loop;
    mailer mailer(server.options(), loop.get().get_executor());
    const auto both = [&](message m = make_message()) {
        mailer.send(m);
        mailer.async_send(m, asio::use_future).get();
    };
    for (int i = 0; i < 10; ++i) {
        both();
    }
    CHECK(server.connections() == 2);

    server.stop();
    server.start();
    both();
    CHECK(server.kept() == 22);
    CHECK(server.connections() == 2);

    // 421 in answer to the mail: the connection looked alive.
    auto m = make_message();
    m.from.address = "once-421@example.com";
    both(m);
    CHECK(server.kept() == 24);
    CHECK(server.connections() == 4);
}

TEST_CASE("A connection that was unused for longer than the option says is not used again") {
    test::smtp_server server;
    auto options = server.options();
    options.idle = 0ms;
    mailer mailer(options);
    mailer.send(make_message());
    mailer.send(make_message());
    CHECK(server.connections() == 2);
}

TEST_CASE("Large mails with many recipients arrive whole, with and without TLS") {
    test::smtp_server server({.security = GENERATE(security::none, security::tls)});
    auto m = make_message("Größe");
    m.message_id = "large@example.com";
    for (int i = 0; i < 100; ++i) {
        m.to.push_back(
            {i % 2 ? "Zoë" : "", std::string("r").append(std::to_string(i)) + "@example.org"});
    }
    m.text.assign(300'000, '.');
    m.text += "\n";
    for (int i = 0; i < 50'000; ++i) {
        m.text += ".\n";
    }
    m.attachments = {
        {"Bericht \"α\\β\".bin", "application/octet-stream", std::string(3'000'000, '\xff')}};
    CHECK_BOTH(server.options(), m, !code);
    const auto found = test::read_mails(server.mails());
    REQUIRE(found.size() == 2);
    for (const auto& [id, line] : found) {
        CHECK(test::difference(line, test::expected(m)) == "");
    }
}

TEST_CASE("Time-outs: while connecting, and after the mail was handed over") {
    silent_server silent;
    mailer_options options{
        .port = silent.port(), .security = security::none, .connect_timeout = 50ms, .timeout = 1h};
    CHECK_BOTH(options, make_message(), code == errc::timed_out && is_passing(code));
    options.connect_timeout = 10s;
    options.timeout = 50ms;
    CHECK_BOTH(options, make_message(), code == errc::timed_out);

    test::smtp_server server;
    options = server.options();
    options.timeout = 3s;
    CHECK_BOTH(options, make_message("[hold]"), code == errc::unconfirmed);
    server.release();
}

TEST_CASE("A blocking send gives up at once when it is asked to stop") {
    silent_server silent;
    mailer waiting({.port = silent.port(), .security = security::none});
    std::stop_source stop;
    error_code ec;
    std::jthread asker([&] { stop.request_stop(); });
    const auto begin = std::chrono::steady_clock::now();
    waiting.send(make_message(), ec, stop.get_token());
    CHECK(ec == asio::error::operation_aborted);
    CHECK_FALSE(is_passing(ec));

    test::smtp_server server;
    mailer held(server.options());
    std::stop_source later;
    std::jthread other([&] {
        test::eventually([&] { return server.arrived() == 1; });
        later.request_stop();
    });
    held.send(make_message("[hold]"), ec, later.get_token());
    CHECK(ec == errc::unconfirmed);
    CHECK(std::chrono::steady_clock::now() - begin < 9s);  // no time-out has ended them
}

TEST_CASE("An asynchronous send can be cancelled: connecting, handed over, and in the queue") {
    silent_server silent;
    test::smtp_server server;
    loop loop;
    const auto executor = loop.get().get_executor();
    asio::cancellation_signal signal;
    const auto cancel = [&] {
        asio::post(loop.get(), [&] { signal.emit(asio::cancellation_type::terminal); });
    };
    std::promise<error_code> ended;
    const auto start = [&](mailer& mailer, message m) {
        ended = {};
        asio::post(loop.get(), [&, m] {
            mailer.async_send(
                m, asio::bind_cancellation_slot(
                       signal.slot(), [&](error_code ec, const report&) { ended.set_value(ec); }));
        });
    };
    mailer connecting({.port = silent.port(), .security = security::none}, executor);
    start(connecting, make_message());
    cancel();
    CHECK(ended.get_future().get() == asio::error::operation_aborted);

    auto options = server.options();
    options.connections = 1;
    mailer one(options, executor);
    start(one, make_message("[hold]"));
    REQUIRE(test::eventually([&] { return server.arrived() == 1; }));
    cancel();
    CHECK(ended.get_future().get() == errc::unconfirmed);

    auto holding = one.async_send(make_message("[hold]"), asio::use_future);
    REQUIRE(test::eventually([&] { return server.arrived() == 2; }));
    start(one, make_message());
    cancel();
    CHECK(ended.get_future().get() == asio::error::operation_aborted);
    server.release();
    CHECK_NOTHROW(holding.get());
}

TEST_CASE("Sends that are under way when the mailer is destroyed are given up") {
    test::smtp_server server;
    loop loop;
    auto options = server.options();
    options.connections = 1;
    std::optional<mailer> mailer(std::in_place, options, loop.get().get_executor());
    auto held = mailer->async_send(make_message("[hold]"), asio::use_future);
    auto waiting = mailer->async_send(make_message(), asio::use_future);
    REQUIRE(test::eventually([&] { return server.arrived() == 1; }));
    mailer.reset();
    const auto code_of = [](std::future<report>& future) {
        try {
            future.get();
            return error_code();
        } catch (const boost::system::system_error& e) {
            return e.code();
        }
    };
    CHECK(code_of(held) == errc::unconfirmed);
    CHECK(code_of(waiting) == asio::error::operation_aborted);
}

TEST_CASE("An event loop may be destroyed with mails under way") {
    test::smtp_server server;
    silent_server silent;
    auto io = std::make_unique<asio::io_context>();
    bool completed = false;
    const auto note = [&](error_code, const report&) { completed = true; };
    {
        mailer held(server.options(), io->get_executor());
        mailer connecting({.port = silent.port(), .security = security::none}, io->get_executor());
        held.async_send(make_message("[hold]"), note);
        connecting.async_send(make_message(), note);
        while (server.arrived() == 0) {
            io->run_one_for(10ms);
        }
    }
    io.reset();
    CHECK_FALSE(completed);
}

TEST_CASE("Without an executor there is no asynchronous send, and it says so") {
    mailer mailer(mailer_options{});
    std::promise<error_code> ended;
    mailer.async_send(make_message(), [&](error_code ec, const report&) { ended.set_value(ec); });
    CHECK(ended.get_future().get() == errc::bad_option);
}

TEST_CASE("The event loop goes on while the server takes its time with the answer") {
    test::smtp_server server;
    asio::io_context io;
    mailer mailer(server.options(), io.get_executor());
    error_code result = asio::error::would_block;
    mailer.async_send(make_message("[hold]"), [&](error_code ec, const report&) { result = ec; });
    // Only a handler of this loop lets the mail go.
    asio::co_spawn(
        io,
        [&]() -> asio::awaitable<void> {
            asio::steady_timer timer(io);
            while (server.arrived() == 0) {
                timer.expires_after(1ms);
                co_await timer.async_wait(asio::use_awaitable);
            }
            server.release();
        },
        [](const std::exception_ptr&) {});
    io.run();
    CHECK_FALSE(result);
}

TEST_CASE("The event loop goes on while a name is looked up, and when that is given up") {
    loop loop;
    mailer mailer(
        {.host = "mail.slow.example", .security = security::none, .connect_timeout = 50ms},
        loop.get().get_executor());
    const test::door_opener opener(name_server);
    auto timed_out = mailer.async_send(make_message(), asio::use_future);
    REQUIRE(name_server.wait_for_waiters(1));
    REQUIRE(timed_out.wait_for(test::patience) == std::future_status::ready);
    CHECK_THROWS_AS(timed_out.get(), boost::system::system_error);
    auto alive = asio::post(loop.get(), asio::use_future);
    CHECK(alive.wait_for(test::patience) == std::future_status::ready);
}

TEST_CASE("100 slow mails hold no worker") {
    test::smtp_server server;
    loop loop;
    auto options = server.options();
    options.connections = 100;
    mailer mailer(options, loop.get().get_executor());
    postlude::dispatcher dispatcher({.pool = {.threads = 1}});
    std::atomic<int> delivered{0};
    for (int i = 0; i < 100; ++i) {
        const auto refused = dispatcher.try_run([&]() -> asio::awaitable<void> {
            co_await mailer.async_send(make_message("[hold]"), asio::use_awaitable);
            ++delivered;
        });
        REQUIRE_FALSE(refused);
    }
    // All of them wait for the server, and the one worker runs other tasks.
    REQUIRE(test::eventually([&] { return server.arrived() == 100; }));
    std::atomic<int> others{0};
    for (int i = 0; i < 1'000; ++i) {
        REQUIRE_FALSE(dispatcher.try_run([&] { ++others; }));
    }
    CHECK(test::eventually([&] { return others == 1'000; }));
    CHECK(delivered == 0);
    server.release();
    CHECK(test::eventually([&] { return delivered == 100; }));
    CHECK(server.kept() == 100);
}

TEST_CASE("A drain ends a mail that waits, blocking or not") {
    test::smtp_server server;
    loop loop;
    mailer mailer(server.options(), loop.get().get_executor());
    postlude::dispatcher dispatcher({.pool = {.threads = 2}});
    REQUIRE_FALSE(dispatcher.try_run([&](postlude::task_context& task) {
        mailer.send(make_message("[hold]"), task.stop_token());
    }));
    REQUIRE_FALSE(dispatcher.try_run([&]() -> asio::awaitable<void> {
        co_await mailer.async_send(make_message("[hold]"), asio::use_awaitable);
    }));
    REQUIRE(test::eventually([&] { return server.arrived() == 2; }));
    const auto report = dispatcher.shutdown(5s);
    CHECK(report.lost.empty());  // both ended, with an error, before the deadline
    CHECK(dispatcher.counters().left == 0);
}
