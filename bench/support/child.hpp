// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_BENCH_SUPPORT_CHILD_HPP
#define POSTLUDE_BENCH_SUPPORT_CHILD_HPP

#include "load.hpp"

#include <sys/prctl.h>
#include <sys/wait.h>

#include <csignal>
#include <utility>

namespace bench {

/// One end of a line of figures between a process and its child.
class figure_line {
public:
    explicit figure_line(int fd = -1) noexcept : fd_(fd) {}
    figure_line(figure_line&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    figure_line& operator=(figure_line&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~figure_line() {
        if (fd_ >= 0) {
            ::close(fd_);
        }
    }
    void put(double value) {
        if (::send(fd_, &value, sizeof value, MSG_NOSIGNAL) != sizeof value) {
            fail("the other process has ended early");
        }
    }
    double get() {
        double value = 0;
        if (::recv(fd_, &value, sizeof value, MSG_WAITALL) != sizeof value) {
            fail("the other process has ended early");
        }
        return value;
    }
    /// Readable when the other process has put something.
    int descriptor() const noexcept { return fd_; }

private:
    int fd_;
};

/// A process that runs a function of this one: what it uses does not count here. Make it before
/// any thread. Its destructor ends it; the function itself may return, or wait to be ended.
class child {
public:
    template <class Function>
    explicit child(Function function) {
        int ends[2];
        if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) {
            fail("socketpair");
        }
        std::fflush(stdout);
        pid_ = ::fork();
        if (pid_ < 0) {
            fail("fork");
        }
        if (pid_ == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            ::close(ends[0]);
            figure_line line(ends[1]);
            function(line);
            std::fflush(stdout);
            ::_exit(0);
        }
        ::close(ends[1]);
        line = figure_line(ends[0]);
    }
    child(const child&) = delete;
    child& operator=(const child&) = delete;
    ~child() { end(); }

    /// Its connections are closed when this returns.
    void end() {
        if (pid_ > 0) {
            ::kill(pid_, SIGKILL);
            ::waitpid(std::exchange(pid_, -1), nullptr, 0);
        }
    }

    figure_line line;

private:
    pid_t pid_ = -1;
};

}  // namespace bench

#endif
