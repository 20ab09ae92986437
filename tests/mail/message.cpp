// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/mail/message.hpp"

#include "mail/failure.hpp"
#include "mail/prepare.hpp"
#include "postlude/mail/error.hpp"
#include "support/catch.hpp"

#include <algorithm>
#include <chrono>

using namespace postlude::mail;
using postlude::mail::detail::outcome;
using postlude::mail::detail::prepare;

namespace {

message make_message() {
    return {.from = {"Shop", "shop@example.com"},
            .to = {{"Ada", "ada@example.org"}, {"Lin", "lin@example.org"}},
            .cc = {{"Cy", "cy@example.org"}},
            .bcc = {{"Bo", "bo@example.org"}},
            .reply_to = mailbox{"Re", "re@example.org"},
            .subject = "Hello",
            .text = "Hello\n",
            .html = "",
            .attachments = {{"a.txt", "text/plain", "x"}},
            .message_id = "1@example.com",
            .headers = {{"X-A", "b"}}};
}

/// "field sentence", or empty when it can be sent.
std::string refusal(const message& m) {
    try {
        prepare(m);
        return {};
    } catch (const outcome& refused) {
        CHECK(refused.code == errc::bad_field);
        return refused.about.field + " " + refused.about.reply;
    }
}

struct field {
    const char* name;
    std::string& (*of)(message&);
};

constexpr field fields[] = {
    {"from.name", [](message& m) -> std::string& { return m.from.name; }},
    {"from.address", [](message& m) -> std::string& { return m.from.address; }},
    {"to[0].name", [](message& m) -> std::string& { return m.to[0].name; }},
    {"to[1].address", [](message& m) -> std::string& { return m.to[1].address; }},
    {"cc[0].name", [](message& m) -> std::string& { return m.cc[0].name; }},
    {"cc[0].address", [](message& m) -> std::string& { return m.cc[0].address; }},
    {"bcc[0].name", [](message& m) -> std::string& { return m.bcc[0].name; }},
    {"bcc[0].address", [](message& m) -> std::string& { return m.bcc[0].address; }},
    {"reply_to.name", [](message& m) -> std::string& { return m.reply_to->name; }},
    {"reply_to.address", [](message& m) -> std::string& { return m.reply_to->address; }},
    {"subject", [](message& m) -> std::string& { return m.subject; }},
    {"attachments[0].filename",
     [](message& m) -> std::string& { return m.attachments[0].filename; }},
    {"attachments[0].content_type",
     [](message& m) -> std::string& { return m.attachments[0].content_type; }},
    {"message_id", [](message& m) -> std::string& { return m.message_id; }},
    {"headers[0].name", [](message& m) -> std::string& { return m.headers[0].name; }},
    {"headers[0].value", [](message& m) -> std::string& { return m.headers[0].value; }},
};

bool holds(const std::string& data, std::string_view line) {
    return data.find("\r\n" + std::string(line) + "\r\n") != data.npos || data.starts_with(line);
}

}  // namespace

TEST_CASE("A CR, LF or NUL in any address or header is refused, and the field is named") {
    CHECK(refusal(make_message()).empty());
    for (const auto& field : fields) {
        for (const auto& [bad, sentence] :
             {std::pair{'\r', " holds a carriage return"}, std::pair{'\n', " holds a line feed"},
              std::pair{'\0', " holds a NUL"}}) {
            auto m = make_message();
            field.of(m) += bad;
            CHECK(refusal(m) == field.name + std::string(sentence));
            m = make_message();
            field.of(m).insert(1, 1, bad);
            CHECK(refusal(m) == field.name + std::string(sentence));
        }
    }
}

TEST_CASE("Text that is not UTF-8 is refused, and the field is named") {
    for (const auto* name :
         {"from.name", "to[0].name", "subject", "attachments[0].filename", "headers[0].value"}) {
        const auto& field = *std::ranges::find(fields, std::string_view(name), &field::name);
        auto m = make_message();
        field.of(m) += "\xff";
        CHECK(refusal(m) == field.name + std::string(" is not UTF-8"));
    }
    auto m = make_message();
    m.text = "\xc3";
    CHECK(refusal(m) == "text is not UTF-8");
    m = make_message();
    m.html = "\xed\xa0\x80";
    CHECK(refusal(m) == "html is not UTF-8");
}

TEST_CASE("What cannot be sent for other reasons is refused, and the field is named") {
    const auto after = [](auto change) {
        auto m = make_message();
        change(m);
        return refusal(m);
    };
    CHECK(after([](message& m) { m.to[1].address = "zoë@example.org"; }) ==
          "to[1].address is not ASCII, and SMTPUTF8 is not spoken");
    CHECK(after([](message& m) { m.cc[0].address = "a b@example.org"; }) ==
          "cc[0].address is no e-mail address");
    CHECK(after([](message& m) { m.from.address = ""; }) == "from.address is no e-mail address");
    CHECK(after([](message& m) {
              m.to.clear();
              m.cc.clear();
              m.bcc.clear();
          }) == "to is empty, and so are cc and bcc");
    CHECK(after([](message& m) { m.headers[0].name = "Bcc"; }) ==
          "headers[0].name is a header that the message has by itself");
    CHECK(
        after([](message& m) { m.headers[0].name = "X: y"; }).starts_with("headers[0].name must"));
    CHECK(after([](message& m) { m.headers[0].value = " "; }) == "headers[0].value is empty");
    CHECK(after([](message& m) {
              m.attachments[0].filename = "";
          }).starts_with("attachments[0].filename must"));
    CHECK(after([](message& m) { m.attachments[0].content_type = "text"; }) ==
          "attachments[0].content_type is no media type");
    for (const auto* type : {"text/", "/plain", "te xt/plain", "text/pl ain", "text/plain/x",
                             "text/ ;a=b", "text", ";/x"}) {
        CHECK(after([=](message& m) { m.attachments[0].content_type = type; }) ==
              "attachments[0].content_type is no media type");
    }
    for (const auto* type : {"multipart/mixed", "Message/RFC822"}) {
        CHECK(after([=](message& m) {
                  m.attachments[0].content_type = type;
              }).starts_with("attachments[0].content_type is multipart or message"));
    }
    for (const auto* type : {"", "image/svg+xml", "text/plain; charset=utf-8", "text/plain ;a=b"}) {
        CHECK(after([=](message& m) { m.attachments[0].content_type = type; }).empty());
    }
    CHECK(after([](message& m) { m.message_id = "<1@example.com>"; }) ==
          "message_id is not of the form left@domain");
}

TEST_CASE("Addresses that can be sent to are told from others") {
    for (const auto* good : {"a@b.example", "first.last+tag@sub.example.org", "a@localhost",
                             "o'hara@example.org", "a@[127.0.0.1]", "a@[IPv6:::1]"}) {
        CHECK(valid_address(good));
    }
    const std::string local(65, 'a');
    for (const auto& bad :
         {std::string(), std::string("a"), std::string("@b.example"), std::string("a@"),
          std::string("a@b@c.example"), std::string(".a@b.example"), std::string("a.@b.example"),
          std::string("a..b@c.example"), std::string("a@b..example"), std::string("a@-b.example"),
          std::string("a@b-.example"), std::string("a@b.example."), std::string("a b@c.example"),
          std::string("<a@b.example>"), std::string("\"a\"@b.example"), std::string("a@b,example"),
          std::string("a@[]"), local + "@b.example", "a@" + local + ".example"}) {
        INFO(bad);
        CHECK_FALSE(valid_address(bad));
    }
}

TEST_CASE("The header is complete and shows no Bcc; the envelope has everybody once") {
    auto m = make_message();
    m.cc.push_back({"Ada again", "ada@example.org"});
    const auto mail = prepare(m, std::chrono::system_clock::from_time_t(1'709'210'096));
    CHECK(holds(mail.data, "Date: Thu, 29 Feb 2024 12:34:56 +0000"));
    CHECK(holds(mail.data, "From: Shop <shop@example.com>"));
    CHECK(holds(mail.data, "Reply-To: Re <re@example.org>"));
    CHECK(holds(mail.data, "To: Ada <ada@example.org>, Lin <lin@example.org>"));
    CHECK(holds(mail.data, "Cc: Cy <cy@example.org>, Ada again <ada@example.org>"));
    CHECK(holds(mail.data, "Subject: Hello"));
    CHECK(holds(mail.data, "Message-ID: <1@example.com>"));
    CHECK(holds(mail.data, "X-A: b"));
    CHECK(holds(mail.data, "Mime-Version: 1.0"));
    CHECK(mail.data.find("bo@") == mail.data.npos);
    CHECK(mail.data.ends_with("\r\n.\r\n"));
    CHECK(mail.sender == "shop@example.com");
    std::vector<std::string> named;
    for (const auto& recipient : mail.recipients) {
        named.push_back(recipient.field + " " + recipient.address);
    }
    CHECK(named == std::vector<std::string>{
                       "to[0].address ada@example.org", "to[1].address lin@example.org",
                       "cc[0].address cy@example.org", "bcc[0].address bo@example.org"});

    m.to.clear();
    m.cc.clear();
    CHECK(holds(prepare(m).data, "To: undisclosed-recipients:;"));
}

TEST_CASE("A Message-ID is made where there is none, of the sender's domain, each a new one") {
    auto m = make_message();
    m.message_id.clear();
    const auto one = prepare(m);
    CHECK(one.message_id.ends_with("@example.com"));
    CHECK(holds(one.data, "Message-ID: <" + one.message_id + ">"));
    CHECK(one.message_id != prepare(m).message_id);
}

TEST_CASE("Headers that programs read arrive as they were given") {
    auto m = make_message();
    const auto url = "<https://shop.example/unsubscribe?" + std::string(200, 'x') + ">";
    m.headers = {{"List-Unsubscribe", url}};
    CHECK(holds(prepare(m).data, "List-Unsubscribe: " + url));
}

TEST_CASE("Lines that begin with a dot are sent with two") {
    auto m = make_message();
    m.text = ".\n..\n.dot\n";
    const auto data = prepare(m).data;
    CHECK(data.find("\r\n..\r\n...\r\n..dot\r\n") != data.npos);
    CHECK(data.find("\r\n.\r\n") == data.size() - 5);
}
