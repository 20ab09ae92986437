// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_HTTP_SIGNALS_HPP
#define POSTLUDE_SRC_HTTP_SIGNALS_HPP

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include <functional>
#include <thread>

namespace spdlog {
class logger;
}

namespace postlude::http::detail {

/// While it lives: the first SIGTERM or SIGINT calls `first`, the second ends the process with
/// status 128 + signal. On a thread of its own, so that nothing can hold a signal up.
class signal_watch {
public:
    signal_watch(spdlog::logger& log, std::function<void()> first);
    ~signal_watch();
    signal_watch(const signal_watch&) = delete;
    signal_watch& operator=(const signal_watch&) = delete;

    /// From now on SIGHUP, which else ends the process, calls f; what that throws is logged. Call
    /// it once.
    void on_hangup(std::function<void()> f);

private:
    void wait();
    void wait_for_hangup();

    std::function<void()> first_;
    std::function<void()> hangup_;
    spdlog::logger& log_;
    bool seen_ = false;
    boost::asio::io_context io_{1};
    boost::asio::signal_set signals_;
    boost::asio::signal_set hangups_;
    std::thread thread_;
};

}  // namespace postlude::http::detail

#endif
