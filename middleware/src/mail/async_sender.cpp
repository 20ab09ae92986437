// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "mail/async_sender.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <optional>
#include <utility>

namespace postlude::mail::detail {

namespace asio = boost::asio;
using boost::system::error_code;

/// A mail on its way.
struct async_sender::job {
    prepared mail;
    std::unique_ptr<send_operation> operation;
    asio::steady_timer deadline;
    asio::cancellation_signal stop{};
    /// Why it was given up: time, the caller, the mailer's end.
    error_code given_up{};

    const char* words() const { return given_up == errc::timed_out ? "time-out" : "given up"; }
};

/// A connection, and the event that libcurl has made it.
struct async_sender::line : connection {
    line(const mailer_options& options, CURLM* multi, const strand& strand)
        : connection(options, multi), made(strand, asio::steady_timer::time_point::max()) {}

    asio::steady_timer made;
};

/// A connection's socket, watched from the first time that it has to be waited for. libcurl owns
/// it, also when the coroutine ends together with the event loop.
class async_sender::borrowed {
public:
    borrowed(const strand& strand, curl_socket_t socket) : strand_(strand), socket_(socket) {}
    borrowed(const borrowed&) = delete;
    borrowed& operator=(const borrowed&) = delete;
    ~borrowed() {
        if (watched_) {
            watched_->release();
        }
    }

    asio::posix::stream_descriptor& get() {
        return watched_ ? *watched_ : watched_.emplace(strand_, socket_);
    }

private:
    const strand& strand_;
    curl_socket_t socket_;
    std::optional<asio::posix::stream_descriptor> watched_;
};

/// A socket of libcurl's while it connects. libcurl owns it.
struct async_sender::watch {
    watch(const strand& strand, curl_socket_t socket) : descriptor(strand, socket) {}

    asio::posix::stream_descriptor descriptor;
    int wanted = 0;
    bool reading = false;
    bool writing = false;
};

async_sender::async_sender(const mailer_options& options, const asio::any_io_executor& executor)
    : options_(options), strand_(executor), timer_(strand_), multi_(make_multi()) {
    curl_multi_setopt(multi_.get(), CURLMOPT_SOCKETFUNCTION, &async_sender::on_socket);
    curl_multi_setopt(multi_.get(), CURLMOPT_SOCKETDATA, this);
    curl_multi_setopt(multi_.get(), CURLMOPT_TIMERFUNCTION, &async_sender::on_timer);
    curl_multi_setopt(multi_.get(), CURLMOPT_TIMERDATA, this);
}

async_sender::~async_sender() {
    idle_.clear();
    for (const auto& [socket, watch] : watches_) {
        watch->descriptor.release();
    }
    curl_multi_setopt(multi_.get(), CURLMOPT_SOCKETFUNCTION, nullptr);
    curl_multi_setopt(multi_.get(), CURLMOPT_TIMERFUNCTION, nullptr);
    multi_.reset();
}

void async_sender::start(prepared mail, std::unique_ptr<send_operation> operation) {
    auto slot = operation->slot();
    const auto made = std::make_shared<job>(std::move(mail), std::move(operation),
                                            asio::steady_timer(strand_, options_.timeout));
    if (slot.is_connected()) {
        slot.assign([self = weak_from_this(),
                     job = std::weak_ptr(made)](asio::cancellation_type type) {
            const auto sender = self.lock();
            if (sender &&
                (type & (asio::cancellation_type::terminal | asio::cancellation_type::partial)) !=
                    asio::cancellation_type::none) {
                asio::post(sender->strand_, [sender, job] {
                    if (const auto found = job.lock()) {
                        sender->give_up(found, asio::error::operation_aborted);
                    }
                });
            }
        });
    }
    asio::post(strand_, [self = shared_from_this(), made] { self->enqueue(made); });
}

void async_sender::close() {
    asio::post(strand_, [self = shared_from_this()] {
        self->closed_ = true;
        self->idle_.clear();
        const auto waiting = self->waiting_;
        const auto running = self->running_;
        for (const auto& job : waiting) {
            self->give_up(job, asio::error::operation_aborted);
        }
        for (const auto& job : running) {
            self->give_up(job, asio::error::operation_aborted);
        }
    });
}

void async_sender::enqueue(const std::shared_ptr<job>& job) {
    if (closed_ || job->given_up) {
        finish(job, {asio::error::operation_aborted, {job->mail.message_id, {}, "given up"}});
        return;
    }
    job->deadline.async_wait(
        [weak_self = weak_from_this(), weak = std::weak_ptr(job)](error_code ec) {
            const auto self = weak_self.lock();
            const auto found = weak.lock();
            if (!ec && self && found) {
                self->give_up(found, errc::timed_out);
            }
        });
    waiting_.push_back(job);
    start_waiting();
}

void async_sender::give_up(const std::shared_ptr<job>& job, error_code why) {
    if (!job->operation || job->given_up) {
        return;
    }
    job->given_up = why;
    if (const auto found = std::ranges::find(waiting_, job); found != waiting_.end()) {
        waiting_.erase(found);
        finish(job, {why, {job->mail.message_id, {}, job->words()}});
    } else {
        job->stop.emit(asio::cancellation_type::terminal);
    }
}

void async_sender::start_waiting() {
    while (!waiting_.empty() && running_.size() < options_.connections) {
        const auto job = waiting_.front();
        waiting_.pop_front();
        running_.insert(job);
        asio::co_spawn(strand_, deliver(job),
                       asio::bind_cancellation_slot(
                           job->stop.slot(), [self = shared_from_this(), job](
                                                 const std::exception_ptr& failed, outcome end) {
                               if (failed) {
                                   end = {errc::connection_failed, {{}, {}, "no memory"}};
                               }
                               self->running_.erase(job);
                               end.about.message_id = job->mail.message_id;
                               self->finish(job, std::move(end));
                               self->start_waiting();
                           }));
    }
}

void async_sender::finish(const std::shared_ptr<job>& job, outcome end) {
    const auto operation = std::move(job->operation);
    job->deadline.cancel();
    hide_credentials(end, options_);
    operation->complete(end.code, std::move(end.about));
}

asio::awaitable<outcome> async_sender::deliver(std::shared_ptr<job> job) {
    const auto self = shared_from_this();  // before the line, which refers to it
    co_await asio::this_coro::throw_if_cancelled(false);
    outcome end;
    bool stale = false;
    auto line = take_idle();
    if (line) {
        co_await deliver_on(line, *job, end, stale);
    }
    if (!line || stale) {
        line = std::make_unique<async_sender::line>(options_, multi_.get(), strand_);
        co_await deliver_on(line, *job, end, stale);
    }
    if (line && !closed_) {
        keep(std::move(line));
    }
    co_return end;
}

/// Resets the line unless it can carry another mail.
asio::awaitable<void> async_sender::deliver_on(std::unique_ptr<line>& line, job& job, outcome& end,
                                               bool& stale) {
    error_code ec;
    auto token = asio::redirect_error(asio::use_awaitable, ec);
    auto& connection = *line;
    stale = false;
    while (!connection.is_connected() && !connection.failure() && !job.given_up) {
        co_await line->made.async_wait(token);
    }
    if (!connection.is_connected()) {
        end = connection.failure() ? *connection.failure()
                                   : outcome{job.given_up, {{}, {}, job.words()}};
        line.reset();
        co_return;
    }
    transaction transaction(job.mail, connection.announces_size());
    if (job.given_up) {
        transaction.broken(job.given_up, job.words());
    }
    co_await converse(connection, transaction, job);
    end = *transaction.end();
    stale = transaction.stale();
    if (!transaction.clean()) {
        line.reset();
    }
}

asio::awaitable<void> async_sender::converse(connection& connection, transaction& transaction,
                                             const job& job) {
    error_code ec;
    auto token = asio::redirect_error(asio::use_awaitable, ec);
    borrowed socket(strand_, connection.socket());
    for (;;) {
        const auto need = connection.step(transaction);
        if (job.given_up) {  // after the step: the answer may have come meanwhile
            transaction.broken(job.given_up, job.words());
        }
        if (transaction.end()) {
            co_return;
        }
        if (need == connection::need::again) {
            co_await asio::post(strand_, token);
        } else {
            co_await socket.get().async_wait(need == connection::need::read
                                                 ? asio::posix::stream_descriptor::wait_read
                                                 : asio::posix::stream_descriptor::wait_write,
                                             token);
        }
    }
}

void async_sender::keep(std::unique_ptr<line> line) {
    line->rest();
    while (!idle_.empty() && idle_.front()->rested_for(options_.idle)) {
        idle_.pop_front();
    }
    if (idle_.size() < options_.connections) {
        idle_.push_back(std::move(line));
    }
}

std::unique_ptr<async_sender::line> async_sender::take_idle() {
    while (!idle_.empty()) {
        auto taken = std::move(idle_.back());
        idle_.pop_back();
        if (taken->usable(options_.idle)) {
            return taken;
        }
    }
    return nullptr;
}

int async_sender::on_socket(CURL*, curl_socket_t socket, int what, void* user, void*) {
    try {
        static_cast<async_sender*>(user)->watch_socket(socket, what);
        return 0;
    } catch (...) {  // nothing is thrown through libcurl
        return -1;
    }
}

void async_sender::watch_socket(curl_socket_t socket, int what) {
    const auto found = watches_.find(socket);
    if (what == CURL_POLL_REMOVE) {
        if (found != watches_.end()) {
            found->second->wanted = 0;
            found->second->descriptor.release();
            watches_.erase(found);
        }
        return;
    }
    const auto& watch =
        found != watches_.end()
            ? found->second
            : watches_.emplace(socket, std::make_shared<async_sender::watch>(strand_, socket))
                  .first->second;
    watch->wanted = what;
    wait_for(watch);
}

void async_sender::wait_for(const std::shared_ptr<watch>& watch) {
    using descriptor = asio::posix::stream_descriptor;
    const auto wait = [&](bool& waiting, int direction, descriptor::wait_type type, int event) {
        if (waiting || !(watch->wanted & direction)) {
            return;
        }
        waiting = true;
        watch->descriptor.async_wait(
            type, [self = shared_from_this(), watch, &waiting, direction, event](error_code ec) {
                waiting = false;
                if (!ec && (watch->wanted & direction)) {
                    self->ready(watch->descriptor.native_handle(), event);
                    if (watch->descriptor.is_open()) {
                        self->wait_for(watch);
                    }
                }
            });
    };
    wait(watch->reading, CURL_POLL_IN, descriptor::wait_read, CURL_CSELECT_IN);
    wait(watch->writing, CURL_POLL_OUT, descriptor::wait_write, CURL_CSELECT_OUT);
}

int async_sender::on_timer(CURLM*, long ms, void* user) {
    try {
        static_cast<async_sender*>(user)->set_timer(ms);
        return 0;
    } catch (...) {
        return -1;
    }
}

void async_sender::set_timer(long ms) {
    if (ms < 0) {
        timer_.cancel();
        return;
    }
    // Never at once: libcurl must not be called from where it calls.
    timer_.expires_after(std::chrono::milliseconds(ms));
    timer_.async_wait([sender = weak_from_this()](error_code ec) {
        const auto found = sender.lock();
        if (!ec && found) {
            found->ready(CURL_SOCKET_TIMEOUT, 0);
        }
    });
}

void async_sender::ready(curl_socket_t socket, int events) {
    int running = 0;
    curl_multi_socket_action(multi_.get(), socket, events, &running);
    int left = 0;
    while (const auto* ended = curl_multi_info_read(multi_.get(), &left)) {
        void* owner = nullptr;
        curl_easy_getinfo(ended->easy_handle, CURLINFO_PRIVATE, &owner);
        auto& line = static_cast<async_sender::line&>(*static_cast<connection*>(owner));
        line.connected(ended->data.result);
        line.made.cancel();
    }
}

}  // namespace postlude::mail::detail
