// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/backends/rabbitmq.hpp"

#include "conformance.hpp"
#include "rabbitmq_support.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <stdexcept>
#include <thread>

using namespace postlude;

namespace {

store_time system_now() {
    return std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
}

class rabbitmq_under_test final : public test::backend_under_test {
public:
    capabilities can() const override {
        capabilities c;
        c.sees_death = true;
        c.priorities = true;
        c.exact_order = false;
        c.unique_ids = false;
        c.longest_delay = std::chrono::milliseconds(15 * (std::int64_t{1} << 31));
        return c;
    }
    std::unique_ptr<backend> connect() override { return store_.connect(); }
    void owner_dies(const open_options& options,
                    const std::function<void(backend&)>& work) override {
        const auto child = ::fork();
        if (child == 0) {
            die_after(options, work);
        }
        int status = 0;
        if (child < 0 || ::waitpid(child, &status, 0) != child || !WIFSIGNALED(status) ||
            WTERMSIG(status) != SIGKILL) {
            throw std::runtime_error("the owner that was to be killed ended otherwise");
        }
    }
    store_time now() override { return system_now(); }
    void pass(std::chrono::milliseconds time) override {
        const auto until = system_now() + time;
        while (system_now() < until) {
            std::this_thread::sleep_until(until);
        }
    }
    std::chrono::milliseconds lease() const override { return std::chrono::milliseconds(400); }
    std::chrono::milliseconds grain() const override { return std::chrono::milliseconds(2); }
    std::chrono::milliseconds delay_error() const override { return test::patience; }
    void cut() override { store_.proxy().cut(); }

private:
    /// Catch must not see the child end: it would report for the parent.
    [[noreturn]] void die_after(const open_options& options,
                                const std::function<void(backend&)>& work) {
        try {
            const auto doomed = connect();
            doomed->open(options);
            work(*doomed);
            ::kill(::getpid(), SIGKILL);
        } catch (const std::exception& e) {
            [[maybe_unused]] const auto n = ::write(2, e.what(), std::strlen(e.what()));
        }
        ::_exit(1);
    }

    test::rabbitmq_store store_;
};

const test::conforming rabbitmq_conforms("rabbitmq",
                                         [] { return std::make_unique<rabbitmq_under_test>(); });

}  // namespace
