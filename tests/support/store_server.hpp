// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_TESTS_SUPPORT_STORE_SERVER_HPP
#define POSTLUDE_TESTS_SUPPORT_STORE_SERVER_HPP

#include "support/child_program.hpp"
#include "support/temporary_directory.hpp"

#include <csignal>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace test {

/// A real server of a job store, by tests/servers/NAME.sh: of the test's own, on a port of
/// 127.0.0.1 that was free. It can be stopped, and started again with what it has stored.
class store_server {
public:
    /// Throws when it does not start.
    explicit store_server(std::string name) : name_(std::move(name)) { start(); }
    store_server(const store_server&) = delete;
    store_server& operator=(const store_server&) = delete;
    ~store_server() {
        if (program_) {
            stop();
        }
    }

    /// The port stays the same.
    void start() {
        std::vector<std::string> command{"/bin/bash", STORE_SERVERS "/" + name_ + ".sh",
                                         directory_.path()};
        if (!port_.empty()) {
            command.push_back(port_);
        }
        program_ = std::make_unique<child_program>(std::move(command));
        if (!eventually([this] { return !program_->values("url").empty(); })) {
            program_.reset();
            throw std::runtime_error("tests/servers/" + name_ + ".sh: the server did not start");
        }
        url_ = program_->values("url")[0];
        port_ = program_->values("port").at(0);
        const auto tls = program_->values("tls_url");
        tls_url_ = tls.empty() ? "" : tls[0];
    }
    /// As its administrator does.
    void stop() {
        program_->send_signal(SIGTERM);
        program_->wait();
        program_.reset();
    }

    /// As the user for tests, who may do everything with a database of its own.
    const std::string& url() const noexcept { return url_; }
    /// Empty where it has none.
    const std::string& tls_url() const noexcept { return tls_url_; }
    const std::string& port() const noexcept { return port_; }
    /// The certificate that it shows is there as `certificate.pem`, where it speaks TLS.
    const std::filesystem::path& directory() const noexcept { return directory_.path(); }

private:
    std::string name_;
    temporary_directory directory_;
    std::string url_;
    std::string tls_url_;
    std::string port_;
    std::unique_ptr<child_program> program_;
};

}  // namespace test

#endif
