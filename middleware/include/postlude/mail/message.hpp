// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_MAIL_MESSAGE_HPP
#define POSTLUDE_MAIL_MESSAGE_HPP

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace postlude::mail {

/// Someone with an e-mail address. The name is UTF-8 and may be empty; the address is ASCII
/// (`valid_address`), since SMTPUTF8 is not spoken.
struct mailbox {
    std::string name{};
    std::string address{};
};

/// A file that goes with a mail, byte for byte.
struct attachment {
    /// UTF-8, 1 to 255 bytes.
    std::string filename{};
    /// Such as "image/png", with or without parameters; empty stands for
    /// "application/octet-stream". Not multipart/* or message/*, which must not be in base64.
    std::string content_type{};
    std::string bytes{};
};

/// A header field beside those that a message has by itself, such as List-Unsubscribe.
struct header {
    std::string name{};
    /// UTF-8. ASCII is sent as it is, folded at spaces; all else in encoded words (RFC 2047), and
    /// so is a word too long for a line of 998 bytes.
    std::string value{};
};

/// A mail. All text is UTF-8. Line ends in `text` and `html` may be LF or CRLF; they are sent as
/// CRLF, and all other bytes arrive as they are.
///
/// A CR, LF or NUL in an address, a name, the subject, a file name, a type or a header, text that
/// is not UTF-8, an address that is none: each is refused (errc::bad_field) before libcurl sees
/// the message, with a sentence that names the field, such as "to[3].address holds a line feed".
struct message {
    mailbox from{};
    /// All recipients together: a server takes at least 100 (RFC 5321, section 4.5.3.1.8), and
    /// answers 452 to those above its limit. The mail is then given up (errc::try_later) each time
    /// it is tried: split it.
    std::vector<mailbox> to{};
    std::vector<mailbox> cc{};
    /// They get the mail and stand in no header.
    std::vector<mailbox> bcc{};
    std::optional<mailbox> reply_to{};
    std::string subject{};
    /// Plain text. With `html` too, both are sent as alternatives.
    std::string text{};
    std::string html{};
    std::vector<attachment> attachments{};
    /// Such as "4711@shop.example", without angle brackets. Made where it is empty, anew for each
    /// send: give one to a mail that is retried, so that a duplicate can be known as such.
    std::string message_id{};
    std::vector<header> headers{};
};

/// Whether it can be sent to as it is: one '@', a local part of letters, digits and
/// .!#$%&'*+/=?^_`{|}~- (at most 64), a domain of labels or an address literal such as
/// [127.0.0.1]; at most 254 bytes of ASCII. Quoted local parts are not taken.
bool valid_address(std::string_view address) noexcept;

/// A new Message-ID of 128 random bits, "<32 digits>@domain" without the brackets.
std::string make_message_id(std::string_view domain);

}  // namespace postlude::mail

#endif
