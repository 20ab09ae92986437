// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_MAIL_TRANSACTION_HPP
#define POSTLUDE_SRC_MAIL_TRANSACTION_HPP

#include "mail/failure.hpp"
#include "mail/prepare.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace postlude::mail::detail {

/// One line of a server's answer, or several, as one: "550 no such user / ask elsewhere".
/// Without what could forge a log line.
class reply {
public:
    /// Adds a line, without its end. False when it is no SMTP.
    bool add(std::string_view line);
    /// Whether the last line was there.
    bool complete() const noexcept { return complete_; }
    int code() const noexcept { return code_; }
    const std::string& text() const noexcept { return text_; }

private:
    int code_ = 0;
    bool complete_ = false;
    std::string text_;
};

/// What a code of 400 and above stands for.
errc meaning(int code) noexcept;

/// One mail over a connection that is ready for it: MAIL, RCPT for each recipient, DATA, the
/// text. Does no input and output itself. RFC 5321, section 3.3.
class transaction {
public:
    /// @param mail must outlive it.
    /// @param announce_size whether the server has the extension SIZE (RFC 1870).
    transaction(const prepared& mail, bool announce_size);

    /// What is to be sent next; empty while an answer is awaited.
    std::string_view output() const noexcept;
    void sent(std::size_t n) noexcept;
    void received(std::string_view bytes);

    /// How the mail ended, once it has.
    const std::optional<outcome>& end() const noexcept { return end_; }
    /// The connection is of no use any more. `why` becomes errc::unconfirmed after the last byte.
    void broken(boost::system::error_code why, std::string words);

    /// Whether the server seems to have closed the connection before this mail: it has answered
    /// nothing to it, or that it closes (421). Then the mail may be sent on another one.
    bool stale() const noexcept;
    /// Whether the connection is ready for another mail.
    bool clean() const noexcept { return end_ && !end_->code && input_.empty(); }

private:
    enum class phase { sender, recipients, data, text };

    void answer(const reply& reply);
    void refused(const reply& reply);
    void command(std::string line);
    void finish(boost::system::error_code code, std::string field, std::string words);

    const prepared& mail_;
    phase phase_ = phase::sender;
    std::size_t recipient_ = 0;
    std::string command_;
    std::string_view output_;
    std::string input_;
    reply reply_;
    int lines_ = 0;  ///< of the reply that is not complete yet
    bool answered_ = false;
    std::optional<outcome> end_;
};

}  // namespace postlude::mail::detail

#endif
