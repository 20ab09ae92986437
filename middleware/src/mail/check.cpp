// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "mail/check.hpp"

#include "mail/failure.hpp"
#include "mail/text.hpp"
#include "postlude/core/request_id.hpp"

#include <algorithm>
#include <array>

namespace postlude::mail {

namespace {

using detail::only;
using detail::refuse;
using namespace std::string_view_literals;

bool good_label(std::string_view label) noexcept {
    return !label.empty() && label.size() <= 63 && label.front() != '-' && label.back() != '-' &&
           only(label, "-");
}

/// Whether all parts between dots are good.
template <class Good>
bool all_parts(std::string_view text, Good good) noexcept {
    for (;;) {
        const auto part = text.substr(0, text.find('.'));
        if (!good(part)) {
            return false;
        }
        if (part.size() == text.size()) {
            return true;
        }
        text.remove_prefix(part.size() + 1);
    }
}

bool good_domain(std::string_view domain) noexcept {
    if (domain.starts_with('[') && domain.ends_with(']') && domain.size() > 2) {
        return only(domain.substr(1, domain.size() - 2), ".:-");
    }
    return all_parts(domain, good_label);
}

/// libcurl sends what it is given: a line break would begin a header, or a command, of its own.
void one_line(const std::string& text, const std::string& field) {
    const auto at = text.find_first_of("\r\n\0"sv);
    if (at != text.npos) {
        refuse(field, text[at] == '\r'   ? "holds a carriage return"
                      : text[at] == '\n' ? "holds a line feed"
                                         : "holds a NUL");
    }
}

void utf8(const std::string& text, const std::string& field) {
    if (!detail::valid_utf8(text)) {
        refuse(field, "is not UTF-8");
    }
}

void line_of_text(const std::string& text, const std::string& field) {
    one_line(text, field);
    utf8(text, field);
}

void check(const mailbox& box, const std::string& field) {
    line_of_text(box.name, field + ".name");
    one_line(box.address, field + ".address");
    if (std::ranges::any_of(box.address, [](char c) { return (c & 0x80) != 0; })) {
        refuse(field + ".address", "is not ASCII, and SMTPUTF8 is not spoken");
    }
    if (!valid_address(box.address)) {
        refuse(field + ".address", "is no e-mail address");
    }
}

void check(const std::vector<mailbox>& boxes, const std::string& field) {
    for (std::size_t i = 0; i < boxes.size(); ++i) {
        check(boxes[i], field + "[" + std::to_string(i) + "]");
    }
}

std::string lower_case(std::string_view text) {
    std::string lower(text);
    std::ranges::transform(lower, lower.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c; });
    return lower;
}

bool token(std::string_view text) noexcept {
    return !text.empty() && only(text, "!#$%&'*+-.^_`{|}~");
}

/// "type/subtype", or that with parameters behind a semicolon.
void check_media_type(std::string_view text, const std::string& field) {
    const auto slash = text.find('/');
    auto subtype = text.substr(std::min(slash, text.size() - 1) + 1);
    subtype = subtype.substr(0, subtype.find(';'));
    subtype = subtype.substr(0, subtype.find_last_not_of(' ') + 1);
    const auto type = text.substr(0, slash);
    if (!token(type) || !token(subtype) || text.size() > 255 || !detail::printable_ascii(text)) {
        refuse(field, "is no media type");
    }
    if (const auto lower = lower_case(type); lower == "multipart" || lower == "message") {
        refuse(field, "is multipart or message, which cannot be attached as bytes");
    }
}

void check(const attachment& file, const std::string& field) {
    line_of_text(file.filename, field + ".filename");
    if (file.filename.empty() || file.filename.size() > 255) {
        refuse(field + ".filename", "must have 1 to 255 bytes");
    }
    one_line(file.content_type, field + ".content_type");
    if (!file.content_type.empty()) {
        check_media_type(file.content_type, field + ".content_type");
    }
}

/// The message has them already, or libcurl makes them.
bool is_own(std::string_view name) {
    constexpr std::array own{"date"sv,
                             "from"sv,
                             "to"sv,
                             "cc"sv,
                             "bcc"sv,
                             "reply-to"sv,
                             "subject"sv,
                             "message-id"sv,
                             "sender"sv,
                             "mime-version"sv,
                             "content-type"sv,
                             "content-transfer-encoding"sv,
                             "content-disposition"sv};
    return std::ranges::find(own, lower_case(name)) != own.end();
}

void check(const header& header, const std::string& field) {
    one_line(header.name, field + ".name");
    if (header.name.empty() || header.name.size() > 60 || !only(header.name, "-_")) {
        refuse(field + ".name", "must be 1 to 60 letters, digits, '-' and '_'");
    }
    if (is_own(header.name)) {
        refuse(field + ".name", "is a header that the message has by itself");
    }
    line_of_text(header.value, field + ".value");
    if (header.value.find_first_not_of(" \t") == header.value.npos) {
        refuse(field + ".value", "is empty");
    }
}

void check_message_id(const std::string& id) {
    one_line(id, "message_id");
    const auto at = id.find('@');
    constexpr auto signs = ".!#$%&'*+/=?^_`{|}~-"sv;
    if (!id.empty() && (id.size() > 250 || at == id.npos || at == 0 ||
                        !only(id.substr(0, at), signs) || !good_domain(id.substr(at + 1)))) {
        refuse("message_id", "is not of the form left@domain");
    }
}

}  // namespace

bool valid_address(std::string_view address) noexcept {
    const auto at = address.find('@');
    if (at > 64 || address.size() > 254) {  // also where there is no '@'
        return false;
    }
    const auto good_atom = [](std::string_view part) {
        return !part.empty() && only(part, "!#$%&'*+/=?^_`{|}~-");
    };
    return all_parts(address.substr(0, at), good_atom) && good_domain(address.substr(at + 1));
}

std::string make_message_id(std::string_view domain) {
    const auto random = make_request_id();
    return std::string(random.begin(), random.end()) + "@" + std::string(domain);
}

namespace detail {

void check(const message& message) {
    mail::check(message.from, "from");
    mail::check(message.to, "to");
    mail::check(message.cc, "cc");
    mail::check(message.bcc, "bcc");
    if (message.to.empty() && message.cc.empty() && message.bcc.empty()) {
        refuse("to", "is empty, and so are cc and bcc");
    }
    if (message.reply_to) {
        mail::check(*message.reply_to, "reply_to");
    }
    line_of_text(message.subject, "subject");
    utf8(message.text, "text");
    utf8(message.html, "html");
    for (std::size_t i = 0; i < message.attachments.size(); ++i) {
        mail::check(message.attachments[i], "attachments[" + std::to_string(i) + "]");
    }
    for (std::size_t i = 0; i < message.headers.size(); ++i) {
        mail::check(message.headers[i], "headers[" + std::to_string(i) + "]");
    }
    check_message_id(message.message_id);
}

}  // namespace detail

}  // namespace postlude::mail
