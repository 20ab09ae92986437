// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_TESTS_MAIL_DIALOGUE_SERVER_HPP
#define POSTLUDE_TESTS_MAIL_DIALOGUE_SERVER_HPP

#include "postlude/mail/mailer.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <algorithm>
#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace test {

/// A server in this process, without TLS, that says what it is told to. Its clients must be gone
/// before it is.
class dialogue_server {
public:
    using stream = boost::asio::ip::tcp::iostream;
    /// What it answers to a line. The line is empty for the greeting and "." for a mail's end.
    using answer = std::function<std::string(const std::string& line, stream& client)>;

    explicit dialogue_server(answer answer) : answer_(std::move(answer)) {}
    dialogue_server(const dialogue_server&) = delete;
    dialogue_server& operator=(const dialogue_server&) = delete;
    ~dialogue_server() {
        over_ = true;
        stream("127.0.0.1", std::to_string(port_));  // wakes the thread
        acceptor_thread_.join();
    }

    /// What a server says that takes every mail.
    static std::string polite(const std::string& line) {
        return line.empty() ? "220 x\r\n" : line == "DATA" ? "354 x\r\n" : "250 x\r\n";
    }

    /// How often a line that begins so has been read.
    std::size_t count(std::string_view begin) const {
        const std::lock_guard lock(mutex_);
        return static_cast<std::size_t>(std::ranges::count_if(
            lines_, [begin](const std::string& line) { return line.starts_with(begin); }));
    }

    postlude::mail::mailer_options options() const {
        return {.port = port_, .security = postlude::mail::security::none};
    }

private:
    void accept() {
        std::vector<std::jthread> threads;
        while (!over_) {
            auto client = std::make_unique<stream>();
            acceptor_.accept(client->socket());
            client->expires_after(std::chrono::seconds(30));
            threads.emplace_back([this, client = std::move(client)] { serve(*client); });
        }
    }

    void serve(stream& client) {
        std::string line;
        bool text = false;
        do {
            while (line.ends_with('\r')) {
                line.pop_back();
            }
            if (text && line != ".") {
                continue;
            }
            {
                const std::lock_guard lock(mutex_);
                lines_.push_back(line);
            }
            const auto said = answer_(line, client);
            text = line == "DATA" && said.starts_with("354");
            client << said << std::flush;
        } while (std::getline(client, line));
    }

    answer answer_;
    boost::asio::io_context io_;
    boost::asio::ip::tcp::acceptor acceptor_{io_, {boost::asio::ip::address_v4::loopback(), 0}};
    unsigned short port_ = acceptor_.local_endpoint().port();
    std::atomic<bool> over_{false};
    mutable std::mutex mutex_;
    std::vector<std::string> lines_;
    std::thread acceptor_thread_{[this] { accept(); }};
};

}  // namespace test

#endif
