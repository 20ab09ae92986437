// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_MAIL_CURL_HPP
#define POSTLUDE_SRC_MAIL_CURL_HPP

#include <curl/curl.h>

#include <memory>
#include <string>

namespace postlude::mail::detail {

struct curl_delete {
    void operator()(CURL* handle) const noexcept { curl_easy_cleanup(handle); }
    void operator()(curl_slist* list) const noexcept { curl_slist_free_all(list); }
    void operator()(curl_mime* mime) const noexcept { curl_mime_free(mime); }
};

/// CURL and CURLM are both void: the type says which one it is.
struct multi_delete {
    void operator()(CURLM* handle) const noexcept { curl_multi_cleanup(handle); }
};

using easy_handle = std::unique_ptr<CURL, curl_delete>;
using multi_handle = std::unique_ptr<CURLM, multi_delete>;
using string_list = std::unique_ptr<curl_slist, curl_delete>;
using mime = std::unique_ptr<curl_mime, curl_delete>;

/// Starts libcurl, once and safely from any thread. Throw bad_alloc when there is no memory.
easy_handle make_easy();
multi_handle make_multi();

/// Throws bad_alloc, which is what is left when the options are known to libcurl.
void require(CURLcode result);

template <class Value>
void set(CURL* handle, CURLoption option, Value value) {
    require(curl_easy_setopt(handle, option, value));
}

void append(string_list& list, const std::string& text);

}  // namespace postlude::mail::detail

#endif
