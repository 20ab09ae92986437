// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "mail/blocking_sender.hpp"

#include <boost/asio/error.hpp>

#include <algorithm>
#include <vector>

namespace postlude::mail::detail {

namespace {

using clock = std::chrono::steady_clock;

}  // namespace

/// A connection with a multi handle of its own, which a request to stop can wake.
class blocking_sender::line {
public:
    explicit line(const mailer_options& options)
        : multi_(make_multi()), connection_(options, multi_.get()) {}

    connection& get() noexcept { return connection_; }
    void wake() noexcept { (void)curl_multi_wakeup(multi_.get()); }

    /// Lets libcurl connect until it has ended one way or the other. False: woken, or too late.
    bool connect(const std::stop_token& stop, clock::time_point deadline) {
        for (;;) {
            int running = 0;
            curl_multi_perform(multi_.get(), &running);
            int left = 0;
            if (const auto* ended = curl_multi_info_read(multi_.get(), &left)) {
                connection_.connected(ended->data.result);
                return true;
            }
            if (!wait(nullptr, stop, deadline)) {
                return false;
            }
        }
    }

    /// Waits for the socket of the connection. False: woken, or too late.
    bool wait(connection::need need, const std::stop_token& stop, clock::time_point deadline) {
        if (need == connection::need::again) {
            return !stop.stop_requested() && clock::now() < deadline;
        }
        curl_waitfd extra{};
        extra.fd = connection_.socket();
        extra.events = need == connection::need::read ? CURL_WAIT_POLLIN : CURL_WAIT_POLLOUT;
        return wait(&extra, stop, deadline);
    }

private:
    bool wait(curl_waitfd* extra, const std::stop_token& stop, clock::time_point deadline) {
        if (stop.stop_requested()) {
            return false;
        }
        const auto left =
            std::chrono::ceil<std::chrono::milliseconds>(deadline - clock::now()).count();
        if (left <= 0) {
            return false;
        }
        curl_multi_poll(multi_.get(), extra, extra ? 1 : 0, static_cast<int>(left), nullptr);
        return !stop.stop_requested();
    }

    multi_handle multi_;
    connection connection_;
};

std::shared_ptr<blocking_sender::line> blocking_sender::take_idle() {
    for (;;) {
        std::shared_ptr<line> taken;
        {
            const std::lock_guard lock(mutex_);
            if (idle_.empty()) {
                return nullptr;
            }
            taken = std::move(idle_.back());
            idle_.pop_back();
        }
        if (taken->get().usable(options_.idle)) {
            return taken;
        }
    }
}

void blocking_sender::keep(const std::shared_ptr<line>& line) {
    line->get().rest();
    std::vector<std::shared_ptr<class line>> old;  // closed without the lock
    const std::lock_guard lock(mutex_);
    while (!idle_.empty() && idle_.front()->get().rested_for(options_.idle)) {
        old.push_back(std::move(idle_.front()));
        idle_.pop_front();
    }
    if (idle_.size() < options_.connections) {
        idle_.push_back(line);
    }
}

outcome blocking_sender::send_on(const std::shared_ptr<line>& line, const prepared& mail,
                                 const std::stop_token& stop, clock::time_point deadline,
                                 bool& stale) {
    const std::stop_callback wake(stop, [&] { line->wake(); });
    const auto given_up = [&] {
        return stop.stop_requested()
                   ? boost::system::error_code(boost::asio::error::operation_aborted)
                   : make_error_code(errc::timed_out);
    };
    const auto why = [&] { return stop.stop_requested() ? "asked to stop" : "time-out"; };
    auto& connection = line->get();
    if (!connection.is_connected()) {
        if (!line->connect(stop, deadline)) {
            return {given_up(), {mail.message_id, {}, why()}};
        }
        if (connection.failure()) {
            auto end = *connection.failure();
            end.about.message_id = mail.message_id;
            return end;
        }
    }
    transaction transaction(mail, connection.announces_size());
    for (;;) {
        const auto need = connection.step(transaction);
        if (need == connection::need::nothing) {
            break;
        }
        if (!line->wait(need, stop, deadline)) {
            connection.step(transaction);  // the answer may have come meanwhile
            transaction.broken(given_up(), why());
            break;
        }
    }
    stale = transaction.stale();
    if (transaction.clean()) {
        keep(line);
    }
    return *transaction.end();
}

outcome blocking_sender::send(const prepared& mail, const std::stop_token& stop) {
    auto end = deliver(mail, stop);
    hide_credentials(end, options_);
    return end;
}

outcome blocking_sender::deliver(const prepared& mail, const std::stop_token& stop) {
    const auto deadline = clock::now() + options_.timeout;
    if (auto idle = take_idle()) {
        bool stale = false;
        auto end = send_on(idle, mail, stop, deadline, stale);
        if (!stale) {
            return end;
        }
    }
    bool ignored = false;
    return send_on(std::make_shared<line>(options_), mail, stop, deadline, ignored);
}

}  // namespace postlude::mail::detail
