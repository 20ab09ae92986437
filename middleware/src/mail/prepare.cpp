// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "mail/prepare.hpp"

#include "mail/check.hpp"
#include "mail/curl.hpp"
#include "mail/render.hpp"
#include "mail/text.hpp"

#include <algorithm>

namespace postlude::mail::detail {

namespace {

std::string one_line(std::string_view name, std::string_view value) {
    header_field field(name);
    field.word(value);
    return std::move(field).str();
}

std::string addresses(std::string_view name, const std::vector<mailbox>& boxes) {
    header_field field(name);
    for (const auto& box : boxes) {
        if (&box != &boxes.front()) {
            field.append(",");
        }
        field.phrase(box.name);
        field.word("<" + box.address + ">");
    }
    return std::move(field).str();
}

std::string text_field(std::string_view name, std::string_view value) {
    header_field field(name);
    field.unstructured(value);
    return std::move(field).str();
}

bool alternatives_only(const message& message) {
    return message.attachments.empty() && !message.text.empty() && !message.html.empty();
}

string_list header_of(const message& message, const std::string& id,
                      std::chrono::system_clock::time_point now) {
    string_list list;
    append(list, one_line("Date", date(now)));
    append(list, addresses("From", {message.from}));
    if (message.reply_to) {
        append(list, addresses("Reply-To", {*message.reply_to}));
    }
    if (!message.to.empty()) {
        append(list, addresses("To", message.to));
    } else if (message.cc.empty()) {
        append(list, "To: undisclosed-recipients:;");
    }
    if (!message.cc.empty()) {
        append(list, addresses("Cc", message.cc));
    }
    if (!message.subject.empty()) {
        append(list, text_field("Subject", message.subject));
    }
    append(list, one_line("Message-ID", "<" + id + ">"));
    for (const auto& more : message.headers) {
        append(list, text_field(more.name, more.value));
    }
    append(list, alternatives_only(message) ? "Content-Type: multipart/alternative"
                                            : "Content-Type: multipart/mixed");
    return list;
}

curl_mimepart* add_part(const mime& parts) {
    auto* part = curl_mime_addpart(parts.get());
    return part ? part : throw std::bad_alloc();
}

void add_text(const mime& parts, std::string_view text, const char* type) {
    auto* part = add_part(parts);
    const auto lines = crlf_lines(text);
    require(curl_mime_data(part, lines.data(), lines.size()));
    require(curl_mime_type(part, type));
    require(curl_mime_encoder(part, "quoted-printable"));
}

/// The simple one first: a reader shows the last that it can.
void add_texts(const mime& parts, const message& message) {
    if (!message.text.empty() || (message.html.empty() && message.attachments.empty())) {
        add_text(parts, message.text, "text/plain; charset=utf-8");
    }
    if (!message.html.empty()) {
        add_text(parts, message.html, "text/html; charset=utf-8");
    }
}

void add_file(const mime& parts, const attachment& file) {
    auto* part = add_part(parts);
    require(curl_mime_data(part, file.bytes.data(), file.bytes.size()));
    require(curl_mime_type(
        part, file.content_type.empty() ? "application/octet-stream" : file.content_type.c_str()));
    require(curl_mime_encoder(part, "base64"));
    string_list header;
    append(header, "Content-Disposition: attachment" + parameter("filename", file.filename));
    require(curl_mime_headers(part, header.get(), 1));
    [[maybe_unused]] auto* const owned = header.release();
}

mime parts_of(CURL* handle, const message& message) {
    mime parts(curl_mime_init(handle));
    if (!parts) {
        throw std::bad_alloc();
    }
    if (message.attachments.empty() || message.text.empty() || message.html.empty()) {
        add_texts(parts, message);
    } else {
        mime both(curl_mime_init(handle));
        if (!both) {
            throw std::bad_alloc();
        }
        add_texts(both, message);
        auto* part = add_part(parts);
        require(curl_mime_subparts(part, both.get()));
        [[maybe_unused]] auto* const owned = both.release();
        require(curl_mime_type(part, "multipart/alternative"));
    }
    for (const auto& file : message.attachments) {
        add_file(parts, file);
    }
    return parts;
}

void add_recipients(prepared& mail, const std::vector<mailbox>& boxes, const std::string& field) {
    for (std::size_t i = 0; i < boxes.size(); ++i) {
        const auto known =
            std::ranges::find(mail.recipients, boxes[i].address, &prepared::recipient::address);
        if (known == mail.recipients.end()) {
            mail.recipients.push_back(
                {boxes[i].address, field + "[" + std::to_string(i) + "].address"});
        }
    }
}

}  // namespace

prepared prepare(const message& message, std::chrono::system_clock::time_point now) {
    check(message);
    prepared mail;
    mail.sender = message.from.address;
    mail.message_id = message.message_id;
    if (mail.message_id.empty()) {
        mail.message_id = make_message_id(mail.sender.substr(mail.sender.find('@') + 1));
    }
    add_recipients(mail, message.to, "to");
    add_recipients(mail, message.cc, "cc");
    add_recipients(mail, message.bcc, "bcc");

    // The handle goes last: it refers to the parts and the header.
    string_list header;
    mime parts;
    const auto handle = make_easy();
    header = header_of(message, mail.message_id, now);
    parts = parts_of(handle.get(), message);
    set(handle.get(), CURLOPT_HTTPHEADER, header.get());
    set(handle.get(), CURLOPT_MIMEPOST, parts.get());
    mail.data = render(handle.get());
    mail.data.shrink_to_fit();  // many may wait
    return mail;
}

}  // namespace postlude::mail::detail
