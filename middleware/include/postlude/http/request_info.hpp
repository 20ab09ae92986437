// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_HTTP_REQUEST_INFO_HPP
#define POSTLUDE_HTTP_REQUEST_INFO_HPP

#include "postlude/core/request_id.hpp"
#include "postlude/dispatch/request_info.hpp"

#include <boost/beast/http/message.hpp>

namespace postlude {

/// The id of a Beast request is its X-Request-Id if that is valid, else the trace id of its
/// W3C traceparent, else a new one.
template <class Body, class Fields>
struct request_traits<boost::beast::http::message<true, Body, Fields>> {
    static request_info info(const boost::beast::http::message<true, Body, Fields>& request) {
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
