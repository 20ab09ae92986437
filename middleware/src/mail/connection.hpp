// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_MAIL_CONNECTION_HPP
#define POSTLUDE_SRC_MAIL_CONNECTION_HPP

#include "mail/curl.hpp"
#include "mail/transaction.hpp"
#include "postlude/mail/mailer.hpp"

#include <array>
#include <chrono>
#include <string_view>

namespace postlude::mail::detail {

/// Throws system_error(errc::bad_option) with a sentence that names the option.
void check(const mailer_options& options);

/// Takes user name and password out of what the server or libcurl says.
void hide_credentials(outcome& end, const mailer_options& options);

/// A connection to the mail server. libcurl, run by the owner of a multi handle, makes it:
/// name, TCP, TLS, greeting, EHLO, authentication. Then it carries transactions, without libcurl's
/// multi interface and without blocking. Used by one thread at a time.
class connection {
public:
    /// Adds itself to the multi handle, which must outlive it and have the same user.
    connection(const mailer_options& options, CURLM* multi);
    connection(const connection&) = delete;
    connection& operator=(const connection&) = delete;
    /// Says QUIT, does not wait for the answer.
    ~connection();

    CURL* handle() const noexcept { return handle_.get(); }

    /// libcurl has ended with this result. How connecting failed, if it did.
    void connected(CURLcode result);
    const std::optional<outcome>& failure() const noexcept { return failure_; }
    bool is_connected() const noexcept { return socket_ != CURL_SOCKET_BAD; }
    curl_socket_t socket() const noexcept { return socket_; }
    bool announces_size() const noexcept { return size_; }

    enum class need { nothing, read, write, again };
    /// Goes on with a transaction until it has ended (nothing), the socket is to be waited for, or
    /// others should have their turn (again).
    need step(transaction& mail);

    /// The mail is done, and the connection waits for another one.
    void rest() noexcept { since_ = std::chrono::steady_clock::now(); }
    bool rested_for(std::chrono::milliseconds idle) const noexcept {
        return std::chrono::steady_clock::now() - since_ > idle;
    }
    /// Whether it may carry another mail, as far as this side knows.
    bool usable(std::chrono::milliseconds idle) const noexcept;

private:
    static std::size_t take_line(char* bytes, std::size_t size, std::size_t n, void* self);
    void note(std::string_view line);
    void set_options(const mailer_options& options);
    outcome explain(CURLcode result) const;
    void receive(transaction& mail, need& need);

    easy_handle handle_;
    CURLM* multi_;
    std::array<char, CURL_ERROR_SIZE> reason_{};
    bool authenticates_;
    reply reply_;  ///< the last one while connecting
    bool size_ = false;
    bool authenticated_ = false;
    curl_socket_t socket_ = CURL_SOCKET_BAD;
    std::optional<outcome> failure_;
    std::chrono::steady_clock::time_point since_{};
};

}  // namespace postlude::mail::detail

#endif
