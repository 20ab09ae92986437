// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_TESTS_BACKENDS_RABBITMQ_SUPPORT_HPP
#define POSTLUDE_TESTS_BACKENDS_RABBITMQ_SUPPORT_HPP

#include "postlude/backends/rabbitmq.hpp"

#include "backends/rabbitmq/topology.hpp"
#include "support/store_server.hpp"
#include "support/tcp_proxy.hpp"

#include <amqp_framing.h>

#include <atomic>
#include <string>
#include <string_view>
#include <vector>

namespace test {

/// The broker that the tests of this process share: quorum queues of its own for each, by a prefix.
inline store_server& rabbitmq_server() {
    static store_server server("rabbitmq");
    return server;
}

inline std::string new_rabbitmq_prefix() {
    static std::atomic<int> count{0};
    return "test-" + std::to_string(++count);
}

/// A URL with another port, user and password, or virtual host; an empty one stays.
inline std::string rabbitmq_url(const std::string& of, const std::string& port,
                                const std::string& user = {}, const std::string& vhost = {}) {
    const auto at = of.find('@');
    const auto colon = of.find(':', at);
    const auto slash = of.find('/', colon);
    const auto begin = of.find("://") + 3;
    return of.substr(0, begin) + (user.empty() ? of.substr(begin, at - begin) : user) +
           of.substr(at, colon - at + 1) +
           (port.empty() ? of.substr(colon + 1, slash - colon - 1) : port) + "/" +
           (vhost.empty() ? of.substr(slash + 1) : vhost);
}

/// A store of its own in the shared broker, and a proxy before it. Its queues go with it.
class rabbitmq_store {
public:
    explicit rabbitmq_store(store_server& server = rabbitmq_server())
        : server_(server), proxy_(static_cast<unsigned short>(std::stoi(server.port()))) {}
    rabbitmq_store(const rabbitmq_store&) = delete;
    rabbitmq_store& operator=(const rabbitmq_store&) = delete;
    ~rabbitmq_store() {
        try {
            remove();
        } catch (const std::exception&) {  // the broker ends with the tests
        }
    }

    tcp_proxy& proxy() { return proxy_; }
    const std::string& prefix() const { return names_.prefix; }
    postlude::rabbitmq_options options() const {
        postlude::rabbitmq_options o;
        o.url = rabbitmq_url(server_.url(), std::to_string(proxy_.port()));
        o.prefix = prefix();
        o.poll = std::chrono::milliseconds(1);
        return o;
    }
    std::unique_ptr<postlude::backend> connect() const {
        return postlude::rabbitmq_backend(options());
    }

private:
    struct silent final : postlude::detail::rabbitmq::connection::listener {};

    void remove() {
        namespace detail = postlude::detail::rabbitmq;
        auto o = options();
        o.url = server_.url();
        const auto to = detail::read_address(o);
        silent nobody;
        detail::connection on(to, std::chrono::seconds(0), nobody);
        on.open_channel(1);
        std::vector<std::string> queues{names_.dead()};
        std::vector<std::string> exchanges{names_.due(), names_.wake()};
        for (const auto* kind : {"a", "b", "c", "unknown", "mail", "letter"}) {
            for (std::uint8_t p = 0; p != detail::lane::count; ++p) {
                queues.push_back(names_.queue({kind, p}));
            }
        }
        for (std::size_t level = 0; level != detail::delays::levels; ++level) {
            queues.push_back(names_.delay(level));
            exchanges.push_back(names_.delay(level));
        }
        for (const auto& name : queues) {
            amqp_queue_delete_t gone{};
            gone.queue = detail::bytes(name);
            on.ask(1, AMQP_QUEUE_DELETE_METHOD, &gone, AMQP_QUEUE_DELETE_OK_METHOD);
        }
        for (const auto& name : exchanges) {
            amqp_exchange_delete_t gone{};
            gone.exchange = detail::bytes(name);
            on.ask(1, AMQP_EXCHANGE_DELETE_METHOD, &gone, AMQP_EXCHANGE_DELETE_OK_METHOD);
        }
    }

    store_server& server_;
    postlude::detail::rabbitmq::names names_{new_rabbitmq_prefix()};
    tcp_proxy proxy_;
};

}  // namespace test

#endif
