// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/http/message.hpp"

#include <algorithm>
#include <charconv>

namespace postlude::http {

std::string_view request::param(std::string_view name) const noexcept {
    const auto found = std::ranges::find(params_, name, [](const auto& p) { return p.first; });
    return found == params_.end() ? std::string_view{} : std::string_view(found->second);
}

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

std::string_view path(const request::message& request) noexcept {
    std::string_view target = request.target();
    target = target.substr(0, target.find_first_of("?#"));
    if (target.starts_with('/')) {
        return target;
    }
    const auto scheme = target.find("://");
    if (scheme == target.npos) {
        return target;
    }
    const auto begin = target.find('/', scheme + 3);
    return begin == target.npos ? "/" : target.substr(begin);
}

std::string_view query(const request::message& request, std::string_view name) noexcept {
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

std::optional<std::string> percent_decoded(std::string_view text, bool plus_is_space) {
    std::string decoded;
    decoded.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        char c = text[i];
        if (c == '+' && plus_is_space) {
            c = ' ';
        } else if (c == '%') {
            unsigned char byte = 0;
            const auto digits = text.substr(i + 1, 2);
            const auto* const end = digits.data() + digits.size();
            const auto [stop, error] = std::from_chars(digits.data(), end, byte, 16);
            if (error != std::errc{} || stop != end || digits.size() != 2 || byte == 0) {
                return std::nullopt;
            }
            c = static_cast<char>(byte);
            i += 2;
        }
        decoded += c;
    }
    return decoded;
}

}  // namespace postlude::http
