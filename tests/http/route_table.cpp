// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "http/route_table.hpp"

#include "support/catch.hpp"

namespace {

using postlude::http::request;
using postlude::http::response;
using postlude::http::status;
using postlude::http::verb;

}  // namespace

TEST_CASE("a pattern with a '%' is another spelling of what it decodes to") {
    postlude::http::detail::route_table table;
    for (const auto* pattern : {"/a", "/x%20y", "/%25"}) {
        table.add(verb::get, pattern,
                  [](const request&, postlude::deferred&) { return response(); });
    }
    const auto found = [&](std::string_view path) {
        postlude::http::detail::route_params params;
        const auto match = table.find(verb::get, path, params);
        return match.entry ? match.entry->pattern : std::to_string(match.refusal->result_int());
    };
    CHECK(found("/a") == "/a");
    CHECK(found("/%61") == "/a");
    CHECK(found("/x%20y") == "/x%20y");
    CHECK(found("/%78%20y") == "/x%20y");
    CHECK(found("/%25") == "/%25");
    CHECK(found("/%2561") == "404");
    CHECK(found("/%4") == "400");
    CHECK(found("/b/%2e%2e") == "400");
}
