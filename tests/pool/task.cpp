// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/pool/task.hpp"

#include "postlude/pool/thread_pool.hpp"
#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/eventually.hpp"

#include <array>
#include <memory>

namespace {

/// Counts how often it was made and destroyed.
struct tracker {
    explicit tracker(std::shared_ptr<int> token) : alive(std::move(token)) {}
    std::shared_ptr<int> alive;
};

}  // namespace

TEST_CASE("48 bytes of captures are held in the slot, and more are held on the heap") {
    postlude::detail::record record;
    auto& slot = record.slots[0];
    const std::array<char, 48> small{};
    const std::array<char, 49> large{};

    const auto before = test::allocations();
    postlude::detail::construct(slot, [small] { static_cast<void>(small); });
    CHECK(test::allocations() == before);
    slot.ops->destroy(slot);

    postlude::detail::construct(slot, [large] { static_cast<void>(large); });
    CHECK(test::allocations() == before + 1);
    slot.ops->destroy(slot);
}

TEST_CASE("a move-only callable is a task, and is destroyed once when it has run") {
    const auto token = std::make_shared<int>(0);
    {
        postlude::thread_pool pool({.threads = 1});
        auto unique = std::make_unique<tracker>(token);
        REQUIRE_FALSE(pool.try_run([u = std::move(unique)] { ++*u->alive; }));
        REQUIRE_FALSE(pool.try_run([u = std::make_unique<tracker>(token),
                                    pad = std::array<char, 100>{}] { ++*u->alive; }));
        CHECK(test::eventually([&] { return token.use_count() == 1; }));
    }
    CHECK(*token == 2);
}

TEST_CASE("a task is named by the literal it was given, or by the place of its registration") {
    postlude::thread_pool pool({.threads = 1});
    std::string given;
    std::string place;
    REQUIRE_FALSE(pool.try_run([&](postlude::task_context& c) { given = c.name(); },
                               {.name = "welcome mail"}));
    const auto line = __LINE__ + 1;
    REQUIRE_FALSE(pool.try_run([&](postlude::task_context& c) { place = c.name(); }));
    CHECK(pool.drain(test::patience).clean());
    CHECK(given == "welcome mail");
    CHECK(place == "task.cpp:" + std::to_string(line));
}

TEST_CASE("a callable whose move throws leaves nothing registered") {
    struct throws_when_moved {
        throws_when_moved() = default;
        throws_when_moved(throws_when_moved&&) { throw std::runtime_error("moved"); }
        void operator()() {}
    };
    postlude::thread_pool pool({.threads = 1, .default_queue = {.name = "default", .capacity = 1}});
    for (int i = 0; i < 3; ++i) {
        CHECK_THROWS_AS(pool.try_run(throws_when_moved{}), std::runtime_error);
    }
    CHECK(pool.counters().left == 0);
    CHECK(pool.counters().registered == 0);
    CHECK_FALSE(pool.try_run([] {}));
}
