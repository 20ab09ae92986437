// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_MAIL_MAILER_HPP
#define POSTLUDE_MAIL_MAILER_HPP

#include "postlude/mail/detail/send_operation.hpp"
#include "postlude/mail/error.hpp"
#include "postlude/mail/message.hpp"
#include "postlude/mail/report.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/async_result.hpp>

#include <chrono>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>

namespace postlude::mail {

/// How the connection is encrypted.
enum class security {
    starttls,  ///< by STARTTLS; a server that does not offer it gets no mail
    tls,       ///< from the first byte
    none,      ///< not at all
};

struct mailer_options {
    /// A name or an IP address, without a port.
    std::string host = "127.0.0.1";
    /// 0 takes what is usual: 587 for starttls, 465 for tls, 25 for none.
    unsigned short port = 0;
    mail::security security = security::starttls;
    /// Empty: no authentication. The best method that both sides know is taken. Neither is ever
    /// part of an error or a report: where the server repeats one, "***" stands there.
    std::string username{};
    std::string password{};
    /// Lets a password go over a connection without TLS to a host that is not this one. Without
    /// it, such a mailer cannot be made.
    bool allow_plain_password = false;
    /// Whether the server has to prove by its certificate that it is `host`.
    bool verify = true;
    /// The certificates that are trusted, in PEM; empty: those of the system.
    std::string ca_file{};
    /// What EHLO says; empty: this machine's name.
    std::string client_name{};
    /// 1 ms to 1 h, for name, connection, TLS, greeting and authentication together.
    std::chrono::milliseconds connect_timeout{10'000};
    /// 1 ms to 1 h, for a mail from the call to the server's last answer, the wait for its turn
    /// included: so it also bounds how many mails `async_send` keeps in memory. A short one makes
    /// unconfirmed mails, and thereby duplicates, likelier.
    std::chrono::milliseconds timeout{60'000};
    /// 1 to 1,000: what `async_send` uses at one time; further mails wait for their turn. As many
    /// are kept open for `send`, which uses one a caller.
    unsigned connections = 10;
    /// 0 ms to 1 h: a connection that was unused for longer is not used again. It is closed when
    /// the next mail is done; no timer waits for that, so that a loop without work ends.
    std::chrono::milliseconds idle{60'000};
};

/// Sends mails over SMTP by libcurl, on connections that it keeps open between them.
///
/// A mail goes to all of its recipients or to none: when the server refuses one, the mail is given
/// up before its text is sent, and the report names the recipient. So a retry delivers nothing
/// twice; who wants the others to get theirs takes that recipient off and sends again.
///
/// A mail that fails on a kept connection before the server has answered anything to it, or is
/// answered by 421, is sent once more on a new one: servers close what is idle. Nothing else is
/// retried here.
///
/// All members may be called from any thread. Before the mailer is destroyed, each `send` must have
/// returned. An `async_send` that is still under way then is given up, and completes with
/// operation_aborted (or errc::unconfirmed) on its event loop. That loop may have been stopped by
/// then, but not destroyed: it must outlive the mailer. Whatever has not completed when the loop is
/// destroyed never does.
class mailer {
public:
    /// For `send` only; `async_send` completes with errc::bad_option. Connects to nothing yet.
    /// Throws system_error(errc::bad_option) with a sentence that names the option.
    explicit mailer(mailer_options options);

    /// @param executor of the event loop that `async_send` works on; it must outlive the mailer.
    mailer(mailer_options options, boost::asio::any_io_executor executor);
    mailer(const mailer&) = delete;
    mailer& operator=(const mailer&) = delete;
    ~mailer();

    /// Sends a mail and blocks until the server has taken it over: for tasks, on a worker. When
    /// `stop` is requested it gives up at once: operation_aborted, or errc::unconfirmed if the
    /// mail was handed over. Throws system_error; its what() has the field and the server's words.
    report send(const message& message, const std::stop_token& stop = {});
    /// The same without throwing, but for bad_alloc.
    report send(const message& message, boost::system::error_code& ec,
                const std::stop_token& stop = {});

    /// Sends a mail without blocking: no thread waits for the server, nor does the event loop.
    /// The message is checked and encoded by the calling thread, and not referred to afterwards.
    ///
    /// Completion signature: void(boost::system::error_code, report). Completes on the token's
    /// associated executor, by default the mailer's, never inside this call. Supports
    /// cancellation (terminal and partial): operation_aborted, or errc::unconfirmed if the mail
    /// was handed over. Does not throw, but for bad_alloc.
    template <class Token>
    auto async_send(message message, Token&& token) {
        return boost::asio::async_initiate<Token, void(boost::system::error_code, report)>(
            [this](auto handler, mail::message m) {
                start(m, detail::make_send_operation(std::move(handler), executor()));
            },
            token, std::move(message));
    }

private:
    class state;

    boost::asio::any_io_executor executor() const;
    void start(const message& message, std::unique_ptr<detail::send_operation> operation);

    std::unique_ptr<state> state_;
};

}  // namespace postlude::mail

#endif
