// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_TESTS_SUPPORT_TCP_PROXY_HPP
#define POSTLUDE_TESTS_SUPPORT_TCP_PROXY_HPP

#include <boost/asio.hpp>

#include <array>
#include <atomic>
#include <functional>
#include <latch>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

namespace test {

/// Stands between a client and a server of 127.0.0.1, and does to their connections what networks
/// do.
class tcp_proxy {
public:
    using tcp = boost::asio::ip::tcp;

    explicit tcp_proxy(unsigned short server)
        : server_(boost::asio::ip::address_v4::loopback(), server),
          acceptor_(io_, {boost::asio::ip::address_v4::loopback(), 0}) {
        accept();
        thread_ = std::thread([this] { io_.run(); });
    }
    tcp_proxy(const tcp_proxy&) = delete;
    tcp_proxy& operator=(const tcp_proxy&) = delete;
    ~tcp_proxy() {
        io_.stop();
        thread_.join();
    }

    unsigned short port() const { return acceptor_.local_endpoint().port(); }
    /// Closes all connections. New ones are let through.
    void cut() {
        boost::asio::post(io_, [this] {
            for (const auto& link : std::exchange(links_, {})) {
                link->close();
            }
        });
    }
    /// While it is so, nothing passes, and nobody is told; new connections are accepted.
    void swallow(bool all) { swallows_ = all; }
    /// Holds the proxy's thread at a place where it has no lock, until what is returned goes: who
    /// forks meanwhile has no lock in the child that nobody will ever give back.
    std::shared_ptr<void> pause() {
        struct meeting {
            std::latch arrived{1};
            std::latch done{1};
        };
        const auto at = std::make_shared<meeting>();
        boost::asio::post(io_, [at] {
            at->arrived.count_down();
            at->done.wait();
        });
        at->arrived.wait();
        return {nullptr, [at](void*) { at->done.count_down(); }};
    }
    /// Whether a piece of what the server sends passes; asked in the proxy's thread.
    void pass_only(std::function<bool(std::string_view)> passes) {
        const std::lock_guard lock(mutex_);
        passes_ = std::move(passes);
    }
    /// Replaces a text that the server sends by one of the same length, where it comes in one
    /// piece.
    void replace(std::string from, std::string to) {
        const std::lock_guard lock(mutex_);
        from_ = std::move(from);
        to_ = std::move(to);
    }

private:
    struct link {
        explicit link(tcp::socket c) : client(std::move(c)), server(client.get_executor()) {}
        void close() {
            boost::system::error_code ignored;
            client.close(ignored);
            server.close(ignored);
        }
        tcp::socket client;
        tcp::socket server;
    };
    using link_ptr = std::shared_ptr<link>;
    using buffer_ptr = std::shared_ptr<std::array<char, 64 * 1024>>;

    void accept() {
        acceptor_.async_accept([this](boost::system::error_code ec, tcp::socket client) {
            if (ec) {
                return;
            }
            auto made = std::make_shared<link>(std::move(client));
            made->server.connect(server_, ec);
            if (!ec) {
                links_.insert(made);
                pass(made, made->client, made->server,
                     std::make_shared<buffer_ptr::element_type>());
                pass(made, made->server, made->client,
                     std::make_shared<buffer_ptr::element_type>());
            }
            accept();
        });
    }

    void pass(const link_ptr& of, tcp::socket& from, tcp::socket& to, const buffer_ptr& buffer) {
        from.async_read_some(boost::asio::buffer(*buffer), [this, of, &from, &to, buffer](
                                                               boost::system::error_code ec,
                                                               std::size_t n) {
            std::string_view bytes(buffer->data(), n);
            const bool answers = &from == &of->server;
            const std::string changed = answers ? changed_text(bytes) : "";
            if (!ec && !swallows_ && (!answers || may_pass(bytes))) {
                boost::asio::write(to, boost::asio::buffer(changed.empty() ? bytes : changed), ec);
            }
            if (ec) {
                of->close();
                links_.erase(of);
                return;
            }
            pass(of, from, to, buffer);
        });
    }

    bool may_pass(std::string_view bytes) {
        const std::lock_guard lock(mutex_);
        return !passes_ || passes_(bytes);
    }
    std::string changed_text(std::string_view bytes) {
        const std::lock_guard lock(mutex_);
        const auto found = from_.empty() ? bytes.npos : bytes.find(from_);
        return found == bytes.npos ? std::string()
                                   : std::string(bytes).replace(found, from_.size(), to_);
    }

    boost::asio::io_context io_;
    tcp::endpoint server_;
    tcp::acceptor acceptor_;
    std::set<link_ptr> links_;
    std::atomic<bool> swallows_{false};
    std::mutex mutex_;
    std::string from_;
    std::string to_;
    std::function<bool(std::string_view)> passes_;
    std::thread thread_;
};

}  // namespace test

#endif
