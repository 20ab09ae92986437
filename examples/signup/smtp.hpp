// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_EXAMPLES_SIGNUP_SMTP_HPP
#define POSTLUDE_EXAMPLES_SIGNUP_SMTP_HPP

#include <chrono>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>

/// Someone with an e-mail address. The name may be empty and is UTF-8; the address is ASCII.
struct mailbox {
    std::string name;
    std::string address;
};

/// A mail in plain text, all of it UTF-8.
struct mail {
    mailbox from;
    mailbox to;
    std::string subject;
    std::string text;
    /// What stands before the '@' of the Message-ID; unique to this mail.
    std::string id;
};

struct smtp_options {
    std::string host = "127.0.0.1";
    unsigned short port = 25;
    std::chrono::milliseconds connect_timeout{5'000};
    /// For the whole mail.
    std::chrono::milliseconds timeout{30'000};
};

/// The mail was not sent; what() says why and, where a field is at fault, which.
class mail_error : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// Sends a mail and blocks until the server has taken it over. Throws mail_error. Gives up within
/// about a second when `stop` is requested. From any thread; each call makes its own connection.
void send_mail(const smtp_options& options, const mail& mail, std::stop_token stop = {});

/// Whether it looks like an address that a person could have: one '@', a local part of letters,
/// digits and the usual signs, a domain of two labels or more; at most 254 bytes of ASCII.
bool valid_address(std::string_view address) noexcept;

/// The mail as it goes over the wire, but for the dots that SMTP doubles: RFC 5322, with encoded
/// words (RFC 2047) in the header and the text in base64. Throws mail_error, naming the field,
/// when one holds a CR, LF or NUL, which could forge another header or recipient.
std::string wire_format(const mail& mail, std::chrono::system_clock::time_point now);

#endif
