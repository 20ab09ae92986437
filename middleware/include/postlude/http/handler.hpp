// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_HTTP_HANDLER_HPP
#define POSTLUDE_HTTP_HANDLER_HPP

#include "postlude/dispatch/deferred.hpp"
#include "postlude/http/message.hpp"

#include <boost/asio/awaitable.hpp>

#include <functional>
#include <optional>
#include <variant>

namespace postlude::http {

/// What answers a request: a function that returns the response, or a coroutine.
///
/// A function must not block for long: it holds one of the threads that serve. A coroutine runs
/// on the connection's strand. Both references live until the handler has returned; what a task
/// needs of them is captured by value. What a handler throws is logged with the request's id and
/// answered with 500; so is a response that can't be sent: with a status below 200, or a line end
/// or a NUL in a field or the reason. It may be called from several threads at once, for different
/// connections.
using handler =
    std::variant<std::function<response(const request&, deferred&)>,
                 std::function<boost::asio::awaitable<response>(const request&, deferred&)>>;

namespace detail {
class chain_position;
}

/// The rest of the chain, the handler included: a coroutine to be awaited once, or not at all.
class next {
public:
    boost::asio::awaitable<response> operator()(request&, deferred&) const;

private:
    friend class detail::chain_position;
    explicit next(const detail::chain_position& at) noexcept : at_(&at) {}
    const detail::chain_position* at_;
};

/// What stands around handlers, functions and coroutines alike. One of
/// - a check: looks at the request, and either answers it or, with nothing, passes it on;
/// - a finish: changes each response that comes back, also that of a 404 or a failed handler (but
///   not the 503 for refused work, which is Postlude's own);
/// - a coroutine around the rest, which it awaits by `next`.
///
/// Called in the order of their registration, and finishes in the opposite one. They see every
/// request, those that no route is for included. What one throws is as if the handler had. May be
/// called from several threads at once.
using middleware =
    std::variant<std::function<std::optional<response>(request&, deferred&)>,
                 std::function<void(const request&, response&)>,
                 std::function<boost::asio::awaitable<response>(request&, deferred&, const next&)>>;

}  // namespace postlude::http

#endif
