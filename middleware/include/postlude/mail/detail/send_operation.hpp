// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_MAIL_DETAIL_SEND_OPERATION_HPP
#define POSTLUDE_MAIL_DETAIL_SEND_OPERATION_HPP

#include "postlude/mail/report.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/system_executor.hpp>
#include <boost/system/error_code.hpp>

#include <memory>
#include <utility>

namespace postlude::mail::detail {

/// The end of an `async_send`, whatever its completion handler is.
class send_operation {
public:
    send_operation() = default;
    send_operation(const send_operation&) = delete;
    send_operation& operator=(const send_operation&) = delete;
    virtual ~send_operation() = default;

    virtual boost::asio::cancellation_slot slot() const noexcept = 0;
    /// Posts the handler to its associated executor. Once.
    virtual void complete(boost::system::error_code ec, report about) = 0;
};

template <class Handler, class Executor>
class send_operation_of final : public send_operation {
public:
    send_operation_of(Handler handler, const Executor& executor)
        : handler_(std::move(handler)),
          work_(boost::asio::get_associated_executor(handler_, executor)) {}

    boost::asio::cancellation_slot slot() const noexcept override {
        return boost::asio::get_associated_cancellation_slot(handler_);
    }

    void complete(boost::system::error_code ec, report about) override {
        auto executor = work_.get_executor();
        boost::asio::post(executor, [handler = std::move(handler_), work = std::move(work_), ec,
                                     about = std::move(about)]() mutable {
            if (auto slot = boost::asio::get_associated_cancellation_slot(handler);
                slot.is_connected()) {
                slot.clear();
            }
            work.reset();
            std::move(handler)(ec, std::move(about));
        });
    }

private:
    Handler handler_;
    boost::asio::executor_work_guard<boost::asio::associated_executor_t<Handler, Executor>> work_;
};

/// Without an executor of the mailer, a handler that has none either runs on Asio's system threads.
template <class Handler>
std::unique_ptr<send_operation> make_send_operation(Handler handler,
                                                    boost::asio::any_io_executor executor) {
    if (!executor) {
        executor = boost::asio::system_executor();
    }
    return std::make_unique<send_operation_of<Handler, boost::asio::any_io_executor>>(
        std::move(handler), executor);
}

}  // namespace postlude::mail::detail

#endif
