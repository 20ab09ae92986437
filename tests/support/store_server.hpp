// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_TESTS_SUPPORT_STORE_SERVER_HPP
#define POSTLUDE_TESTS_SUPPORT_STORE_SERVER_HPP

#include "support/eventually.hpp"
#include "support/temporary_directory.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
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
        if (pid_ != 0) {
            stop();
        }
    }

    /// The port stays the same.
    void start() {
        // What it prints goes to a file and not to a thread that reads: tests fork.
        const auto output = directory_.file("output");
        std::vector<std::string> command{"/bin/bash", STORE_SERVERS "/" + name_ + ".sh",
                                         directory_.path()};
        if (!port_.empty()) {
            command.push_back(port_);
        }
        std::vector<char*> arguments;
        for (auto& argument : command) {
            arguments.push_back(argument.data());
        }
        arguments.push_back(nullptr);
        posix_spawn_file_actions_t actions;
        ::posix_spawn_file_actions_init(&actions);
        ::posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output.c_str(),
                                           O_WRONLY | O_CREAT | O_TRUNC, 0644);
        const auto failed =
            ::posix_spawn(&pid_, command[0].c_str(), &actions, nullptr, arguments.data(), environ);
        ::posix_spawn_file_actions_destroy(&actions);
        if (failed != 0) {
            throw std::system_error(failed, std::generic_category(), command[0]);
        }
        url_.clear();
        const auto started = [&] {
            read(output);
            return !url_.empty() || has_ended();
        };
        // RabbitMQ takes 7 s where nothing else goes on.
        for (int patience_left = 3; patience_left > 0 && !eventually(started); --patience_left) {
        }
        if (url_.empty()) {
            stop();
            throw std::runtime_error("tests/servers/" + name_ + ".sh: the server did not start");
        }
    }
    /// As its administrator does.
    void stop() {
        if (pid_ != 0) {
            ::kill(pid_, SIGTERM);
            if (!eventually([this] { return has_ended(); })) {
                ::kill(pid_, SIGKILL);
                ::waitpid(pid_, nullptr, 0);
                pid_ = 0;
            }
        }
    }

    /// As the user for tests, who may do everything with a database of its own.
    const std::string& url() const noexcept { return url_; }
    /// Empty where it has none.
    const std::string& tls_url() const noexcept { return tls_url_; }
    const std::string& port() const noexcept { return port_; }
    /// The certificate that it shows is there as `certificate.pem`, where it speaks TLS.
    const std::filesystem::path& directory() const noexcept { return directory_.path(); }

private:
    bool has_ended() {
        if (pid_ != 0 && ::waitpid(pid_, nullptr, WNOHANG) == pid_) {
            pid_ = 0;
        }
        return pid_ == 0;
    }
    void read(const std::string& output) {
        std::ifstream file(output);
        for (std::string line; std::getline(file, line) && !file.eof();) {
            const auto blank = line.find(' ');
            const auto word = std::string_view(line).substr(0, blank);
            auto& value = word == "port"      ? port_
                          : word == "url"     ? url_
                          : word == "tls_url" ? tls_url_
                                              : other_;
            value = line.substr(blank + 1);
        }
    }

    std::string name_;
    temporary_directory directory_;
    std::string url_;
    std::string tls_url_;
    std::string port_;
    std::string other_;  ///< lines of no interest
    pid_t pid_ = 0;
};

}  // namespace test

#endif
