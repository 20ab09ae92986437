// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_HTTP_MESSAGE_HPP
#define POSTLUDE_HTTP_MESSAGE_HPP

#include <boost/beast/http/field.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/status.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/verb.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace postlude::http {

using boost::beast::http::field;
using boost::beast::http::status;
using boost::beast::http::verb;

/// What handlers return: Beast's message with the whole body in memory.
using response = boost::beast::http::response<boost::beast::http::string_body>;

/// What handlers take: Beast's message, with what the router has found in its path.
class request : public boost::beast::http::request<boost::beast::http::string_body> {
public:
    using message = boost::beast::http::request<boost::beast::http::string_body>;

    request() = default;
    /// Of a server of one's own, to give it to a `router`.
    explicit request(message&& read) : message(std::move(read)) {}

    /// What stands in the path where the route has `{name}`, percent-decoded; empty if the route
    /// has none of that name. The view lives as long as the request.
    std::string_view param(std::string_view name) const noexcept;

    /// The route's pattern, such as "/users/{id}", which unlike the path is one of a few: what
    /// metrics are counted by. Empty when no route was found.
    std::string_view route() const noexcept { return route_; }

private:
    friend class router;

    std::string_view route_;
    std::vector<std::pair<std::string_view, std::string>> params_;
};

/// A response with a body of the given Content-Type. Its framing (Content-Length, Connection) is
/// left to `respond`. Throws what the allocator throws, as all functions here.
response content(status code, std::string_view content_type, std::string body);

/// Plain text in UTF-8.
response text(status code, std::string body);

/// A page in UTF-8. What comes from outside must have been escaped by whoever made it.
response html(status code, std::string body);

/// A body that is JSON already.
response json(status code, std::string body);

/// The path of the request's target, without its query, and without scheme and host where those
/// were sent; nothing decoded. The view lives as long as the request.
std::string_view path(const request::message& request) noexcept;

/// The value of the first query parameter of that name, as it was sent, nothing decoded; empty
/// when there is none. The view lives as long as the request.
std::string_view query(const request::message& request, std::string_view name) noexcept;

/// `text` with each %XX replaced by the byte that it stands for (RFC 3986, section 2.1); nothing
/// where that is malformed or gives a NUL. `plus_is_space` is for queries and forms.
std::optional<std::string> percent_decoded(std::string_view text, bool plus_is_space = false);

}  // namespace postlude::http

#endif
