// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_TESTS_MAIL_SERVERS_HPP
#define POSTLUDE_TESTS_MAIL_SERVERS_HPP

#include "postlude/mail/mailer.hpp"
#include "support/child_program.hpp"
#include "support/temporary_directory.hpp"

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace test {

/// Writes certificate.pem and key.pem, for subjects such as "IP:127.0.0.1".
void make_certificate(const std::filesystem::path& directory, const std::string& subjects);

/// A mail server in a process of its own, that keeps what it gets. It can be stopped, and started
/// again on the same port.
class mail_server {
public:
    virtual ~mail_server() = default;
    /// Returns when it listens; fails the test when it does not.
    virtual void start() = 0;
    /// By SIGTERM; returns when nobody listens any more.
    virtual void stop() = 0;
    /// Where one file a mail is.
    virtual std::filesystem::path mails() const = 0;
    virtual postlude::mail::mailer_options options() const = 0;
    /// How many mails a stop may make it deliver twice though it has confirmed them.
    virtual int duplicates_of_its_own() const { return 0; }
};

struct smtp_server_options {
    postlude::mail::security security = postlude::mail::security::none;
    bool authentication = false;
    std::string subjects = "IP:127.0.0.1";
    int size = 0;
};

/// smtp_server.py
class smtp_server : public mail_server {
public:
    explicit smtp_server(smtp_server_options options = {});
    void start() override;
    void stop() override;
    std::filesystem::path mails() const override { return directory_.path() / "mails"; }
    postlude::mail::mailer_options options() const override;
    /// Texts that arrived, connections that were made, since it was started last.
    std::size_t arrived() const { return program_->count({"mail"}); }
    std::size_t connections() const { return program_->count({"connection"}); }
    std::size_t kept() const;
    /// Lets mails with [hold] go.
    void release() const;

private:
    smtp_server_options options_;
    temporary_directory directory_;
    std::unique_ptr<child_program> program_;
    unsigned short port_ = 0;
};

/// exim.sh
class exim_server : public mail_server {
public:
    exim_server();
    ~exim_server() override;
    void start() override;
    void stop() override;
    std::filesystem::path mails() const override { return directory_.path() / "maildir/new"; }
    postlude::mail::mailer_options options() const override;
    /// Of each connection that is cut one, which a killed process was about to deliver.
    int duplicates_of_its_own() const override { return 14; }

private:
    temporary_directory directory_;
    std::unique_ptr<child_program> program_;
    unsigned short port_;
};

/// Each mail as read_mails.py sees it, by its Message-ID; more than one where there are duplicates.
std::multimap<std::string, std::string> read_mails(const std::filesystem::path& mails);

/// The line that read_mails.py should print for a message that has a message_id.
std::string expected(const postlude::mail::message& message);

/// The first field in which two such lines differ, shortened; empty if there is none.
std::string difference(const std::string& line, const std::string& wanted);

/// A port that nobody listens on at this moment.
unsigned short free_port();

}  // namespace test

#endif
