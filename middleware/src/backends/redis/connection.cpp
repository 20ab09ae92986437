// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/redis/connection.hpp"

#include <boost/system/system_error.hpp>

#include <poll.h>

#include <charconv>
#include <new>
#include <utility>

namespace postlude::detail::redis {

namespace {

constexpr int least_version = 7;

/// Of a flat array of names and values.
std::string_view field_of(const reply_view& answer, std::string_view name) {
    for (std::size_t i = 0; i + 1 < answer.size(); i += 2) {
        if (answer[i].text() == name) {
            return answer[i + 1].text();
        }
    }
    return {};
}

}  // namespace

void command::append(const command& other) {
    const auto begin = text_.size();
    text_.append(other.text_);
    for (const auto end : other.ends_) {
        ends_.push_back(begin + end);
    }
}

void command::write_to(std::string& text) const {
    const auto number = [&text](char kind, std::size_t n) {
        std::array<char, 24> digits;
        const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), n).ptr;
        text.append(1, kind).append(digits.data(), end).append("\r\n");
    };
    text.reserve(text.size() + text_.size() + 10 * ends_.size() + 10);
    number('*', ends_.size());
    std::size_t begin = 0;
    for (const auto end : ends_) {
        number('$', end - begin);
        text.append(text_, begin, end - begin).append("\r\n");
        begin = end;
    }
}

/// Before something is sent.
void connection::begin(deadline until) {
    in_doubt_ = false;
    if (stale()) {
        close();
    }
    if (!transport_) {
        connect(until);
    }
    in_doubt_ = true;
}

reply connection::call(const command& c, deadline until) {
    try {
        begin(until);
        send(c, until);
        auto answer = receive(until);
        in_doubt_ = false;
        return answer;
    } catch (...) {
        close();
        throw;
    }
}

reply connection::run_together(std::span<const command> commands, deadline until) {
    was_full_ = false;
    std::string refusal;
    try {
        begin(until);
        outgoing_.clear();
        command({"MULTI"}).write_to(outgoing_);
        for (const auto& c : commands) {
            c.write_to(outgoing_);
        }
        command({"EXEC"}).write_to(outgoing_);
        send(until);
        const auto begun = receive(until);
        if (begun.is_error()) {  // so each was done by itself, as far as it was
            to_.refuse(begun.text());
        }
        for (std::size_t i = 0; i < commands.size(); ++i) {
            const auto queued = receive(until);
            if (queued.is_error() && refusal.empty()) {
                refusal = queued.text();
            }
        }
        auto answer = receive(until);
        in_doubt_ = false;
        if (answer.is_array()) {
            return answer;
        }
        if (!answer.text().starts_with("EXECABORT")) {
            close();  // it waits for EXEC still
        }
        if (refusal.empty()) {
            constexpr std::string_view discarded = "EXECABORT Transaction discarded because of: ";
            const auto why = answer.text();
            refusal = why.substr(why.starts_with(discarded) ? discarded.size() : 0);
        }
    } catch (...) {
        close();
        throw;
    }
    refuse(refusal);
}

/// It has done nothing.
void connection::refuse(std::string_view error) {
    was_full_ = error.starts_with("OOM");
    if (error.starts_with("READONLY")) {
        close();
    }
    to_.refuse(error);
}

reply connection::run(script& s, const command& arguments, deadline until) {
    was_full_ = false;
    for (bool loaded = false;; loaded = true) {
        auto answer = call(prepare(s, arguments, until), until);
        if (!answer.is_error() || answer.text().starts_with("POSTLUDE")) {
            if (answer.is_error() && answer.text().starts_with("POSTLUDEOWNER")) {
                throw owner_lost();
            }
            return answer;
        }
        // After a restart the server knows none of them.
        if (loaded || !answer.text().starts_with("NOSCRIPT")) {
            refuse(answer.text());
        }
        s.set_name({});
    }
}

command connection::prepare(script& s, const command& arguments, deadline until) {
    auto name = s.name();  // which another connection may find to be forgotten meanwhile
    if (name.empty()) {
        name = load(s, until);
    }
    command c({"EVALSHA", name, "1", to_.key("meta")});
    c.append(arguments);
    return c;
}

std::string connection::load(script& s, deadline until) {
    const auto answer = call(command({"SCRIPT", "LOAD", s.text()}), until);
    if (answer.is_error()) {
        to_.refuse(answer.text());
    }
    std::string name(answer.text());
    s.set_name(name);
    return name;
}

/// The server may have closed a connection that nobody used; what is sent then is in doubt without
/// need.
bool connection::stale() const noexcept {
    if (!transport_) {
        return false;
    }
    pollfd one{transport_->descriptor(), POLLIN, 0};
    return ::poll(&one, 1, 0) != 0;
}

void connection::close() noexcept {
    transport_.reset();
    reader_.reset();
    subscribed_ = false;
}

void connection::connect(deadline until) {
    reader_.reset(redisReaderCreate());
    if (!reader_) {
        throw std::bad_alloc();
    }
    transport_ = connect_plain(to_, until);
    if (to_.tls) {
        transport_ = start_tls(to_, std::move(transport_), until);
    }
    greet(until);
}

void connection::greet(deadline until) {
    command hello({"HELLO", "2"});
    if (!to_.password.empty()) {
        hello.add("AUTH").add(to_.user.empty() ? "default" : to_.user).add(to_.password);
    }
    send(hello, until);
    const auto greeting = receive(until);
    const auto text = greeting.text();
    if (greeting.is_error() && !text.starts_with("ERR unknown command")) {
        to_.refuse(text);
    }
    const auto version = field_of(greeting, "version");
    int major = 0;
    std::from_chars(version.data(), version.data() + version.size(), major);
    if (major < least_version) {
        to_.fail(errc::bad_store, std::string("it is Redis ")
                                      .append(version.empty() ? "5 or older" : version)
                                      .append("; Postlude needs version 7 or later"));
    }
    if (const auto role = field_of(greeting, "role"); role != "master") {
        to_.fail(if_replica_,
                 "the server is a replica, which takes no jobs; name the primary in the URL");
    }
    if (to_.database != 0) {
        send(command({"SELECT", std::to_string(to_.database)}), until);
        const auto selected = receive(until);
        if (selected.is_error()) {
            to_.refuse(selected.text());
        }
    }
}

void connection::send(const command& c, deadline until) {
    outgoing_.clear();
    c.write_to(outgoing_);
    send(until);
}

void connection::send(deadline until) { transport_->write(outgoing_, until); }

reply connection::receive(deadline until) {
    for (;;) {
        void* found = nullptr;
        if (redisReaderGetReply(reader_.get(), &found) != REDIS_OK) {
            to_.fail(errc::bad_store,
                     "what answers there does not speak Redis's protocol; correct the URL if it "
                     "is wrong");
        }
        if (found) {
            return reply(found);
        }
        const auto n = transport_->read(buffer_.data(), buffer_.size(), until);
        if (n == 0) {
            to_.fail(errc::store_unavailable,
                     to_.tls ? "the server closed the connection"
                             : "the server closed the connection (one that wants TLS does so: "
                               "then use rediss://)");
        }
        redisReaderFeed(reader_.get(), buffer_.data(), n);
    }
}

listening connection::subscribe(const std::string& channel, deadline until) {
    if (subscribed_) {
        return listening::yes;
    }
    const auto answer = call(command({"SUBSCRIBE", channel}), until);
    if (answer.is_error()) {
        const auto why = answer.text();
        const bool for_good = why.starts_with("NOPERM") || why.starts_with("ERR unknown command");
        return for_good ? listening::not_allowed : listening::not_now;
    }
    subscribed_ = true;
    return listening::yes;
}

void connection::drain() noexcept {
    try {
        while (transport_ && stale()) {
            const auto now = std::chrono::steady_clock::now();
            if (transport_->read(buffer_.data(), buffer_.size(), now) == 0) {
                close();
            }
        }
    } catch (...) {
        // A part of a TLS record, which is read when the rest is there; or the end, which the next
        // call finds.
        close();
    }
}

}  // namespace postlude::detail::redis
