// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "http/signals.hpp"

#include <boost/asio/post.hpp>

#include <spdlog/spdlog.h>

#include <csignal>
#include <cstdlib>
#include <utility>

namespace postlude::http::detail {

signal_watch::signal_watch(spdlog::logger& log, std::function<void()> first)
    : first_(std::move(first)), log_(log), signals_(io_, SIGTERM, SIGINT), hangups_(io_) {
    wait();
    thread_ = std::thread([this] { io_.run(); });
}

signal_watch::~signal_watch() {
    io_.stop();
    thread_.join();
}

void signal_watch::on_hangup(std::function<void()> f) {
    hangup_ = std::move(f);
    hangups_.add(SIGHUP);
    boost::asio::post(io_, [this] { wait_for_hangup(); });
}

void signal_watch::wait_for_hangup() {
    hangups_.async_wait([this](boost::system::error_code ec, int) {
        if (ec) {
            return;
        }
        try {
            hangup_();
            log_.info("SIGHUP: the certificate was read again");
        } catch (const std::exception& e) {
            log_.error("SIGHUP: the old certificate is kept: {}", e.what());
        }
        wait_for_hangup();
    });
}

void signal_watch::wait() {
    signals_.async_wait([this](boost::system::error_code ec, int signal) {
        if (ec) {
            return;
        }
        if (std::exchange(seen_, true)) {
            log_.error("signal {} again: ended at once", signal);
            log_.flush();
            std::_Exit(128 + signal);
        }
        log_.info("signal {}: stopping", signal);
        first_();
        wait();
    });
}

}  // namespace postlude::http::detail
