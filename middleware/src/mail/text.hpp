// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_MAIL_TEXT_HPP
#define POSTLUDE_SRC_MAIL_TEXT_HPP

#include <chrono>
#include <string>
#include <string_view>

// The words of a mail's header, after RFC 5322 and RFC 2047.
namespace postlude::mail::detail {

/// Only letters, digits and the characters of `more`, all ASCII.
bool only(std::string_view text, std::string_view more) noexcept;
bool printable_ascii(std::string_view text) noexcept;
/// Well-formed as RFC 3629 has it: nothing overlong, no surrogates, nothing above U+10FFFF.
bool valid_utf8(std::string_view text) noexcept;

std::string base64(std::string_view bytes);

/// With the line ends of mail: each LF that follows no CR gets one.
std::string crlf_lines(std::string_view text);

/// "Tue, 3 Jan 2006 15:04:05 +0000"
std::string date(std::chrono::system_clock::time_point now);

/// A header field in the making. Words are set apart by a space or, where the line would be longer
/// than 76 characters, by a line break and a space.
class header_field {
public:
    explicit header_field(std::string_view name);

    void word(std::string_view word);
    /// To the last word, such as a comma.
    void append(std::string_view text);
    /// UTF-8 text as encoded words, none of which is longer than 75 characters, is in a line longer
    /// than 76 or ends within a character.
    void encoded(std::string_view text);
    /// Text for people (a subject), which a reader sees as it is here.
    void unstructured(std::string_view text);
    /// A name in front of an address: as it is, in quotes, or encoded.
    void phrase(std::string_view text);

    std::string str() && { return std::move(text_); }

private:
    void fold();

    std::string text_;
    std::size_t column_;
    std::size_t name_;  ///< the length of its beginning, after which no line may break
};

/// "; name=value" for a parameter in UTF-8, by RFC 2231 in parts of a line each.
std::string parameter(std::string_view name, std::string_view value);

}  // namespace postlude::mail::detail

#endif
