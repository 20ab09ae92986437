// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_TESTS_SUPPORT_CHILD_PROGRAM_HPP
#define POSTLUDE_TESTS_SUPPORT_CHILD_PROGRAM_HPP

#include "support/eventually.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <mutex>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

namespace test {

/// A program that runs as a process of its own, and the lines that it prints. Killed at the end.
class child_program {
public:
    explicit child_program(std::vector<std::string> command) {
        std::array<int, 2> pipe;
        if (::pipe2(pipe.data(), O_CLOEXEC) != 0) {
            throw std::system_error(errno, std::generic_category(), "pipe2");
        }
        posix_spawn_file_actions_t actions;
        ::posix_spawn_file_actions_init(&actions);
        ::posix_spawn_file_actions_adddup2(&actions, pipe[1], STDOUT_FILENO);
        std::vector<char*> arguments;
        for (auto& argument : command) {
            arguments.push_back(argument.data());
        }
        arguments.push_back(nullptr);
        const auto failed =
            ::posix_spawn(&pid_, command[0].c_str(), &actions, nullptr, arguments.data(), environ);
        ::posix_spawn_file_actions_destroy(&actions);
        ::close(pipe[1]);
        if (failed != 0) {
            ::close(pipe[0]);
            throw std::system_error(failed, std::generic_category(), command[0]);
        }
        reader_ = std::thread([this, fd = pipe[0]] { read_lines(fd); });
    }
    child_program(const child_program&) = delete;
    child_program& operator=(const child_program&) = delete;
    ~child_program() {
        if (!ended_) {
            send_signal(SIGKILL);
            wait();
        }
        reader_.join();
    }

    void send_signal(int signal) const { ::kill(pid_, signal); }

    /// Waits for its end and returns its exit status, or -1 when a signal or the test, having
    /// lost its patience, ended it. All that it printed is there then.
    int wait() {
        int status = 0;
        const auto has_ended = [&] { return ::waitpid(pid_, &status, WNOHANG) == pid_; };
        if (!eventually(has_ended)) {
            send_signal(SIGKILL);
            ::waitpid(pid_, &status, 0);
        }
        ended_ = true;
        eventually([this] {
            const std::lock_guard lock(mutex_);
            return read_all_;
        });
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }

    /// What follows "word " in each line that begins so.
    std::vector<std::string> values(std::string_view word) const {
        std::vector<std::string> found;
        const std::lock_guard lock(mutex_);
        for (const auto& line : lines_) {
            if (line.starts_with(word) && line.size() > word.size() && line[word.size()] == ' ') {
                found.push_back(line.substr(word.size() + 1));
            }
        }
        return found;
    }

    /// How many lines contain all of the parts.
    std::size_t count(std::initializer_list<std::string_view> parts) const {
        const std::lock_guard lock(mutex_);
        return static_cast<std::size_t>(std::ranges::count_if(lines_, [&](const auto& line) {
            return std::ranges::all_of(
                parts, [&](auto part) { return line.find(part) != std::string::npos; });
        }));
    }

private:
    void read_lines(int fd) {
        std::string rest;
        std::array<char, 64 * 1024> some;
        for (;;) {
            const auto n = ::read(fd, some.data(), some.size());
            if (n <= 0) {
                break;
            }
            rest.append(some.data(), static_cast<std::size_t>(n));
            const std::lock_guard lock(mutex_);
            std::size_t begin = 0;
            for (auto end = rest.find('\n'); end != rest.npos; end = rest.find('\n', begin)) {
                lines_.push_back(rest.substr(begin, end - begin));
                begin = end + 1;
            }
            rest.erase(0, begin);
        }
        ::close(fd);
        const std::lock_guard lock(mutex_);
        read_all_ = true;
    }

    pid_t pid_ = 0;
    bool ended_ = false;
    mutable std::mutex mutex_;
    std::vector<std::string> lines_;
    bool read_all_ = false;
    std::thread reader_;
};

}  // namespace test

#endif
