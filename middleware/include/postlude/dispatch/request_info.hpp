// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_DISPATCH_REQUEST_INFO_HPP
#define POSTLUDE_DISPATCH_REQUEST_INFO_HPP

#include <concepts>
#include <string_view>

namespace postlude {

/// What a deferred list keeps of its request. Nothing of the request itself is held on to.
struct request_info {
    /// Copied. One that is empty or not valid (see `valid_request_id`) is replaced by a new one.
    std::string_view id{};
    /// The method was HEAD, so that the response's body is not sent.
    bool head = false;
    /// The client speaks HTTP/1.0: nothing is sent to it in chunks.
    bool http10 = false;
    bool keep_alive = true;
};

/// Specialised for each type of request that a list can be made of:
/// `static request_info info(const Request&)`. Beast's is in `postlude/http/request_info.hpp`.
template <class Request>
struct request_traits;

template <class Request>
concept describable_request = requires(const Request& r) {
    { request_traits<Request>::info(r) } -> std::same_as<request_info>;
};

}  // namespace postlude

#endif
