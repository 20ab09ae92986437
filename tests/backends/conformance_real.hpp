// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_TESTS_BACKENDS_CONFORMANCE_REAL_HPP
#define POSTLUDE_TESTS_BACKENDS_CONFORMANCE_REAL_HPP

#include "conformance.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <thread>

namespace test {

/// A store on this machine: an owner is a process, and its death is SIGKILL; the time is the
/// system's.
class real_backend_under_test : public backend_under_test {
public:
    void owner_dies(const postlude::open_options& options,
                    const std::function<void(postlude::backend&)>& work) override {
        const auto child = fork_alone();
        if (child == 0) {
            die_after(options, work);
        }
        int status = 0;
        if (child < 0 || ::waitpid(child, &status, 0) != child || !WIFSIGNALED(status) ||
            WTERMSIG(status) != SIGKILL) {
            throw std::runtime_error("the owner that was to be killed ended otherwise");
        }
    }
    postlude::store_time now() override {
        return std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
    }
    void pass(std::chrono::milliseconds time) override {
        const auto until = now() + time;
        while (now() < until) {
            std::this_thread::sleep_until(until);
        }
    }
    std::chrono::milliseconds lease() const override { return std::chrono::milliseconds(400); }
    std::chrono::milliseconds grain() const override { return std::chrono::milliseconds(2); }

protected:
    /// Forks while no other thread of this process is within the allocator, or has any lock: the
    /// child would wait for it for ever.
    virtual pid_t fork_alone() { return ::fork(); }
    /// The backend of the owner that dies.
    virtual std::unique_ptr<postlude::backend> connect_doomed() { return connect(); }

private:
    /// Catch must not see the child end: it would report for the parent.
    [[noreturn]] void die_after(const postlude::open_options& options,
                                const std::function<void(postlude::backend&)>& work) {
        try {
            const auto doomed = connect_doomed();
            doomed->open(options);
            work(*doomed);
            ::kill(::getpid(), SIGKILL);
        } catch (const std::exception& e) {
            std::fprintf(stderr, "the doomed owner: %s\n", e.what());
        } catch (...) {
        }
        ::_exit(1);
    }
};

}  // namespace test

#endif
