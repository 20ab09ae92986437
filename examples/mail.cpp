// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
//
// Mails in deferred work: blocking in a task, and as a coroutine. `example_mail PORT` sends them to
// a mail server without TLS on 127.0.0.1.

#include <postlude/dispatch/deferred.hpp>
#include <postlude/mail/mailer.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

#include <chrono>
#include <iostream>
#include <string>
#include <thread>

namespace {

namespace asio = boost::asio;
namespace mail = postlude::mail;
using namespace std::chrono_literals;
using boost::asio::use_awaitable;
using boost::system::error_code;

mail::message welcome(const std::string& who) {
    return {.from = {"Shop", "shop@example.com"},
            .to = {{"", who}},
            .subject = "Welcome",
            .text = "Your account is ready.\n"};
}

// [readme-mail]
void sign_up(const std::string& who, mail::mailer& mailer, postlude::deferred& after) {
    // In a task: its worker waits for the mail server.
    after.run([who, &mailer](postlude::task_context& task) {
        mailer.send(welcome(who), task.stop_token());
    });
    // As a coroutine: no thread waits.
    after.run([who, &mailer]() -> asio::awaitable<void> {
        co_await mailer.async_send(welcome(who), use_awaitable);
    });
}
// [/readme-mail]

// [readme-mail-retry]
asio::awaitable<void> send_patiently(mail::message message, mail::mailer& mailer) {
    asio::steady_timer timer(co_await asio::this_coro::executor);
    message.message_id = mail::make_message_id("example.com");  // a duplicate is known by it
    for (auto pause = 1s;; pause *= 2) {
        error_code ec;
        const auto report = co_await mailer.async_send(message, redirect_error(use_awaitable, ec));
        if (!ec) {
            co_return;
        }
        if (!mail::is_passing(ec) || pause > 1h) {
            throw boost::system::system_error(ec, report.field + " " + report.reply);
        }
        timer.expires_after(pause);
        co_await timer.async_wait(use_awaitable);
    }
}
// [/readme-mail-retry]

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        std::cerr << "usage: example_mail PORT\n";
        return 1;
    }
    // In this order: the dispatcher, whose work uses the others, ends first.
    asio::io_context io;
    auto work = asio::make_work_guard(io);
    std::jthread loop([&] { io.run(); });
    mail::mailer mailer(
        {.port = static_cast<unsigned short>(std::stoi(argv[1])), .security = mail::security::none},
        io.get_executor());
    postlude::dispatcher dispatcher;
    {
        postlude::deferred after(dispatcher);
        sign_up("ada@example.org", mailer, after);
        after.run([&mailer] { return send_patiently(welcome("lin@example.org"), mailer); });
        postlude::pending_response(after, 200).end({});
    }
    const auto report = dispatcher.shutdown(20s);
    const auto counters = dispatcher.counters();
    std::cout << counters.completed << " mails sent, " << counters.failed + report.lost.size()
              << " not\n";
    work.reset();
}
