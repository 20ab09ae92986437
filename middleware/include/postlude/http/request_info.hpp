// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_HTTP_REQUEST_INFO_HPP
#define POSTLUDE_HTTP_REQUEST_INFO_HPP

#include "postlude/core/request_id.hpp"
#include "postlude/dispatch/request_info.hpp"

#include <boost/beast/http/message.hpp>

namespace postlude {

namespace detail {

// Found for classes derived from it, too.
template <class Body, class Fields>
void as_beast_request(const boost::beast::http::message<true, Body, Fields>&);

}  // namespace detail

/// The id of a Beast request is its X-Request-Id if that is valid, else the trace id of its
/// W3C traceparent, else a new one.
template <class Request>
    requires requires(const Request& r) { detail::as_beast_request(r); }
struct request_traits<Request> {
    static request_info info(const Request& request) {
        namespace http = boost::beast::http;
        std::string_view id = request["X-Request-Id"];
        if (!valid_request_id(id)) {
            id = trace_id_of(request["traceparent"]);
        }
        return {.id = id,
                .head = request.method() == http::verb::head,
                .http10 = request.version() < 11,
                .keep_alive = request.keep_alive()};
    }
};

}  // namespace postlude

#endif
