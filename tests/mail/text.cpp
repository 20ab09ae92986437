// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "mail/text.hpp"

#include "support/catch.hpp"

#include <boost/beast/core/detail/base64.hpp>

#include <regex>

using namespace postlude::mail::detail;

namespace {

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    std::size_t begin = 0;
    for (auto end = text.find("\r\n"); end != text.npos; end = text.find("\r\n", begin)) {
        lines.push_back(text.substr(begin, end - begin));
        begin = end + 2;
    }
    lines.push_back(text.substr(begin));
    return lines;
}

std::string base64_decoded(const std::string& text) {
    namespace base64 = boost::beast::detail::base64;
    std::string made(base64::decoded_size(text.size()), '\0');
    made.resize(base64::decode(made.data(), text.data(), text.size()).first);
    return made;
}

std::string subject(std::string_view text) {
    header_field field("Subject");
    field.unstructured(text);
    return std::move(field).str();
}

std::string from(std::string_view name) {
    header_field field("From");
    field.phrase(name);
    field.word("<a@b.example>");
    return std::move(field).str();
}

}  // namespace

TEST_CASE("Encoded words obey the limits of RFC 2047 and end between characters") {
    for (const std::string_view character : {"a\"\x01", "é", "名", "😀"}) {
        std::string text = "é";
        for (int i = 0; i < 150; ++i) {
            text += character;
            const auto made = subject(text);
            std::string decoded;
            for (const auto& line : lines_of(made)) {
                CHECK(line.size() <= 76);
                std::smatch word;
                REQUIRE(std::regex_match(
                    line, word,
                    std::regex(R"((?:Subject:)? (=\?UTF-8\?B\?([A-Za-z0-9+/]+=*)\?=))")));
                CHECK(word[1].length() <= 75);
                const auto part = base64_decoded(word[2]);
                CHECK(valid_utf8(part));
                decoded += part;
            }
            CHECK(decoded == text);
        }
    }
}

TEST_CASE("ASCII stays readable and is folded at spaces") {
    CHECK(subject("Hello, world!") == "Subject: Hello, world!");
    std::string words = "word";
    for (int i = 0; i < 60; ++i) {
        words += " word" + std::to_string(i);
    }
    std::string unfolded;
    for (const auto& line : lines_of(subject(words))) {
        CHECK(line.size() <= 76);
        unfolded += line;
    }
    CHECK(unfolded == "Subject: " + words);
}

TEST_CASE("Words that end with a colon are folded like others, but not the field's name") {
    std::string words;
    for (int i = 0; i < 500; ++i) {
        words += i == 0 ? "a:" : " a:";
    }
    std::string unfolded;
    for (const auto& line : lines_of(subject(words))) {
        CHECK(line.size() <= 76);
        unfolded += line;
    }
    CHECK(unfolded == "Subject: " + words);
    CHECK(subject(std::string(100, 'x')).starts_with("Subject: x"));
}

TEST_CASE("Text that a reader would take for something else is encoded") {
    for (const std::string text : {"=?UTF-8?Q?x?=", " x", "x ", "a  b", "a\tb", "\x7f"}) {
        CHECK(subject(text).starts_with("Subject: =?UTF-8?B?"));
    }
}

TEST_CASE("A long word stays as it is, unless no server would take the line") {
    const std::string word(989, 'x');
    CHECK(subject(word) == "Subject: " + word);
    CHECK(subject("a " + word) == "Subject: a\r\n " + word);
    for (const auto& line : lines_of(subject(word + "x"))) {
        CHECK(line.size() <= 76);
    }
}

TEST_CASE("Names are quoted where they have to be") {
    CHECK(from("") == "From: <a@b.example>");
    CHECK(from("Ada Lovelace") == "From: Ada Lovelace <a@b.example>");
    CHECK(from("Lovelace, Ada") == R"(From: "Lovelace, Ada" <a@b.example>)");
    CHECK(from(R"(A "b" \ c)") == R"(From: "A \"b\" \\ c" <a@b.example>)");
    CHECK(from("Zoë") == "From: =?UTF-8?B?Wm/Dqw==?= <a@b.example>");
}

TEST_CASE("UTF-8 is told from what is none") {
    for (const std::string_view good :
         {"", "a", "\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80",
          "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
        CHECK(valid_utf8(good));
    }
    for (const std::string_view bad :
         {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc2", "\xc2\x41", "\xe0\x9f\xbf", "\xe0\xa0",
          "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf0\x90\x80", "\xf4\x90\x80\x80",
          "\xf5\x80\x80\x80", "\xff", "a\xe9"}) {
        CHECK_FALSE(valid_utf8(bad));
    }
}

TEST_CASE("Dates are those of RFC 5322, line ends those of mail, parameters those of RFC 2231") {
    CHECK(date(std::chrono::system_clock::time_point{}) == "Thu, 1 Jan 1970 00:00:00 +0000");
    CHECK(date(std::chrono::system_clock::from_time_t(1'709'210'096)) ==
          "Thu, 29 Feb 2024 12:34:56 +0000");
    CHECK(crlf_lines("\na\nb\r\nc\r\n\n") == "\r\na\r\nb\r\nc\r\n\r\n");
    CHECK(parameter("filename", "a b.txt") == ";\r\n filename*0*=UTF-8''a%20b.txt");
    CHECK(parameter("filename", "0123456789abcdeäz") ==
          ";\r\n filename*0*=UTF-8''0123456789abcde;\r\n filename*1*=%C3%A4z");
}
