// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/core/request_id.hpp"

#include "support/catch.hpp"

#include <set>
#include <string>

using postlude::trace_id_of;
using postlude::valid_request_id;

TEST_CASE("a request id is taken over only if it can forge neither a header nor a log line") {
    CHECK(valid_request_id("4bf92f3577b34da6a3ce929d0e0e4736"));
    CHECK(valid_request_id("Root=1-67891233-abcdef012345678912345678"));
    CHECK(valid_request_id(std::string(64, 'a')));
    CHECK_FALSE(valid_request_id(""));
    CHECK_FALSE(valid_request_id(std::string(65, 'a')));
    for (const char c : {'\r', '\n', '\0', ' ', '\t', '"', '<', '{', '\x7f', '\xc3'}) {
        CHECK_FALSE(valid_request_id(std::string("id") + c));
    }
}

TEST_CASE("the trace id of a W3C traceparent is found, and of nothing else") {
    const std::string trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    const std::string rest = "-00f067aa0ba902b7-01";
    CHECK(trace_id_of("00-" + trace + rest) == trace);
    CHECK(trace_id_of("01-" + trace + rest + "-later") == trace);
    const std::string bad[] = {
        "",
        trace,
        "00-" + trace + rest + "-later",
        "00-" + trace + rest + "0",
        "01-" + trace + rest + "later",
        "ff-" + trace + rest,
        "00-" + std::string(32, '0') + rest,
        "00-" + trace + "-0000000000000000-01",
        "00-4BF92F3577b34da6a3ce929d0e0e4736" + rest,
        "00-" + trace + "-00f067aa0ba902b7-0g",
        "00_" + trace + rest,
    };
    for (const auto& header : bad) {
        INFO(header);
        CHECK(trace_id_of(header).empty());
    }
}

TEST_CASE("made request ids are valid, are trace ids, and differ") {
    std::set<std::string> ids;
    for (int i = 0; i < 1'000; ++i) {
        const auto made = postlude::make_request_id();
        const std::string id(made.data(), made.size());
        CHECK(valid_request_id(id));
        CHECK(trace_id_of("00-" + id + "-00f067aa0ba902b7-01") == id);
        ids.insert(id);
    }
    CHECK(ids.size() == 1'000);
}
