// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "smtp.hpp"

#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <memory>

namespace {

struct transfer {
    std::string_view rest;
    std::stop_token stop;
};

std::size_t next_bytes(char* to, std::size_t size, std::size_t count, void* user) {
    auto& rest = static_cast<transfer*>(user)->rest;
    const auto n = std::min(rest.size(), size * count);
    std::copy_n(rest.begin(), n, to);
    rest.remove_prefix(n);
    return n;
}

/// libcurl calls it at least once a second; anything but 0 ends the transfer.
int check_stop(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    return static_cast<transfer*>(user)->stop.stop_requested() ? 1 : 0;
}

struct curl_delete {
    void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

/// libcurl's start is not safe to do twice at once.
void start_libcurl() {
    static const auto result = curl_global_init(CURL_GLOBAL_DEFAULT);
    if (result != CURLE_OK) {
        throw mail_error(curl_easy_strerror(result));
    }
}

}  // namespace

void send_mail(const smtp_options& options, const mail& mail, std::stop_token stop) {
    start_libcurl();
    const auto bytes = wire_format(mail, std::chrono::system_clock::now());
    transfer state{bytes, std::move(stop)};

    const std::unique_ptr<CURL, curl_delete> handle(curl_easy_init());
    const std::unique_ptr<curl_slist, curl_delete> recipients(
        curl_slist_append(nullptr, mail.to.address.c_str()));
    if (!handle || !recipients) {
        throw mail_error("no memory for a mail");
    }
    std::array<char, CURL_ERROR_SIZE> reason{};
    const auto set = [&](auto option, auto value) {
        if (const auto result = curl_easy_setopt(handle.get(), option, value)) {
            throw mail_error(curl_easy_strerror(result));
        }
    };
    set(CURLOPT_NOSIGNAL, 1L);  // time-outs without SIGALRM, which belongs to the process
    set(CURLOPT_ERRORBUFFER, reason.data());
    set(CURLOPT_PROTOCOLS_STR, "smtp");
    set(CURLOPT_PROXY, "");
    set(CURLOPT_URL, ("smtp://" + options.host + ":" + std::to_string(options.port)).c_str());
    set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.connect_timeout.count()));
    set(CURLOPT_TIMEOUT_MS, static_cast<long>(options.timeout.count()));
    set(CURLOPT_MAIL_FROM, mail.from.address.c_str());
    set(CURLOPT_MAIL_RCPT, recipients.get());
    set(CURLOPT_UPLOAD, 1L);
    set(CURLOPT_READFUNCTION, &next_bytes);
    set(CURLOPT_READDATA, &state);
    set(CURLOPT_NOPROGRESS, 0L);
    set(CURLOPT_XFERINFOFUNCTION, &check_stop);
    set(CURLOPT_XFERINFODATA, &state);

    const auto result = curl_easy_perform(handle.get());
    if (result == CURLE_ABORTED_BY_CALLBACK) {
        throw mail_error("the mail was given up because it was asked to stop");
    }
    if (result != CURLE_OK) {
        throw mail_error("the mail was not sent: " +
                         std::string(reason[0] ? reason.data() : curl_easy_strerror(result)));
    }
}
