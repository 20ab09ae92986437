// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "mail/text.hpp"

#include "core/utf8.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <ctime>

namespace postlude::mail::detail {

namespace {

constexpr std::size_t line_limit = 76;
constexpr std::size_t hard_line_limit = 998;
constexpr std::string_view letters_and_digits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

bool continues(char c) noexcept { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

/// The longest beginning of at most `bytes` that does not cut a UTF-8 character.
std::size_t whole_characters(std::string_view text, std::size_t bytes) {
    if (text.size() <= bytes) {
        return text.size();
    }
    while (bytes > 0 && continues(text[bytes])) {
        --bytes;
    }
    return bytes;
}

/// Whether folding at spaces and unfolding gives it back, and nobody takes it for encoded words.
bool folds(std::string_view text) {
    return printable_ascii(text) && text.find("=?") == text.npos && text.find("  ") == text.npos &&
           !text.starts_with(' ') && !text.ends_with(' ');
}

/// f(word) for what is between single spaces.
template <class F>
void each_word(std::string_view text, F f) {
    while (!text.empty()) {
        const auto end = std::min(text.find(' '), text.size());
        f(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
}

std::size_t longest_word(std::string_view text) {
    std::size_t longest = 0;
    each_word(text, [&](std::string_view word) { longest = std::max(longest, word.size()); });
    return longest;
}

std::string quoted(std::string_view text) {
    std::string made = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') {
            made += '\\';
        }
        made += c;
    }
    return made + '"';
}

}  // namespace

bool only(std::string_view text, std::string_view more) noexcept {
    return std::ranges::all_of(text, [more](char c) {
        return letters_and_digits.find(c) != std::string_view::npos ||
               more.find(c) != std::string_view::npos;
    });
}

bool printable_ascii(std::string_view text) noexcept {
    return std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; });
}

bool valid_utf8(std::string_view text) noexcept {
    while (!text.empty()) {
        const auto n = postlude::detail::utf8_character(text);
        if (n == 0) {
            return false;
        }
        text.remove_prefix(n);
    }
    return true;
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

std::string crlf_lines(std::string_view text) {
    std::string lines;
    lines.reserve(text.size() + text.size() / 32);
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\n' && (i == 0 || text[i - 1] != '\r')) {
            lines += '\r';
        }
        lines += text[i];
    }
    return lines;
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

header_field::header_field(std::string_view name)
    : text_(std::string(name) + ":"), column_(text_.size()), name_(text_.size()) {}

void header_field::fold() {
    text_ += "\r\n";
    column_ = 0;
}

void header_field::word(std::string_view word) {
    if (column_ + 1 + word.size() > line_limit && text_.size() != name_) {
        fold();
    }
    text_ += ' ';
    column_ += 1;
    append(word);
}

void header_field::append(std::string_view text) {
    text_ += text;
    column_ += text.size();
}

void header_field::encoded(std::string_view text) {
    constexpr std::string_view begin = "=?UTF-8?B?";
    constexpr std::string_view end = "?=";
    constexpr auto around = begin.size() + end.size();
    while (!text.empty()) {
        // A character has at most 4 bytes, which make 8 digits.
        if (column_ + 1 + around + 8 > line_limit) {
            fold();
        }
        const auto digits = line_limit - column_ - 1 - around;
        const auto n = whole_characters(text, digits / 4 * 3);
        word(std::string(begin) + base64(text.substr(0, n)) + std::string(end));
        text.remove_prefix(n);
        if (!text.empty()) {
            fold();
        }
    }
}

void header_field::unstructured(std::string_view text) {
    // A long word without a space may be a URL or an id, which programs read: only where no server
    // would take the line is it encoded.
    if (!folds(text) || text_.size() + 1 + longest_word(text) > hard_line_limit) {
        encoded(text);
        return;
    }
    each_word(text, [this](std::string_view part) { word(part); });
}

void header_field::phrase(std::string_view text) {
    if (!folds(text) || text.size() > line_limit - 16) {
        encoded(text);
    } else if (only(text, " !#$%&'*+-/=?^_`{|}~")) {
        each_word(text, [this](std::string_view part) { word(part); });
    } else {
        word(quoted(text));
    }
}

std::string parameter(std::string_view name, std::string_view value) {
    constexpr std::string_view hex = "0123456789ABCDEF";
    std::string lines;
    for (int part = 0; !value.empty(); ++part) {
        lines += ";\r\n " + std::string(name) + "*" + std::to_string(part) + "*=";
        lines += part == 0 ? "UTF-8''" : "";
        const auto n = whole_characters(value, 16);
        for (const char c : value.substr(0, n)) {
            const auto byte = static_cast<unsigned char>(c);
            if (only({&c, 1}, "-._~")) {
                lines += c;
            } else {
                lines += {'%', hex[byte >> 4], hex[byte & 15]};
            }
        }
        value.remove_prefix(n);
    }
    return lines;
}

}  // namespace postlude::mail::detail
