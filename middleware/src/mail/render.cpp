// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "mail/render.hpp"

#include "mail/failure.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstring>
#include <new>
#include <system_error>

namespace postlude::mail::detail {

namespace {

[[noreturn]] void fail(const char* what) {
    throw outcome{errc::connection_failed,
                  {{}, {}, std::string(what) + ": " + std::generic_category().message(errno)}};
}

class descriptor {
public:
    explicit descriptor(int fd) : fd_(fd) {}
    descriptor(const descriptor&) = delete;
    descriptor& operator=(const descriptor&) = delete;
    ~descriptor() { reset(-1); }
    int get() const noexcept { return fd_; }
    void reset(int fd) noexcept {
        if (fd_ != -1) {
            ::close(fd_);
        }
        fd_ = fd;
    }

private:
    int fd_;
};

/// The other end: an SMTP server in a few lines, which keeps what comes after DATA.
class agreeable_server {
public:
    agreeable_server()
        : listener_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
        // The system makes up a name in Linux's abstract namespace.
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        auto* generic = reinterpret_cast<sockaddr*>(&address);
        socklen_t size = sizeof(address.sun_family);
        if (listener_.get() == -1 || ::bind(listener_.get(), generic, size) != 0 ||
            ::listen(listener_.get(), 8) != 0) {
            fail("no local socket to encode a mail");
        }
        size = sizeof address;
        if (::getsockname(listener_.get(), generic, &size) != 0) {
            fail("no local socket to encode a mail");
        }
        name_.assign(address.sun_path + 1, size - offsetof(sockaddr_un, sun_path) - 1);
    }

    const std::string& name() const noexcept { return name_; }

    /// Does what can be done without waiting.
    void poll() {
        if (peer_.get() == -1) {
            accept();
        }
        std::array<char, 64 * 1024> some;
        for (;;) {
            const auto n = peer_.get() == -1
                               ? -1
                               : ::recv(peer_.get(), some.data(), some.size(), MSG_DONTWAIT);
            if (n <= 0) {
                return;
            }
            received_.append(some.data(), static_cast<std::size_t>(n));
            answer();
        }
    }

    std::string take_data() && { return std::move(received_); }

private:
    /// Any process could connect: take only what this one does.
    void accept() {
        for (;;) {
            peer_.reset(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
            if (peer_.get() == -1) {
                if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
                    fail("no local socket to encode a mail");
                }
                return;
            }
            ucred who{};
            socklen_t size = sizeof who;
            if (::getsockopt(peer_.get(), SOL_SOCKET, SO_PEERCRED, &who, &size) == 0 &&
                who.pid == ::getpid()) {
                reply("220 \r\n");
                return;
            }
        }
    }

    void answer() {
        while (!data_) {
            const auto end = received_.find("\r\n");
            if (end == received_.npos) {
                return;
            }
            data_ = received_.starts_with("DATA");
            received_.erase(0, end + 2);
            // For its last answer, and for that to QUIT, libcurl would wait in the very call that
            // writes the last bytes: they have to be there already.
            reply(data_ ? "354 \r\n250 \r\n221 \r\n" : "250 \r\n");
        }
    }

    void reply(const char* line) const {
        (void)!::send(peer_.get(), line, std::strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT);
    }

    descriptor listener_;
    descriptor peer_{-1};
    std::string name_;
    std::string received_;
    bool data_ = false;
};

/// Ended, by whichever way, before its handle is used for anything else.
class transfer {
public:
    explicit transfer(CURL* handle) : multi_(make_multi()), handle_(handle) {
        if (curl_multi_add_handle(multi_.get(), handle) != CURLM_OK) {
            throw std::bad_alloc();
        }
    }
    transfer(const transfer&) = delete;
    transfer& operator=(const transfer&) = delete;
    ~transfer() { curl_multi_remove_handle(multi_.get(), handle_); }

    /// False when it has ended.
    bool perform() {
        int running = 0;
        if (curl_multi_perform(multi_.get(), &running) != CURLM_OK) {
            throw std::bad_alloc();
        }
        return running != 0;
    }
    CURLcode result() {
        int left = 0;
        const auto* ended = curl_multi_info_read(multi_.get(), &left);
        return ended ? ended->data.result : CURLE_OUT_OF_MEMORY;
    }

private:
    multi_handle multi_;
    CURL* handle_;
};

}  // namespace

std::string render(CURL* handle) {
    agreeable_server server;
    set(handle, CURLOPT_NOSIGNAL, 1L);
    set(handle, CURLOPT_PROTOCOLS_STR, "smtp");
    set(handle, CURLOPT_PROXY, "");
    set(handle, CURLOPT_URL, "smtp://localhost/postlude");
    set(handle, CURLOPT_ABSTRACT_UNIX_SOCKET, server.name().c_str());
    const string_list recipients = [] {
        string_list list;
        append(list, "nobody@localhost");
        return list;
    }();
    set(handle, CURLOPT_MAIL_FROM, "nobody@localhost");
    set(handle, CURLOPT_MAIL_RCPT, recipients.get());
    // So little that it fits into the socket at once, twice as much where all of it is dots.
    set(handle, CURLOPT_UPLOAD_BUFFERSIZE, 16L * 1024);
    set(handle, CURLOPT_TIMEOUT_MS, 60'000L);
    set(handle, CURLOPT_SERVER_RESPONSE_TIMEOUT, 60L);

    transfer transfer(handle);
    while (transfer.perform()) {
        server.poll();
    }
    server.poll();
    if (const auto result = transfer.result(); result == CURLE_OUT_OF_MEMORY) {
        throw std::bad_alloc();
    } else if (result != CURLE_OK) {
        throw outcome{
            errc::connection_failed,
            {{}, {}, std::string("the mail is not encoded: ") + curl_easy_strerror(result)}};
    }
    return std::move(server).take_data();
}

}  // namespace postlude::mail::detail
