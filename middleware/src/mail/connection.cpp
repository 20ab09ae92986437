// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "mail/connection.hpp"

#include "mail/text.hpp"

#include <boost/asio/ip/address_v6.hpp>
#include <boost/system/system_error.hpp>

#include <strings.h>

#include <array>

namespace postlude::mail::detail {

namespace {

/// Reads and writes before whoever else uses the thread gets it, however fast the server is.
constexpr int turn_limit = 64;

[[noreturn]] void bad_option(const std::string& sentence) {
    throw boost::system::system_error(errc::bad_option, sentence);
}

void check_range(const char* name, std::chrono::milliseconds value, long least) {
    if (value.count() < least || value > std::chrono::hours(1)) {
        bad_option(std::string(name) + " must be " + std::to_string(least) + " ms to 1 h");
    }
}

bool one_line(std::string_view text) {
    using namespace std::string_view_literals;
    return text.find_first_of("\r\n\0"sv) == text.npos;
}

/// A name, or an IP address; never with a port, which would be taken for half an IPv6 address.
bool is_host(std::string_view host) {
    if (host.find(':') != host.npos) {
        boost::system::error_code ec;
        boost::asio::ip::make_address_v6(host, ec);
        return !ec;
    }
    return !host.empty() && host.size() <= 253 && only(host, "-_.") && !host.starts_with('.') &&
           host.find("..") == host.npos;
}

/// Whether it is a line of the answer to EHLO with that keyword, in whichever case.
bool announces(std::string_view line, std::string_view keyword) {
    if (!line.starts_with("250") || line.size() < 4 + keyword.size()) {
        return false;
    }
    line.remove_prefix(4);
    return ::strncasecmp(line.data(), keyword.data(), keyword.size()) == 0 &&
           (line.size() == keyword.size() || line[keyword.size()] == ' ');
}

void hide(std::string& text, std::string_view secret) {
    constexpr std::string_view shown = "***";
    if (secret.empty()) {
        return;
    }
    for (auto at = text.find(secret); at != text.npos; at = text.find(secret, at + shown.size())) {
        text.replace(at, secret.size(), shown);
    }
}

bool is_this_machine(std::string_view host) {
    return host == "localhost" || host == "::1" ||
           (host.starts_with("127.") && host.find_first_not_of("0123456789.") == host.npos);
}

std::string url(const mailer_options& options) {
    const bool tls = options.security == security::tls;
    const auto usual = tls ? 465 : options.security == security::starttls ? 587 : 25;
    const bool ipv6 = options.host.find(':') != std::string::npos;
    return std::string(tls ? "smtps://" : "smtp://") + (ipv6 ? "[" : "") + options.host +
           (ipv6 ? "]" : "") + ":" + std::to_string(options.port != 0 ? options.port : usual) +
           "/" + options.client_name;
}

}  // namespace

void check(const mailer_options& options) {
    if (!is_host(options.host)) {
        bad_option("host must be the name or the IP address of a mail server");
    }
    if (options.client_name.size() > 253 || !only(options.client_name, "-.")) {
        bad_option("client_name must be a host's name");
    }
    if (!one_line(options.username) || !one_line(options.password)) {
        bad_option("username and password must not hold a line break or a NUL");
    }
    if (!one_line(options.ca_file)) {
        bad_option("ca_file must not hold a line break or a NUL");
    }
    if (options.security == security::none && !options.username.empty() &&
        !options.allow_plain_password && !is_this_machine(options.host)) {
        bad_option(
            "security is none, so the password would go to another host unencrypted: use "
            "TLS, or set allow_plain_password");
    }
    check_range("connect_timeout", options.connect_timeout, 1);
    check_range("timeout", options.timeout, 1);
    check_range("idle", options.idle, 0);
    if (options.connections == 0 || options.connections > 1'000) {
        bad_option("connections must be 1 to 1,000");
    }
}

void hide_credentials(outcome& end, const mailer_options& options) {
    const auto& username = options.username;
    const auto& password = options.password;
    if (!username.empty()) {
        // As AUTH PLAIN and AUTH LOGIN have them: servers repeat lines that they do not like.
        const std::string nul(1, '\0');
        hide(end.about.reply, base64(nul + username + nul + password));
        hide(end.about.reply, base64(password));
        hide(end.about.reply, base64(username));
    }
    hide(end.about.reply, password);
    hide(end.about.reply, username);
}

connection::connection(const mailer_options& options, CURLM* multi)
    : handle_(make_easy()), multi_(multi), authenticates_(!options.username.empty()) {
    set_options(options);
    if (curl_multi_add_handle(multi_, handle_.get()) != CURLM_OK) {
        throw std::bad_alloc();
    }
}

connection::~connection() {
    if (is_connected()) {
        constexpr std::string_view quit = "QUIT\r\n";
        std::size_t n = 0;
        (void)curl_easy_send(handle_.get(), quit.data(), quit.size(), &n);
    }
    curl_multi_remove_handle(multi_, handle_.get());
}

void connection::set_options(const mailer_options& options) {
    auto* handle = handle_.get();
    set(handle, CURLOPT_NOSIGNAL, 1L);  // time-outs without SIGALRM, which belongs to the process
    // Whoever cancels while a name is looked up does not wait for the system's resolver.
    set(handle, CURLOPT_QUICK_EXIT, 1L);
    set(handle, CURLOPT_PRIVATE, static_cast<void*>(this));
    set(handle, CURLOPT_ERRORBUFFER, reason_.data());
    set(handle, CURLOPT_HEADERFUNCTION, &connection::take_line);
    set(handle, CURLOPT_HEADERDATA, static_cast<void*>(this));
    // Nothing of the environment decides where the mail goes and with which credentials.
    set(handle, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    set(handle, CURLOPT_PROXY, "");
    set(handle, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
    set(handle, CURLOPT_URL, url(options).c_str());
    set(handle, CURLOPT_CONNECT_ONLY, 1L);
    set(handle, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.connect_timeout.count()));
    set(handle, CURLOPT_USE_SSL,
        static_cast<long>(options.security == security::none ? CURLUSESSL_NONE : CURLUSESSL_ALL));
    set(handle, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    set(handle, CURLOPT_SSL_VERIFYPEER, options.verify ? 1L : 0L);
    set(handle, CURLOPT_SSL_VERIFYHOST, options.verify ? 2L : 0L);
    if (!options.ca_file.empty()) {
        set(handle, CURLOPT_CAINFO, options.ca_file.c_str());
        set(handle, CURLOPT_CAPATH, static_cast<char*>(nullptr));
    }
    if (!options.username.empty()) {
        set(handle, CURLOPT_USERNAME, options.username.c_str());
        set(handle, CURLOPT_PASSWORD, options.password.c_str());
    }
}

/// libcurl gives it each line that the server sends while connecting.
std::size_t connection::take_line(char* bytes, std::size_t size, std::size_t n, void* self) {
    try {
        static_cast<connection*>(self)->note({bytes, size * n});
        return size * n;
    } catch (...) {  // nothing is thrown through libcurl
        return 0;
    }
}

void connection::note(std::string_view line) {
    while (line.ends_with('\n') || line.ends_with('\r')) {
        line.remove_suffix(1);
    }
    if (reply_.complete()) {
        reply_ = {};
    }
    reply_.add(line);
    if (line.starts_with("220")) {
        // The greeting, or TLS begins: what was said before it counts no more.
        authenticated_ = false;
        size_ = false;
    }
    authenticated_ = authenticated_ || line.starts_with("235");
    size_ = size_ || announces(line, "SIZE");
}

void connection::connected(CURLcode result) {
    if (result == CURLE_OK && authenticates_ && !authenticated_) {
        // libcurl takes a server without AUTH for one that asks for none.
        failure_ = outcome{errc::authentication_failed, {{}, {}, "the server offers no AUTH"}};
        return;
    }
    if (result == CURLE_OK &&
        curl_easy_getinfo(handle_.get(), CURLINFO_ACTIVESOCKET, &socket_) == CURLE_OK &&
        is_connected()) {
        return;
    }
    failure_ = explain(result);
}

outcome connection::explain(CURLcode result) const {
    const bool refused = reply_.code() >= 400;
    outcome end;
    end.about.reply = refused      ? reply_.text()
                      : reason_[0] ? std::string(reason_.data())
                                   : std::string(curl_easy_strerror(result));
    switch (result) {
    case CURLE_OPERATION_TIMEDOUT: end.code = errc::timed_out; break;
    case CURLE_URL_MALFORMAT: end.code = errc::bad_option; break;
    case CURLE_LOGIN_DENIED:
        end.code = refused && reply_.code() < 500 ? errc::try_later : errc::authentication_failed;
        break;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_USE_SSL_FAILED: end.code = errc::tls_failed; break;
    default: end.code = refused ? meaning(reply_.code()) : errc::connection_failed;
    }
    return end;
}

void connection::receive(transaction& mail, need& need) {
    std::array<char, 4'096> some;
    std::size_t n = 0;
    const auto result = curl_easy_recv(handle_.get(), some.data(), some.size(), &n);
    if (result == CURLE_AGAIN) {
        need = need::read;
    } else if (result == CURLE_OK && n > 0) {
        mail.received({some.data(), n});
    } else {
        mail.broken(errc::connection_failed, "the connection was lost");
    }
}

connection::need connection::step(transaction& mail) {
    auto need = need::nothing;
    for (int turns = 0; !mail.end() && need == need::nothing; ++turns) {
        if (turns == turn_limit) {
            return need::again;
        }
        const auto output = mail.output();
        if (output.empty()) {
            receive(mail, need);
            continue;
        }
        std::size_t n = 0;
        const auto result = curl_easy_send(handle_.get(), output.data(), output.size(), &n);
        if (result == CURLE_OK) {
            mail.sent(n);
        } else if (result == CURLE_AGAIN) {
            need = need::write;
        } else {
            // The server may have said why it closed.
            receive(mail, need);
            mail.broken(errc::connection_failed, "the connection was lost");
            return need::nothing;
        }
    }
    return mail.end() ? need::nothing : need;
}

bool connection::usable(std::chrono::milliseconds idle) const noexcept {
    if (rested_for(idle)) {
        return false;
    }
    // A server that has closed it, or says that it does, has sent something.
    char byte;
    std::size_t n = 0;
    return curl_easy_recv(handle_.get(), &byte, 1, &n) == CURLE_AGAIN;
}

}  // namespace postlude::mail::detail
