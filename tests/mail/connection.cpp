// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
// Servers that do what good ones do not.
#include "mail/connection.hpp"

#include "mail/dialogue_server.hpp"
#include "mail/send_both.hpp"
#include "support/catch.hpp"
#include "support/eventually.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/use_future.hpp>

#include <atomic>
#include <future>
#include <mutex>
#include <optional>
#include <stop_token>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using boost::system::error_code;
using postlude::mail::errc;
using postlude::mail::mailer;
using postlude::mail::report;
using test::dialogue_server;
using test::make_message;

}  // namespace

TEST_CASE("A request to stop that meets the mail's success does no harm") {
    std::mutex mutex;
    std::stop_source stop;
    std::chrono::nanoseconds later{};
    dialogue_server server([&](const std::string& line, dialogue_server::stream& client) {
        if (line == ".") {
            const std::lock_guard lock(mutex);
            auto mine = stop;
            client << "250 kept\r\n" << std::flush;
            // Each time a little later, so that one of them meets the end of the call.
            const auto until = std::chrono::steady_clock::now() + later;
            while (std::chrono::steady_clock::now() < until) {
            }
            mine.request_stop();
            return std::string();
        }
        return dialogue_server::polite(line);
    });
    mailer mailer(server.options());
    for (int i = 0; i < 1'000; ++i) {
        error_code ec;
        mailer.send(make_message(), ec, stop.get_token());
        CHECK((!ec || ec == errc::unconfirmed));
        const std::lock_guard lock(mutex);  // the server is done with it
        stop = {};
        later = std::chrono::nanoseconds(i % 500 * 200);
    }
}

TEST_CASE("With the event loop, a connection ends as it should: the socket is closed once") {
    dialogue_server server([](const std::string& line, auto&) {
        return line == "." ? std::string() : dialogue_server::polite(line);
    });
    auto io = std::make_unique<asio::io_context>();
    {
        mailer mailer(server.options(), io->get_executor());
        mailer.async_send(make_message(), [](error_code, const report&) {});
        while (server.count(".") == 0) {
            io->run_one_for(10ms);
        }
    }
    io.reset();
    // On a socket that had been closed already there would be none.
    CHECK(test::eventually([&] { return server.count("QUIT") == 1; }));
}

TEST_CASE("User name and password are not in a report, however the server repeats them") {
    const std::string plain = "AGFkYWxvdmUAb3BlbiBzZXNhbWU=";
    SECTION("while connecting") {
        const auto said = GENERATE_COPY(as<std::string>(), plain, "adalove", "open sesame",
                                        "b3BlbiBzZXNhbWU=", "YWRhbG92ZQ==");
        dialogue_server server([&](const std::string& line, auto&) -> std::string {
            return line.starts_with("EHLO")   ? "250 AUTH PLAIN\r\n"
                   : line.starts_with("AUTH") ? "535 what is <" + said + ">?\r\n"
                                              : dialogue_server::polite(line);
        });
        auto options = server.options();
        options.username = "adalove";
        options.password = "open sesame";
        CHECK_BOTH(options, make_message(),
                   code == errc::authentication_failed && about.reply == "535 what is <***>?");
    }
    SECTION("while sending") {
        dialogue_server server([&](const std::string& line, auto&) -> std::string {
            return line.starts_with("EHLO")   ? "250 AUTH PLAIN\r\n"
                   : line.starts_with("AUTH") ? "334 \r\n"
                   : line == plain            ? "235 ok\r\n"
                   : line.starts_with("MAIL") ? "550-adalove's\r\n550 open sesame\r\n"
                                              : dialogue_server::polite(line);
        });
        auto options = server.options();
        options.username = "adalove";
        options.password = "open sesame";
        CHECK_BOTH(options, make_message(),
                   code == errc::rejected && about.reply == "550 ***'s / ***");
    }
}

TEST_CASE("An answer without an end is none") {
    dialogue_server server([](const std::string& line, dialogue_server::stream& client) {
        while (line.starts_with("MAIL") && client) {
            client << "250-x\r\n250-x\r\n250-x\r\n250-x\r\n";
        }
        return dialogue_server::polite(line);
    });
    CHECK_BOTH(server.options(), make_message(), code == errc::bad_reply);
}

TEST_CASE("What EHLO announces is known in whichever case, and not for a part of it") {
    const auto [announced, command] =
        GENERATE(table<std::string, std::string>({{"250 size 1000\r\n", " SIZE="},
                                                  {"250-x\r\n250-Size\r\n250 y\r\n", " SIZE="},
                                                  {"250 SIZES\r\n", "\r\n"}}));
    dialogue_server server([&, said = announced](const std::string& line, auto&) {
        return line.starts_with("EHLO") ? said : dialogue_server::polite(line);
    });
    mailer(server.options()).send(make_message());
    CHECK(server.count("MAIL FROM:<shop@example.com>") == 1);
    CHECK(server.count("MAIL FROM:<shop@example.com> SIZE=") == (command == " SIZE=" ? 1 : 0));
}

TEST_CASE("A connection that is not used any more is closed when another mail is done") {
    std::atomic<int> texts{0};
    dialogue_server server([&](const std::string& line, auto&) {
        if (line == "." && ++texts <= 2) {  // so that there are two connections
            test::eventually([&] { return texts >= 2; });
        }
        return dialogue_server::polite(line);
    });
    auto options = server.options();
    options.idle = 2s;
    test::loop loop;
    mailer mailer(options, loop.get().get_executor());
    const bool blocking = GENERATE(true, false);
    const auto send = [&] {
        return std::async(std::launch::async, [&] {
            if (blocking) {
                mailer.send(make_message());
            } else {
                mailer.async_send(make_message(), asio::use_future).get();
            }
        });
    };
    auto one = send();
    auto other = send();
    one.get();
    other.get();
    CHECK(test::eventually([&] {
        send().get();
        return server.count("QUIT") == 1;
    }));
    CHECK(server.count("EHLO") == 2);  // while the other was in use
}

TEST_CASE("The time-out is over the wait for a turn, too") {
    dialogue_server server([](const std::string& line, auto&) {
        return line == "." ? std::string() : dialogue_server::polite(line);
    });
    auto options = server.options();
    options.connections = 1;
    options.timeout = 3s;
    test::loop loop;
    mailer mailer(options, loop.get().get_executor());
    std::promise<error_code> first;
    std::promise<error_code> second;
    std::string words;
    mailer.async_send(make_message(), [&](error_code ec, const report&) { first.set_value(ec); });
    mailer.async_send(make_message(), [&](error_code ec, const report& about) {
        words = about.reply;
        second.set_value(ec);
    });
    CHECK(first.get_future().get() == errc::unconfirmed);
    // The first frees its connection at about the same moment: the second may still have begun.
    const auto ec = second.get_future().get();
    CHECK((ec == errc::timed_out || ec == errc::unconfirmed));
    CHECK((ec != errc::timed_out || words == "time-out"));
}
