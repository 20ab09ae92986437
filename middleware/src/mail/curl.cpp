// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "mail/curl.hpp"

#include <new>

namespace postlude::mail::detail {

namespace {

/// libcurl's start is not safe to do twice at once.
void start_libcurl() {
    static const auto result = curl_global_init(CURL_GLOBAL_DEFAULT);
    require(result);
}

}  // namespace

easy_handle make_easy() {
    start_libcurl();
    easy_handle made(curl_easy_init());
    return made ? std::move(made) : throw std::bad_alloc();
}

multi_handle make_multi() {
    start_libcurl();
    multi_handle made(curl_multi_init());
    return made ? std::move(made) : throw std::bad_alloc();
}

void require(CURLcode result) {
    if (result != CURLE_OK) {
        throw std::bad_alloc();
    }
}

void append(string_list& list, const std::string& text) {
    auto* longer = curl_slist_append(list.get(), text.c_str());
    if (!longer) {
        throw std::bad_alloc();
    }
    [[maybe_unused]] auto* const held = list.release();
    list.reset(longer);
}

}  // namespace postlude::mail::detail
