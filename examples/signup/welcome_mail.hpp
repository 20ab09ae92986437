// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_EXAMPLES_SIGNUP_WELCOME_MAIL_HPP
#define POSTLUDE_EXAMPLES_SIGNUP_WELCOME_MAIL_HPP

#include <postlude/jobs/traits.hpp>
#include <postlude/mail/message.hpp>

#include <boost/describe/class.hpp>

#include <string>

/// The job: what it needs, and how it is to be treated.
struct welcome_mail {
    std::string account, name, email;

    static constexpr postlude::job_traits job{
        .kind = "welcome_mail",
        .queue = "mail",
        .stored = postlude::durability::durable,
        .retry = {.base = std::chrono::seconds(1), .unit = {}},  // for a demo: every second
        .secret = {"email"},
    };
};
BOOST_DESCRIBE_STRUCT(welcome_mail, (), (account, name, email))

/// The same Message-ID each time, so that a mail program shows a repeated one once.
inline postlude::mail::message message_of(const welcome_mail& job) {
    return {.from = {"Postlude demo", "welcome@signup.example"},
            .to = {{job.name, job.email}},
            .subject = "Welcome, " + job.name + "!",
            .text = "Hello " + job.name + ",\n\nyour account is ready.\n\nThe Postlude demo\n",
            .message_id = job.account + "@signup.example"};
}

#endif
