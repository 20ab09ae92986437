// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "mail/transaction.hpp"

#include "support/catch.hpp"

#include <boost/asio/error.hpp>

using namespace postlude::mail::detail;
using postlude::mail::errc;

namespace {

const prepared mail{
    .message_id = "1@shop.example",
    .sender = "shop@example.com",
    .recipients = {{"ada@example.org", "to[0].address"}, {"lin@example.org", "to[1].address"}},
    .data = "Subject: x\r\n\r\n..\r\n...x\r\n.\r\n"};

/// What is sent next, all of it.
std::string send(transaction& transaction) {
    const std::string output(transaction.output());
    transaction.sent(output.size());
    return output;
}

constexpr const char* answers[] = {"250 a\r\n", "250 b\r\n", "250 c\r\n", "354 d\r\n", "250 e\r\n"};

/// As far as the answer to the command `n` is awaited.
transaction advanced(int n) {
    transaction made(mail, false);
    send(made);
    for (int i = 0; i < n; ++i) {
        made.received(answers[i]);
        send(made);
    }
    return made;
}

boost::system::error_code code_of(const transaction& transaction) {
    REQUIRE(transaction.end());
    return transaction.end()->code;
}

}  // namespace

TEST_CASE("A mail is MAIL, RCPT for each recipient, DATA and the text, one answer each") {
    transaction made(mail, true);
    // The size without what SMTP adds: two dots and the last line.
    CHECK(send(made) == "MAIL FROM:<shop@example.com> SIZE=22\r\n");
    made.received("250 ok\r\n");
    CHECK(send(made) == "RCPT TO:<ada@example.org>\r\n");
    made.received("251 ok\r\n");
    CHECK(send(made) == "RCPT TO:<lin@example.org>\r\n");
    made.received("250 ok\n");
    CHECK(send(made) == "DATA\r\n");
    made.received("354 go\r\n");
    CHECK(send(made) == mail.data);
    made.received("250 kept\r\n");
    CHECK_FALSE(code_of(made));
    CHECK(made.end()->about.reply == "250 kept");
    CHECK(made.clean());
}

TEST_CASE("An answer of several lines is one, wherever it is cut") {
    const std::string answer = "550-no\r\n550-such\r\n550 user\r\n";
    for (std::size_t first = 0; first <= answer.size(); ++first) {
        for (std::size_t second = first; second <= answer.size(); ++second) {
            auto made = advanced(2);
            made.received(answer.substr(0, first));
            made.received(answer.substr(first, second - first));
            made.received(answer.substr(second));
            REQUIRE(code_of(made) == errc::rejected);
            REQUIRE(made.end()->about.field == "to[1].address");
            REQUIRE(made.end()->about.reply == "550 no / such / user");
        }
    }
}

TEST_CASE("An answer to what was not asked is no SMTP, unless it is that the server closes") {
    for (int phase = 0; phase < 4; ++phase) {
        for (const auto* surplus : {"250 again\r\n", "2", "550 no\r\n", "x\r\n"}) {
            INFO(phase << " " << surplus);
            auto made = advanced(phase);
            made.received(answers[phase] + std::string(surplus));
            CHECK(code_of(made) == errc::bad_reply);
            CHECK_FALSE(made.clean());
        }
        auto closing = advanced(phase);
        closing.received(answers[phase] + std::string("421 closing\r\n"));
        CHECK(code_of(closing) == errc::try_later);
        CHECK(closing.end()->about.field.empty());
    }
    // Behind the last answer it spoils the connection, not the mail.
    auto done = advanced(4);
    done.received("250 kept\r\n250 again\r\n");
    CHECK_FALSE(code_of(done));
    CHECK_FALSE(done.clean());
}

TEST_CASE("Nothing confirms a mail before it has been sent, but it can be refused") {
    auto made = advanced(3);
    made.received("354 go\r\n");
    made.sent(made.output().size() - 1);
    SECTION("confirmed too early") {
        made.received("250 kept\r\n");
        CHECK(code_of(made) == errc::bad_reply);
    }
    SECTION("refused") {
        made.received("552 too large\r\n");
        CHECK(code_of(made) == errc::rejected);
    }
}

TEST_CASE("What is no SMTP, or does not end, is no answer") {
    for (const std::string junk :
         {"x\r\n", "\r\n", "2500 x\r\n", "150 x\r\n", "650 x\r\n", "25", "\xff\xff\xff\xff\n"}) {
        for (int phase = 0; phase < 4; ++phase) {
            INFO(phase << " " << junk);
            auto made = advanced(phase);
            made.received(junk);
            if (junk == "25") {  // may go on
                CHECK_FALSE(made.end());
                made.received(std::string(5'000, 'x'));
            }
            CHECK(code_of(made) == errc::bad_reply);
        }
    }
    // After the last byte, it may have been the server's way to take the mail.
    auto handed_over = advanced(4);
    handed_over.received("x\r\n");
    CHECK(code_of(handed_over) == errc::unconfirmed);

    auto endless = advanced(1);
    for (int i = 0; i < 200 && !endless.end(); ++i) {
        endless.received("250-x\r\n");
    }
    CHECK(code_of(endless) == errc::bad_reply);
    auto long_one = advanced(1);
    for (int i = 0; i < 99; ++i) {
        long_one.received("250-x\r\n");
    }
    long_one.received("250 x\r\n");
    CHECK_FALSE(long_one.end());
}

TEST_CASE("In each phase 421 is about the connection, and an answer of the wrong kind is none") {
    for (int phase = 0; phase < 5; ++phase) {
        INFO(phase);
        auto closing = advanced(phase);
        closing.received("421 closing\r\n");
        CHECK(code_of(closing) == errc::try_later);
        CHECK(closing.end()->about.field.empty());
        CHECK(closing.stale() == (phase == 0));
        auto wrong = advanced(phase);
        wrong.received(phase == 3 ? "250 x\r\n" : "354 x\r\n");
        CHECK(code_of(wrong) == (phase == 4 ? errc::unconfirmed : errc::bad_reply));
    }
}

TEST_CASE("A lost connection is unconfirmed only after the last byte") {
    for (int phase = 0; phase < 5; ++phase) {
        auto made = advanced(phase);
        made.broken(boost::asio::error::operation_aborted, "given up");
        CHECK(code_of(made) == (phase == 4
                                    ? make_error_code(errc::unconfirmed)
                                    : make_error_code(boost::asio::error::operation_aborted)));
    }
}
