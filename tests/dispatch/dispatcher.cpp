// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/dispatch/dispatcher.hpp"

#include "support/catch.hpp"

#include <boost/system/system_error.hpp>

using namespace std::chrono_literals;

TEST_CASE("a Retry-After out of range is refused with a sentence that names it") {
    for (const auto bad : {0s, 3'601s}) {
        try {
            const postlude::dispatcher d({.pool = {.threads = 1}, .retry_after = bad});
            FAIL("took a bad option");
        } catch (const boost::system::system_error& e) {
            CHECK(e.code() == postlude::errc::bad_option);
            CHECK_THAT(e.what(), Catch::Matchers::Contains("retry_after"));
        }
    }
}
