// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/mail/mailer.hpp"

#include "mail/async_sender.hpp"
#include "mail/blocking_sender.hpp"

#include <boost/system/system_error.hpp>

#include <utility>

namespace postlude::mail {

namespace {

mailer_options checked(mailer_options options) {
    detail::check(options);
    return options;
}

}  // namespace

class mailer::state {
public:
    state(mailer_options given, boost::asio::any_io_executor executor)
        : options(checked(std::move(given))), executor(std::move(executor)), blocking(options) {
        if (this->executor) {
            async = std::make_shared<detail::async_sender>(options, this->executor);
        }
    }
    state(const state&) = delete;
    state& operator=(const state&) = delete;
    ~state() {
        if (async) {
            async->close();
        }
    }

    const mailer_options options;
    boost::asio::any_io_executor executor;
    detail::blocking_sender blocking;
    std::shared_ptr<detail::async_sender> async;
};

mailer::mailer(mailer_options options) : mailer(std::move(options), {}) {}

mailer::mailer(mailer_options options, boost::asio::any_io_executor executor)
    : state_(std::make_unique<state>(std::move(options), std::move(executor))) {}

mailer::~mailer() = default;

report mailer::send(const message& message, boost::system::error_code& ec,
                    const std::stop_token& stop) {
    detail::outcome end;
    try {
        end = state_->blocking.send(detail::prepare(message), stop);
    } catch (detail::outcome& refused) {
        end = std::move(refused);
    }
    ec = end.code;
    return std::move(end.about);
}

report mailer::send(const message& message, const std::stop_token& stop) {
    boost::system::error_code ec;
    auto about = send(message, ec, stop);
    if (ec) {
        throw boost::system::system_error(
            ec, about.field + (about.field.empty() ? "" : ": ") + about.reply);
    }
    return about;
}

boost::asio::any_io_executor mailer::executor() const { return state_->executor; }

void mailer::start(const message& message, std::unique_ptr<detail::send_operation> operation) {
    if (!state_->async) {
        operation->complete(errc::bad_option, {{}, {}, "the mailer was given no executor"});
        return;
    }
    try {
        auto mail = detail::prepare(message);
        state_->async->start(std::move(mail), std::move(operation));
    } catch (detail::outcome& refused) {
        operation->complete(refused.code, std::move(refused.about));
    }
}

}  // namespace postlude::mail
