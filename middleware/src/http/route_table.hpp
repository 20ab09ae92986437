// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_HTTP_ROUTE_TABLE_HPP
#define POSTLUDE_SRC_HTTP_ROUTE_TABLE_HPP

#include "postlude/http/router.hpp"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace postlude::http::detail {

/// What a route leads to.
using endpoint =
    std::variant<std::function<response(const request&, deferred&)>,
                 std::function<boost::asio::awaitable<response>(const request&, deferred&)>,
                 exchange_handler>;

/// One pattern's handler for one method.
struct route_entry {
    verb method;
    std::string pattern;
    std::vector<std::string> names;  ///< of the pattern's parts in braces, from left to right
    endpoint handler;
};

/// What a request leads to.
struct route_match {
    const route_entry* entry = nullptr;
    /// Where there is no entry: the answer.
    std::optional<response> refusal{};

    /// The handler reads the body itself.
    bool whole_exchange() const noexcept { return entry && entry->handler.index() == 2; }
};

using route_params = std::vector<std::pair<std::string_view, std::string>>;

/// Patterns as a tree of their segments. Read-only while requests are served.
class route_table {
public:
    /// Throws system_error(errc::bad_option).
    void add(verb method, std::string_view pattern, endpoint handler);

    /// @param params set to what stands where the pattern has braces.
    route_match find(verb method, std::string_view path, route_params& params) const;

private:
    using methods = std::vector<route_entry>;
    struct node {
        std::map<std::string, std::unique_ptr<node>, std::less<>> literals;
        std::unique_ptr<node> one;  ///< any segment
        methods here;
        methods rest;  ///< of `{name...}`
    };
    using segments = std::vector<std::string>;

    static const methods* walk(const node& at, const segments& path, std::size_t i,
                               std::vector<std::string>& values);
    std::string allowed_anywhere() const;

    node root_;
    /// Patterns without braces, which mostly are all that is needed.
    std::unordered_map<std::string_view, const methods*> literal_paths_;
    std::vector<verb> all_methods_;
};

}  // namespace postlude::http::detail

#endif
