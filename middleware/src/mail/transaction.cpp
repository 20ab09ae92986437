// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "mail/transaction.hpp"

#include <algorithm>
#include <utility>

namespace postlude::mail::detail {

namespace {

constexpr std::size_t reply_limit = 4'096;
constexpr int reply_line_limit = 100;
constexpr std::size_t reply_text_limit = 1'024;

/// What SIZE announces: without the doubled dots and the last one (RFC 1870, section 5).
std::size_t message_size(std::string_view data) noexcept {
    constexpr std::string_view last = ".\r\n";
    std::size_t size = data.size() - std::min(data.size(), last.size());
    for (auto at = data.find("\n.."); at != data.npos; at = data.find("\n..", at + 1)) {
        --size;
    }
    return size;
}

bool digit(char c) noexcept { return c >= '0' && c <= '9'; }

}  // namespace

bool reply::add(std::string_view line) {
    if (line.size() < 3 || !std::ranges::all_of(line.substr(0, 3), digit) || line[0] < '2' ||
        line[0] > '5' || (line.size() > 3 && line[3] != ' ' && line[3] != '-')) {
        return false;
    }
    complete_ = line.size() == 3 || line[3] == ' ';
    const auto words = line.substr(std::min<std::size_t>(line.size(), 4));
    if (text_.empty()) {
        text_ = std::string(line.substr(0, 3)) + " ";
    } else if (text_.size() < reply_text_limit) {
        text_ += " / ";
    }
    code_ = (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
    const auto room = reply_text_limit - std::min(text_.size(), reply_text_limit);
    for (const char c : words.substr(0, room)) {
        text_ += (c >= 0 && c < ' ') || c == 127 ? '?' : c;
    }
    return true;
}

errc meaning(int code) noexcept { return code >= 500 ? errc::rejected : errc::try_later; }

transaction::transaction(const prepared& mail, bool announce_size) : mail_(mail) {
    command("MAIL FROM:<" + mail.sender + ">" +
            (announce_size ? " SIZE=" + std::to_string(message_size(mail.data)) : std::string()));
}

std::string_view transaction::output() const noexcept { return output_; }

void transaction::sent(std::size_t n) noexcept { output_.remove_prefix(n); }

void transaction::command(std::string line) {
    command_ = std::move(line) + "\r\n";
    output_ = command_;
}

void transaction::finish(boost::system::error_code code, std::string field, std::string words) {
    end_ = outcome{code, {mail_.message_id, std::move(field), std::move(words)}};
    output_ = {};
}

void transaction::received(std::string_view bytes) {
    input_ += bytes;
    while (!end_) {
        const auto line_end = input_.find('\n');
        if (line_end == input_.npos) {
            if (input_.size() > reply_limit) {
                broken(errc::bad_reply, "the server sends lines without an end");
            }
            return;
        }
        auto line = std::string_view(input_).substr(0, line_end);
        if (line.ends_with('\r')) {
            line.remove_suffix(1);
        }
        if (!reply_.add(line)) {
            broken(errc::bad_reply, "the server does not answer in SMTP");
            return;
        }
        input_.erase(0, line_end + 1);
        if (reply_.complete()) {
            answer(std::exchange(reply_, {}));
            lines_ = 0;
            // A server that closes may say so at any time.
            if (!end_ && !input_.empty() && !input_.starts_with("421")) {
                broken(errc::bad_reply, "the server answers what it was not asked");
            }
        } else if (++lines_ == reply_line_limit) {
            broken(errc::bad_reply, "the server's answer does not end");
        }
    }
}

void transaction::answer(const reply& reply) {
    answered_ = answered_ || reply.code() != 421;
    if (!output_.empty() && reply.code() < 400) {
        broken(errc::bad_reply, "the server answers before it has been asked: " + reply.text());
        return;
    }
    const auto wanted = phase_ == phase::data ? 3 : 2;
    if (reply.code() / 100 != wanted) {
        refused(reply);
        return;
    }
    switch (phase_) {
    case phase::sender: phase_ = phase::recipients; break;
    case phase::recipients: ++recipient_; break;
    case phase::data:
        phase_ = phase::text;
        output_ = mail_.data;
        return;
    case phase::text: finish({}, {}, reply.text()); return;
    }
    if (recipient_ < mail_.recipients.size()) {
        command("RCPT TO:<" + mail_.recipients[recipient_].address + ">");
    } else {
        phase_ = phase::data;
        command("DATA");
    }
}

void transaction::refused(const reply& reply) {
    if (reply.code() < 400) {
        broken(errc::bad_reply, reply.text());
        return;
    }
    std::string field;
    // 421 is about the connection, 452 and 552 to MAIL are about the size.
    const bool about_address = reply.code() != 421;
    if (phase_ == phase::sender && about_address && reply.code() % 100 != 52) {
        field = "from.address";
    } else if (phase_ == phase::recipients && about_address) {
        field = mail_.recipients[recipient_].field;
    }
    finish(meaning(reply.code()), std::move(field), reply.text());
}

bool transaction::stale() const noexcept {
    return end_ && phase_ == phase::sender && !answered_ &&
           (end_->code == errc::connection_failed || end_->code == errc::try_later);
}

void transaction::broken(boost::system::error_code why, std::string words) {
    if (!end_) {
        const bool handed_over = phase_ == phase::text && output_.empty();
        finish(handed_over ? make_error_code(errc::unconfirmed) : why, {}, std::move(words));
    }
}

}  // namespace postlude::mail::detail
