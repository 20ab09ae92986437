// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/core/error.hpp"

#include "support/catch.hpp"

using postlude::errc;

TEST_CASE("each error has a sentence of its own and keeps its number") {
    const errc all[] = {errc::full,       errc::stopped,      errc::moved_from, errc::unknown_queue,
                        errc::bad_option, errc::task_stopped, errc::no_thread,  errc::bad_header};
    int number = 0;
    for (const auto e : all) {
        const boost::system::error_code ec = e;
        CHECK(ec.value() == ++number);
        CHECK(ec.category() == postlude::error_category());
        CHECK(std::string(ec.category().name()) == "postlude");
        for (const auto other : all) {
            const boost::system::error_code another = other;
            CHECK((e == other) == (ec.message() == another.message()));
        }
    }
}
