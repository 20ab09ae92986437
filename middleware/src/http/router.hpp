// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_HTTP_ROUTER_HPP
#define POSTLUDE_SRC_HTTP_ROUTER_HPP

#include "postlude/http/server.hpp"

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace postlude::http::detail {

/// Handlers by path, compared exactly, and method. Read-only while the server runs.
class router {
public:
    void add(verb method, std::string path, handler h);

    /// The handler of a request; GET's for a HEAD that has none of its own. Null when there is
    /// none: then `refuse` says what to answer.
    const handler* find(const request& req) const;

    /// 404, or 405 with Allow where other methods would do.
    response refuse(const request& req) const;

private:
    using methods = std::vector<std::pair<verb, handler>>;

    const methods* methods_of(const request& req) const;

    std::map<std::string, methods, std::less<>> paths_;
};

}  // namespace postlude::http::detail

#endif
