// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/backends/rabbitmq.hpp"

#include "conformance_real.hpp"
#include "rabbitmq_support.hpp"

using namespace postlude;

namespace {

class rabbitmq_under_test final : public test::real_backend_under_test {
public:
    capabilities can() const override {
        capabilities c;
        c.sees_death = true;
        c.priorities = true;
        c.exact_order = false;
        c.unique_ids = false;
        c.commits_at_once = 2;
        c.longest_delay = std::chrono::milliseconds(15 * (std::int64_t{1} << 31));
        return c;
    }
    std::unique_ptr<backend> connect() override { return store_.connect(); }
    std::chrono::milliseconds delay_error() const override { return test::patience; }
    void cut() override { store_.proxy().cut(); }

private:
    pid_t fork_alone() override {
        const auto paused = store_.proxy().pause();
        return ::fork();
    }

    test::rabbitmq_store store_;
};

const test::conforming rabbitmq_conforms("rabbitmq",
                                         [] { return std::make_unique<rabbitmq_under_test>(); });

}  // namespace
