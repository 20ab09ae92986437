// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "http/router.hpp"

#include <algorithm>

namespace postlude::http::detail {

namespace {

template <class Methods>
auto find_method(Methods& methods, verb method) {
    return std::ranges::find(methods, method, [](const auto& entry) { return entry.first; });
}

}  // namespace

void router::add(verb method, std::string path, handler h) {
    auto& methods = paths_[std::move(path)];
    if (auto found = find_method(methods, method); found != methods.end()) {
        found->second = std::move(h);
    } else {
        methods.emplace_back(method, std::move(h));
    }
}

const router::methods* router::methods_of(const request& req) const {
    const auto found = paths_.find(path(req));
    return found == paths_.end() ? nullptr : &found->second;
}

const handler* router::find(const request& req) const {
    const auto* methods = methods_of(req);
    if (!methods) {
        return nullptr;
    }
    auto found = find_method(*methods, req.method());
    if (found == methods->end() && req.method() == verb::head) {
        found = find_method(*methods, verb::get);
    }
    return found == methods->end() ? nullptr : &found->second;
}

response router::refuse(const request& req) const {
    const auto* methods = methods_of(req);
    if (!methods) {
        return text(status::not_found, "There is nothing at this path.\n");
    }
    std::string allow;
    const auto add = [&allow](verb method) {
        allow += allow.empty() ? "" : ", ";
        allow += to_string(method);
    };
    for (const auto& [method, h] : *methods) {
        add(method);
        if (method == verb::get && find_method(*methods, verb::head) == methods->end()) {
            add(verb::head);
        }
    }
    auto refusal = text(status::method_not_allowed, "This path takes " + allow + ".\n");
    refusal.set(field::allow, allow);
    return refusal;
}

}  // namespace postlude::http::detail
