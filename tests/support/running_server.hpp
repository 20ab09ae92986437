// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_TESTS_SUPPORT_RUNNING_SERVER_HPP
#define POSTLUDE_TESTS_SUPPORT_RUNNING_SERVER_HPP

#include "postlude/http/server.hpp"
#include "support/http_client.hpp"
#include "support/log.hpp"

#include <thread>

namespace test {

/// A server in this process, on a free port, that does not touch the signals.
class running_server {
public:
    explicit running_server(postlude::http::server_options options = {})
        : server(quiet(std::move(options), log)) {}
    ~running_server() { stop(); }

    /// After the handlers were added.
    void start() {
        thread_ = std::thread([this] { report_ = server.run(); });
    }

    /// Stops it gracefully, if it runs, and returns what was lost.
    postlude::drain_report stop() {
        if (thread_.joinable()) {
            server.stop();
            thread_.join();
        }
        return report_;
    }

    http_client connect() { return http_client(server.port()); }
    postlude::counters counters() { return server.get_dispatcher().counters(); }

    captured_log log;
    postlude::http::server server;

private:
    static postlude::http::server_options quiet(postlude::http::server_options options,
                                                const captured_log& log) {
        options.port = 0;
        options.handle_signals = false;
        options.dispatcher.pool.logger = log.logger();
        return options;
    }

    postlude::drain_report report_;
    std::thread thread_;
};

}  // namespace test

#endif
