// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_HTTP_MESSAGE_HPP
#define POSTLUDE_HTTP_MESSAGE_HPP

#include <boost/beast/http/field.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/status.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/verb.hpp>

#include <string>
#include <string_view>

namespace postlude::http {

using boost::beast::http::field;
using boost::beast::http::status;
using boost::beast::http::verb;

/// What `server`'s handlers take and return: Beast's messages with the whole body in memory.
using request = boost::beast::http::request<boost::beast::http::string_body>;
using response = boost::beast::http::response<boost::beast::http::string_body>;

/// A response with a body of the given Content-Type. Its framing (Content-Length, Connection) is
/// left to `respond`. Throws what the allocator throws, as all functions here.
response content(status code, std::string_view content_type, std::string body);

/// Plain text in UTF-8.
response text(status code, std::string body);

/// A page in UTF-8. What comes from outside must have been escaped by whoever made it.
response html(status code, std::string body);

/// A body that is JSON already.
response json(status code, std::string body);

/// The path of the request's target, without its query; as it was sent, nothing decoded. The view
/// lives as long as the request.
std::string_view path(const request& request) noexcept;

/// The value of the first query parameter of that name, as it was sent, nothing decoded; empty
/// when there is none. The view lives as long as the request.
std::string_view query(const request& request, std::string_view name) noexcept;

}  // namespace postlude::http

#endif
