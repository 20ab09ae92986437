// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/rabbitmq/connection.hpp"

#include "backends/rabbitmq/failure.hpp"
#include "backends/rabbitmq/message.hpp"

#include <amqp_ssl_socket.h>
#include <amqp_tcp_socket.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <new>
#include <utility>

namespace postlude::detail::rabbitmq {

namespace {

constexpr int longest_frame = 131'072;
/// Dead-lettering that loses nothing, and delays, in quorum queues.
constexpr unsigned least_major = 3;
constexpr unsigned least_minor = 10;

timeval time_of(clock::duration d) {
    const auto us = std::chrono::ceil<std::chrono::microseconds>(std::max(d, clock::duration(0)));
    return {us.count() / 1'000'000, us.count() % 1'000'000};
}

template <class Method>
const Method& as(const amqp_method_t& method) {
    return *static_cast<const Method*>(method.decoded);
}

/// Of a method that answers: what it says of a queue.
std::uint32_t messages_in(const amqp_method_t& method) {
    return method.id == AMQP_QUEUE_DECLARE_OK_METHOD
               ? as<amqp_queue_declare_ok_t>(method).message_count
               : 0;
}

}  // namespace

connection::connection(const address& to, std::chrono::seconds heartbeat, listener& hears)
    : to_(to), hears_(hears), state_(amqp_new_connection()) {
    if (state_ == nullptr) {
        throw std::bad_alloc();
    }
    try {
        connect();
        log_in(heartbeat);
        check_version();
        set_time_limits();
    } catch (...) {
        amqp_destroy_connection(state_);
        throw;
    }
}

connection::~connection() {
    // Not AMQP's own goodbye: that would wait for an answer.
    amqp_destroy_connection(state_);
}

void connection::connect() {
    auto* const socket = to_.tls ? amqp_ssl_socket_new(state_) : amqp_tcp_socket_new(state_);
    if (socket == nullptr) {
        throw std::bad_alloc();
    }
    if (to_.tls) {
        amqp_ssl_socket_set_verify_peer(socket, to_.options.verify ? 1 : 0);
        amqp_ssl_socket_set_verify_hostname(socket, to_.options.verify ? 1 : 0);
        if (to_.options.verify &&
            amqp_ssl_socket_set_cacert(socket, to_.options.ca_file.c_str()) != AMQP_STATUS_OK) {
            fail(errc::bad_store, to_.shown,
                 "the certificates of " + to_.options.ca_file +
                     " can't be read; give a PEM file as ca_file");
        }
    }
    const auto limit = time_of(to_.options.timeout);
    amqp_set_handshake_timeout(state_, &limit);
    amqp_set_rpc_timeout(state_, &limit);
    const auto status = amqp_socket_open_noblock(socket, to_.host.c_str(), to_.port, &limit);
    if (status == AMQP_STATUS_SSL_PEER_VERIFY_FAILED ||
        status == AMQP_STATUS_SSL_HOSTNAME_VERIFY_FAILED ||
        status == AMQP_STATUS_SSL_CONNECTION_FAILED) {
        fail(errc::bad_store, to_.shown,
             std::string("no TLS with it: ") + amqp_error_string2(status) +
                 "; check the port, that its certificate is for this host name, and that ca_file "
                 "has who signed it");
    }
    if (status != AMQP_STATUS_OK) {
        fail(errc::store_unavailable, to_.shown,
             std::string("it can't be reached: ") + amqp_error_string2(status) +
                 "; check the host and the port, and that RabbitMQ runs there");
    }
}

void connection::log_in(std::chrono::seconds heartbeat) {
    // What the broker sends only to those who say that they know it.
    table known;
    known.add("basic.nack", true).add("connection.blocked", true);
    table properties;
    properties.add("product", "postlude")
        .add("connection_name", "postlude")
        .add("capabilities", known.get());
    const auto given = properties.get();
    const auto reply = amqp_login_with_properties(
        state_, to_.vhost.c_str(), 0, longest_frame, static_cast<int>(heartbeat.count()), &given,
        AMQP_SASL_METHOD_PLAIN, to_.user.c_str(), to_.password.c_str());
    if (reply.reply_type == AMQP_RESPONSE_NORMAL) {
        return;
    }
    if (reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION &&
        reply.reply.id == AMQP_CONNECTION_CLOSE_METHOD) {
        const auto& close = as<amqp_connection_close_t>(reply.reply);
        closed(close.reply_code, text(close.reply_text));
    }
    if (reply.library_error == AMQP_STATUS_BAD_AMQP_DATA ||
        reply.library_error == AMQP_STATUS_INCOMPATIBLE_AMQP_VERSION) {
        fail(errc::bad_store, to_.shown,
             "what answers there does not speak AMQP 0-9-1; check the port");
    }
    lost(reply.library_error);
}

void connection::set_time_limits() {
    // What was sent has to be confirmed by the other machine within the time; or a broker that is
    // gone, or reads nothing, would hold a send for ever.
    const auto limit = static_cast<unsigned>(to_.options.timeout.count());
    ::setsockopt(descriptor(), IPPROTO_TCP, TCP_USER_TIMEOUT, &limit, sizeof limit);
}

void connection::check(int status) {
    if (status != AMQP_STATUS_OK) {
        lost(status);
    }
}

void connection::lost(int status) {
    fail(errc::store_unavailable, to_.shown,
         std::string("the connection was lost: ") + amqp_error_string2(status) +
             "; it is made anew with the next call");
}

void connection::closed(int code, const std::string& sentence) {
    const auto said = " (the broker said: " + std::to_string(code) + " " + sentence + ")";
    if (code == AMQP_ACCESS_REFUSED) {
        fail(errc::bad_store, to_.shown,
             "the user name or the password is wrong, or the user may not use this virtual host" +
                 said);
    }
    // It has one code for both: "[user] connection limit (10) is reached".
    if (code == AMQP_NOT_ALLOWED && sentence.find("connection limit") != sentence.npos) {
        fail(errc::store_unavailable, to_.shown,
             "the broker has no room for another connection; raise its limit with rabbitmqctl "
             "set_vhost_limits or set_user_limits, or open fewer: a process takes four" +
                 said);
    }
    if (code == AMQP_NOT_ALLOWED) {
        fail(errc::bad_store, to_.shown,
             "the virtual host \"" + to_.vhost +
                 "\" does not exist, or is not open to this user; add it with rabbitmqctl "
                 "add_vhost and set_permissions" +
                 said);
    }
    fail(errc::store_unavailable, to_.shown, "the broker has closed the connection" + said);
}

void connection::check_version() {
    const auto version = text_of(find(*amqp_get_server_properties(state_), "version"));
    unsigned major = 0;
    unsigned minor = 0;
    const auto* const end = version.data() + version.size();
    const auto* const dot = std::from_chars(version.data(), end, major).ptr;
    if (dot != end) {
        std::from_chars(dot + 1, end, minor);
    }
    if (major < least_major || (major == least_major && minor < least_minor)) {
        fail(errc::bad_store, to_.shown,
             "the broker is RabbitMQ " + version +
                 "; Postlude needs 3.10 or later, for delays in quorum queues");
    }
}

void connection::open_channel(amqp_channel_t channel) {
    amqp_channel_open_t open{};
    ask(channel, AMQP_CHANNEL_OPEN_METHOD, &open, AMQP_CHANNEL_OPEN_OK_METHOD);
}

void connection::send(amqp_channel_t channel, amqp_method_number_t method, void* decoded) {
    check(amqp_send_method(state_, channel, method, decoded));
}

void connection::publish(amqp_channel_t channel, std::string_view exchange, std::string_view key,
                         bool mandatory, const amqp_basic_properties_t& properties,
                         std::string_view body) {
    check(amqp_basic_publish(state_, channel, bytes(exchange), bytes(key), mandatory ? 1 : 0, 0,
                             &properties, bytes(body)));
}

void connection::gather(bool on) noexcept {
    const int value = on ? 1 : 0;
    ::setsockopt(descriptor(), IPPROTO_TCP, TCP_CORK, &value, sizeof value);
}

std::uint32_t connection::answer(amqp_channel_t channel, amqp_method_number_t method) {
    const auto deadline = clock::now() + to_.options.timeout;
    auto& replies = replies_[channel];
    const auto awaited = [&] {
        return std::ranges::find_if(replies, [&](const reply& r) {
            return r.method == method || r.method == AMQP_CHANNEL_CLOSE_METHOD;
        });
    };
    auto found = awaited();
    for (; found == replies.end(); found = awaited()) {
        if (!pump(deadline) && clock::now() >= deadline) {
            lost(AMQP_STATUS_TIMEOUT);
        }
    }
    const auto next = std::move(*found);
    replies.erase(found);
    if (next.method == AMQP_CHANNEL_CLOSE_METHOD) {
        throw refusal(next.code, next.sentence);
    }
    return next.messages;
}

bool connection::has_closed(amqp_channel_t channel) const {
    const auto found = replies_.find(channel);
    return found != replies_.end() && std::ranges::any_of(found->second, [](const reply& r) {
               return r.method == AMQP_CHANNEL_CLOSE_METHOD;
           });
}

bool connection::pump(clock::time_point until) {
    amqp_frame_t frame;
    const auto limit = time_of(until - clock::now());
    const auto status = amqp_simple_wait_frame_noblock(state_, &frame, &limit);
    if (status == AMQP_STATUS_TIMEOUT) {
        return false;
    }
    check(status);
    take(frame);
    amqp_maybe_release_buffers(state_);
    return true;
}

void connection::take(const amqp_frame_t& frame) {
    if (frame.frame_type == AMQP_FRAME_METHOD) {
        take_method(frame.channel, frame.payload.method);
        return;
    }
    const auto found = partial_.find(frame.channel);
    if (found == partial_.end()) {
        lost(AMQP_STATUS_UNEXPECTED_STATE);
    }
    auto& p = found->second;
    if (frame.frame_type == AMQP_FRAME_HEADER) {
        const auto& header = frame.payload.properties;
        take_header(p, *static_cast<const amqp_basic_properties_t*>(header.decoded),
                    header.body_size);
    } else {
        const auto part = view(frame.payload.body_fragment);
        p.message.job.arguments.append(part);
        p.missing -= std::min<std::uint64_t>(p.missing, part.size());
    }
    if (p.missing == 0) {
        complete(frame.channel);
    }
}

void connection::take_method(amqp_channel_t channel, const amqp_method_t& method) {
    switch (method.id) {
    case AMQP_BASIC_DELIVER_METHOD: {
        const auto& m = as<amqp_basic_deliver_t>(method);
        auto& message = (partial_[channel] = {}).message;
        message.consumer = text(m.consumer_tag);
        message.tag = m.delivery_tag;
        message.routing_key = text(m.routing_key);
        break;
    }
    case AMQP_BASIC_RETURN_METHOD: {
        auto& message = (partial_[channel] = {}).message;
        message.returned = true;
        message.routing_key = text(as<amqp_basic_return_t>(method).routing_key);
        break;
    }
    case AMQP_BASIC_ACK_METHOD: {
        const auto& m = as<amqp_basic_ack_t>(method);
        hears_.confirmed(m.delivery_tag, m.multiple != 0, true);
        break;
    }
    case AMQP_BASIC_NACK_METHOD: {
        const auto& m = as<amqp_basic_nack_t>(method);
        hears_.confirmed(m.delivery_tag, m.multiple != 0, false);
        break;
    }
    case AMQP_BASIC_CANCEL_METHOD: break;  // its queue is gone: who looks at that notices
    case AMQP_CHANNEL_CLOSE_METHOD:
        take_channel_close(channel, as<amqp_channel_close_t>(method));
        break;
    case AMQP_CONNECTION_CLOSE_METHOD: {
        const auto& close = as<amqp_connection_close_t>(method);
        closed(close.reply_code, text(close.reply_text));
    }
    case AMQP_CONNECTION_BLOCKED_METHOD:
        blocked_ = text(as<amqp_connection_blocked_t>(method).reason);
        if (blocked_.empty()) {
            blocked_ = "no reason given";
        }
        break;
    case AMQP_CONNECTION_UNBLOCKED_METHOD: blocked_.clear(); break;
    default: replies_[channel].push_back({method.id, messages_in(method), 0, {}});
    }
}

void connection::take_channel_close(amqp_channel_t channel, const amqp_channel_close_t& close) {
    reply r{AMQP_CHANNEL_CLOSE_METHOD, 0, close.reply_code, text(close.reply_text)};
    amqp_channel_close_ok_t ok{};
    send(channel, AMQP_CHANNEL_CLOSE_OK_METHOD, &ok);
    partial_.erase(channel);
    replies_[channel].push_back(std::move(r));
}

void connection::take_header(partial& to, const amqp_basic_properties_t& properties,
                             std::uint64_t size) {
    read_properties(properties, to.message);
    to.message.job.arguments.clear();
    to.message.job.arguments.reserve(size);
    to.missing = size;
}

void connection::complete(amqp_channel_t channel) {
    auto whole = std::move(partial_.extract(channel).mapped().message);
    hears_.delivered(std::move(whole));
}

}  // namespace postlude::detail::rabbitmq
