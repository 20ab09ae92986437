// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_HTTP_WEBSOCKET_HPP
#define POSTLUDE_HTTP_WEBSOCKET_HPP

#include "postlude/dispatch/commit.hpp"
#include "postlude/http/exchange.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/role.hpp>
#include <boost/beast/websocket/rfc6455.hpp>
#include <boost/beast/websocket/stream.hpp>

#include <optional>
#include <string>

namespace postlude::http {

/// Beast's WebSocket on a connection that was taken over.
using websocket_stream = boost::beast::websocket::stream<any_stream>;

/// Accepts the WebSocket that an exchange's request asks for. The deferred tasks go when the
/// response (101) has been written, not when the conversation ends; what is registered after that
/// goes straight to the workers. A request that asks for no WebSocket is answered with 426, and
/// nothing is returned. Throws system_error if the handshake fails.
///
/// To end it well when the server stops, close it by `exchange::on_stop`; at four fifths of the
/// stop's time it is cut.
inline boost::asio::awaitable<std::optional<websocket_stream>> accept(exchange& e) {
    namespace websocket = boost::beast::websocket;
    const bool upgrade = websocket::is_upgrade(e.get_request());
    if (upgrade) {
        co_await async_commit(e.after(), 101, co_await boost::asio::this_coro::executor,
                              boost::asio::as_tuple(boost::asio::use_awaitable));
    }
    if (!upgrade || e.after().refused()) {
        auto answer = text(status::upgrade_required, "This is for WebSocket.\n");
        answer.set(field::upgrade, "websocket");
        answer.set(field::connection, "upgrade");
        co_await e.respond(std::move(answer));
        co_return std::nullopt;
    }
    const std::string id(e.after().request_id());
    websocket_stream socket(e.take_over());
    socket.set_option(websocket::stream_base::decorator(
        [id](websocket::response_type& res) { res.set("X-Request-Id", id); }));
    // Pings a silent peer, and gives up one that has vanished.
    socket.set_option(websocket::stream_base::timeout::suggested(boost::beast::role_type::server));
    const auto [ec] = co_await socket.async_accept(
        e.get_request(), boost::asio::as_tuple(boost::asio::use_awaitable));
    pending_response response(e.after(), ec ? 400 : 101);
    response.end(ec);
    response.release(socket.get_executor());
    if (ec) {
        throw boost::system::system_error(ec, "postlude::http::accept");
    }
    co_return std::optional<websocket_stream>(std::move(socket));
}

}  // namespace postlude::http

#endif
