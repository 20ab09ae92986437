// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_TESTS_MAIL_SEND_BOTH_HPP
#define POSTLUDE_TESTS_MAIL_SEND_BOTH_HPP

#include "postlude/mail/mailer.hpp"
#include "support/catch.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include <future>
#include <thread>
#include <vector>

namespace test {

inline postlude::mail::message make_message(std::string subject = "Hello") {
    return {.from = {"Shop", "shop@example.com"},
            .to = {{"Ada", "ada@example.org"}},
            .subject = std::move(subject),
            .text = "Hello"};
}

/// An event loop on a thread of its own.
class loop {
public:
    ~loop() {
        work_.reset();
        thread_.join();
    }
    boost::asio::io_context& get() noexcept { return io_; }
    std::thread::id thread() const noexcept { return thread_.get_id(); }

private:
    boost::asio::io_context io_;
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_ =
        boost::asio::make_work_guard(io_);
    std::thread thread_{[this] { io_.run(); }};
};

struct sent {
    boost::system::error_code code;
    postlude::mail::report about;
};

/// The same mail by both ways.
inline std::vector<sent> send_both(const postlude::mail::mailer_options& options,
                                   const postlude::mail::message& message) {
    std::vector<sent> results(2);
    loop loop;
    postlude::mail::mailer mailer(options, loop.get().get_executor());
    results[0].about = mailer.send(message, results[0].code);
    std::promise<void> done;
    mailer.async_send(message, [&](boost::system::error_code ec, postlude::mail::report about) {
        results[1] = {ec, std::move(about)};
        done.set_value();
    });
    done.get_future().wait();
    return results;
}

}  // namespace test

#define CHECK_BOTH(options_, message_, ...)                                   \
    for (const auto& [code, about] : test::send_both(options_, message_)) {   \
        INFO(code.message() << " | " << about.field << " | " << about.reply); \
        CHECK((__VA_ARGS__));                                                 \
    }

#endif
