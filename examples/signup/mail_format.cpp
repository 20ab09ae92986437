// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "smtp.hpp"

#include <algorithm>
#include <array>
#include <ctime>

namespace {

constexpr std::string_view letters_and_digits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

bool only(std::string_view text, std::string_view more) noexcept {
    return std::ranges::all_of(text, [more](char c) {
        return letters_and_digits.find(c) != std::string_view::npos ||
               more.find(c) != std::string_view::npos;
    });
}

/// No empty part, none that begins or ends with '-'.
bool good_parts(std::string_view text) noexcept {
    for (;;) {
        const auto part = text.substr(0, text.find('.'));
        if (part.empty() || part.front() == '-' || part.back() == '-' || part.size() > 64) {
            return false;
        }
        if (part.size() == text.size()) {
            return true;
        }
        text.remove_prefix(part.size() + 1);
    }
}

/// libcurl sends what it is given: a line break in it would be a header, or a command, of its own.
const std::string& one_line(const std::string& text, const char* field) {
    using namespace std::string_view_literals;
    if (text.find_first_of("\r\n\0"sv) != std::string::npos) {
        throw mail_error(std::string(field) + " holds a line break or a NUL");
    }
    return text;
}

std::string base64(std::string_view bytes) {
    constexpr std::string_view digits =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string encoded;
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
        const auto group = bytes.substr(i, 3);
        std::uint32_t bits = 0;
        for (std::size_t k = 0; k < 3; ++k) {
            bits = bits << 8 | (k < group.size() ? static_cast<unsigned char>(group[k]) : 0u);
        }
        for (std::size_t k = 0; k < 4; ++k) {
            encoded += k <= group.size() ? digits[bits >> (18 - 6 * k) & 63] : '=';
        }
    }
    return encoded;
}

/// The longest beginning of at most `bytes` that does not cut a UTF-8 character.
std::size_t whole_characters(std::string_view text, std::size_t bytes) {
    if (text.size() <= bytes) {
        return text.size();
    }
    auto end = bytes;
    while (end > bytes - 4 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) {
        --end;
    }
    return end;
}

/// RFC 2047: words of at most 75 characters, a line each. 45 bytes make 60 of base64.
std::string encoded_words(std::string_view text) {
    std::string words;
    while (!text.empty()) {
        const auto n = whole_characters(text, 45);
        words += words.empty() ? "=?UTF-8?B?" : "\r\n =?UTF-8?B?";
        words += base64(text.substr(0, n));
        words += "?=";
        text.remove_prefix(n);
    }
    return words;
}

std::string phrase(std::string_view text) {
    return only(text, " ") && text.size() <= 60 ? std::string(text) : encoded_words(text);
}

std::string unstructured(std::string_view text) {
    const bool plain = std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; });
    // "=?" would be read as an encoded word.
    return plain && text.size() <= 60 && text.find("=?") == text.npos ? std::string(text)
                                                                      : encoded_words(text);
}

std::string formatted(const mailbox& box) {
    return box.name.empty() ? "<" + box.address + ">"
                            : phrase(box.name) + "\r\n <" + box.address + ">";
}

std::string date(std::chrono::system_clock::time_point now) {
    constexpr std::array days{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    constexpr std::array months{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    const auto seconds = std::chrono::system_clock::to_time_t(now);
    std::tm utc{};
    gmtime_r(&seconds, &utc);
    std::array<char, 64> rest;
    const auto n = std::strftime(rest.data(), rest.size(), "%Y %H:%M:%S +0000", &utc);
    return std::string(days[static_cast<std::size_t>(utc.tm_wday)]) + ", " +
           std::to_string(utc.tm_mday) + " " + months[static_cast<std::size_t>(utc.tm_mon)] + " " +
           std::string(rest.data(), n);
}

/// Base64 in lines of 76, of the text with the line ends of mail.
std::string body(std::string_view text) {
    std::string canonical;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\n' && (i == 0 || text[i - 1] != '\r')) {
            canonical += '\r';
        }
        canonical += text[i];
    }
    const auto encoded = base64(canonical);
    std::string lines;
    for (std::size_t i = 0; i < encoded.size(); i += 76) {
        lines += encoded.substr(i, 76) + "\r\n";
    }
    return lines;
}

std::string domain_of(std::string_view address) {
    return std::string(address.substr(address.find('@') + 1));
}

void require_address(const std::string& address, const char* field) {
    if (!valid_address(one_line(address, field))) {
        throw mail_error(std::string(field) + " is no e-mail address");
    }
}

}  // namespace

bool valid_address(std::string_view address) noexcept {
    const auto at = address.find('@');
    if (at == address.npos || address.size() > 254) {
        return false;
    }
    const auto local = address.substr(0, at);
    const auto domain = address.substr(at + 1);
    const auto no_empty_part = [](std::string_view text) {
        return !text.empty() && text.front() != '.' && text.back() != '.' &&
               text.find("..") == text.npos;
    };
    return local.size() <= 64 && no_empty_part(local) && only(local, ".!#$%&'*+/=?^_`{|}~-") &&
           good_parts(domain) && only(domain, ".-") && domain.find('.') != domain.npos;
}

std::string wire_format(const mail& mail, std::chrono::system_clock::time_point now) {
    require_address(mail.from.address, "the sender's address");
    require_address(mail.to.address, "the recipient's address");
    one_line(mail.from.name, "the sender's name");
    one_line(mail.to.name, "the recipient's name");
    one_line(mail.subject, "the subject");
    if (mail.id.empty() || !only(one_line(mail.id, "the id"), "-_.")) {
        throw mail_error("the id holds something else than letters, digits, '-', '_' and '.'");
    }
    return "Date: " + date(now) +
           "\r\n"
           "From: " +
           formatted(mail.from) +
           "\r\n"
           "To: " +
           formatted(mail.to) +
           "\r\n"
           "Subject: " +
           unstructured(mail.subject) +
           "\r\n"
           "Message-ID: <" +
           mail.id + "@" + domain_of(mail.from.address) +
           ">\r\n"
           "MIME-Version: 1.0\r\n"
           "Content-Type: text/plain; charset=utf-8\r\n"
           "Content-Transfer-Encoding: base64\r\n"
           "\r\n" +
           body(mail.text);
}
