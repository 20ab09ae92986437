// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_HTTP_ROUTER_HPP
#define POSTLUDE_HTTP_ROUTER_HPP

#include "postlude/http/handler.hpp"

#include <boost/asio/awaitable.hpp>

#include <memory>
#include <string_view>
#include <utility>
#include <vector>

namespace postlude::http {

class exchange;

/// Takes over a whole exchange; see `exchange`. Only `server` can have such handlers.
using exchange_handler = std::function<boost::asio::awaitable<void>(exchange&)>;

namespace detail {
class route_table;
class chain_position;
class session;
struct route_match;
struct service;
}  // namespace detail

/// Handlers by method and path, with middleware around them. `server` has one; whoever has a
/// server of his own calls `handle` between his read and `async_respond`.
///
/// A pattern is a path that begins with '/', compared segment by segment after percent-decoding.
/// A segment `{name}` stands for any one segment that is not empty, and a last one `{name...}`
/// for the rest of the path, which may be empty and may hold slashes. Where several patterns
/// match, literal segments win over `{name}`, and that over `{name...}`, from left to right. A
/// path that ends with '/' is another one than the path without.
///
/// GET answers HEAD, and OPTIONS is answered with Allow, unless there are handlers for them. No
/// handler for the path is 404, none for the method 405 with Allow. What is no path, or has a
/// segment `.` or `..` or a malformed percent-encoding, is 400, so that none of it gets through
/// to a file system.
///
/// Register everything before the first request; `handle` may then be called from any thread.
class router {
public:
    router();
    ~router();
    router(router&&) noexcept;
    router& operator=(router&&) noexcept;

    /// A later handler for the same method and pattern replaces the former. Throws
    /// system_error(errc::bad_option), saying what is wrong with the pattern.
    void route(verb method, std::string_view pattern, handler h);
    void get(std::string_view pattern, handler h) { route(verb::get, pattern, std::move(h)); }
    void post(std::string_view pattern, handler h) { route(verb::post, pattern, std::move(h)); }
    void put(std::string_view pattern, handler h) { route(verb::put, pattern, std::move(h)); }
    void patch(std::string_view pattern, handler h) { route(verb::patch, pattern, std::move(h)); }
    void del(std::string_view pattern, handler h) { route(verb::delete_, pattern, std::move(h)); }

    /// Puts it around every handler, inside of those that were there before.
    void use(middleware m);

    /// The response to a request. Both references have to live until the coroutine has ended. It
    /// runs on the awaiting coroutine's executor; where none awaits it, `asio::co_spawn` takes any
    /// completion token for it, and does not suspend it if all handlers are functions. What a
    /// handler throws is logged by the dispatcher's logger, and the response is a 500.
    boost::asio::awaitable<response> handle(request& req, deferred& after) const;

private:
    friend struct detail::service;
    friend class detail::session;

    detail::route_match find(request& req) const;
    boost::asio::awaitable<response> handle(const detail::route_match& match, request& req,
                                            deferred& after, exchange* whole) const;
    /// Whether nothing that is asked for is a coroutine, so that `handle_now` does.
    bool immediate(const detail::route_match& match) const noexcept;
    response handle_now(const detail::route_match& match, request& req, deferred& after) const;
    response fail(const request& req, const deferred& after) const;
    /// What all finishes make of a response that replaces the chain's own.
    void finish(const request& req, response& res) const noexcept;

    std::unique_ptr<detail::route_table> table_;
    std::vector<middleware> chain_;
    bool suspends_ = false;  ///< there are coroutines in the chain
};

}  // namespace postlude::http

#endif
