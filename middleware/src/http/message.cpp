// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/http/message.hpp"

#include <algorithm>
#include <utility>

namespace postlude::http {

response content(status code, std::string_view content_type, std::string body) {
    response made(code, 11, std::move(body));
    made.set(field::content_type, content_type);
    return made;
}

response text(status code, std::string body) {
    return content(code, "text/plain; charset=utf-8", std::move(body));
}

response html(status code, std::string body) {
    return content(code, "text/html; charset=utf-8", std::move(body));
}

response json(status code, std::string body) {
    return content(code, "application/json", std::move(body));
}

std::string_view path(const request& request) noexcept {
    const std::string_view target = request.target();
    return target.substr(0, target.find('?'));
}

std::string_view query(const request& request, std::string_view name) noexcept {
    std::string_view rest = request.target();
    rest.remove_prefix(std::min(rest.size(), rest.find('?')));
    while (!rest.empty()) {
        rest.remove_prefix(1);  // the '?' or '&' before the parameter
        const auto parameter = rest.substr(0, rest.find('&'));
        rest.remove_prefix(parameter.size());
        const auto equals = parameter.find('=');
        if (parameter.substr(0, equals) == name) {
            return equals == parameter.npos ? std::string_view{} : parameter.substr(equals + 1);
        }
    }
    return {};
}

}  // namespace postlude::http
