// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/redis/transport.hpp"

#ifdef POSTLUDE_HAS_TLS

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <arpa/inet.h>
#include <poll.h>

#include <array>

namespace postlude::detail::redis {

namespace {

template <auto f>
struct free_by {
    template <class T>
    void operator()(T* p) const {
        f(p);
    }
};

bool is_address(const std::string& host) {
    in6_addr any{};
    return ::inet_pton(AF_INET, host.c_str(), &any) == 1 ||
           ::inet_pton(AF_INET6, host.c_str(), &any) == 1;
}

/// OpenSSL sees only memory: by itself it would write to sockets in a way that raises SIGPIPE, and
/// wait without a deadline.
class tls_transport final : public transport {
public:
    tls_transport(const location& to, std::unique_ptr<transport> below)
        : to_(to), below_(std::move(below)), context_(SSL_CTX_new(TLS_client_method())) {
        set_trust();
        ssl_.reset(SSL_new(context_.get()));
        // Both belong to ssl_ from now on.
        SSL_set_bio(ssl_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
        SSL_set_connect_state(ssl_.get());
        const auto* const host = to_.host.c_str();
        if (is_address(to_.host)) {
            X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_.get()), host);
        } else {
            SSL_set1_host(ssl_.get(), host);
            SSL_set_tlsext_host_name(ssl_.get(), host);
        }
    }

    void shake_hands(deadline until) {
        for (;;) {
            ERR_clear_error();
            const auto n = SSL_do_handshake(ssl_.get());
            if (n == 1) {
                flush(until);
                return;
            }
            if (SSL_get_error(ssl_.get(), n) != SSL_ERROR_WANT_READ) {
                refuse_handshake();
            }
            if (!exchange(until)) {
                to_.fail(errc::store_unavailable,
                         "the server does not begin TLS; name its tls-port, or use redis://");
            }
        }
    }

    void write(std::string_view bytes, deadline until) override {
        std::size_t written = 0;
        ERR_clear_error();
        if (!bytes.empty() && SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &written) != 1) {
            to_.fail(errc::store_unavailable, "the TLS connection broke");
        }
        flush(until);
    }
    std::size_t read(char* into, std::size_t size, deadline until) override {
        for (;;) {
            std::size_t n = 0;
            ERR_clear_error();
            if (SSL_read_ex(ssl_.get(), into, size, &n) == 1) {
                return n;
            }
            const auto why = SSL_get_error(ssl_.get(), 0);
            if (why == SSL_ERROR_ZERO_RETURN) {
                return 0;
            }
            if (why != SSL_ERROR_WANT_READ) {
                to_.fail(errc::store_unavailable, "the TLS connection broke");
            }
            flush(until);
            if (!feed(until)) {
                return 0;
            }
        }
    }
    int descriptor() const noexcept override { return below_->descriptor(); }

private:
    /// False when nothing came: one that does not speak TLS waits for more.
    bool exchange(deadline until) {
        flush(until);
        return wait_for(descriptor(), POLLIN, until) && feed(until);
    }
    void set_trust() {
        auto* const c = context_.get();
        SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION);
        SSL_CTX_set_verify(c, to_.verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
        if (!to_.verify) {
            return;
        }
        const auto ok = to_.ca_file.empty()
                            ? SSL_CTX_set_default_verify_paths(c)
                            : SSL_CTX_load_verify_locations(c, to_.ca_file.c_str(), nullptr);
        if (ok != 1) {
            ERR_clear_error();
            to_.fail(errc::bad_store,
                     std::string("no certificates can be read from ")
                         .append(to_.ca_file.empty() ? "the system's directory" : to_.ca_file)
                         .append("; correct ca_file"));
        }
    }
    [[noreturn]] void refuse_handshake() {
        const auto verified = SSL_get_verify_result(ssl_.get());
        const auto reason = ERR_GET_REASON(ERR_peek_error());
        ERR_clear_error();
        if (verified != X509_V_OK) {
            to_.fail(errc::bad_store,
                     std::string("its certificate is not trusted (")
                         .append(X509_verify_cert_error_string(verified))
                         .append("); name the authority's file as ca_file, or the host as in the "
                                 "certificate"));
        }
        if (reason == SSL_R_WRONG_VERSION_NUMBER) {
            to_.fail(errc::bad_store,
                     "it does not speak TLS there; name its tls-port, or use redis://");
        }
        to_.fail(errc::store_unavailable, "TLS could not be begun with the server");
    }
    /// Sends what OpenSSL has written.
    void flush(deadline until) {
        char* data = nullptr;
        auto* const out = SSL_get_wbio(ssl_.get());
        const auto size = BIO_get_mem_data(out, &data);
        if (size > 0) {
            below_->write({data, static_cast<std::size_t>(size)}, until);
            BIO_reset(out);
        }
    }
    /// Gives OpenSSL what has come; false at the end.
    bool feed(deadline until) {
        const auto n = below_->read(buffer_.data(), buffer_.size(), until);
        return n > 0 &&
               BIO_write(SSL_get_rbio(ssl_.get()), buffer_.data(), static_cast<int>(n)) > 0;
    }

    const location& to_;
    std::unique_ptr<transport> below_;
    std::unique_ptr<SSL_CTX, free_by<SSL_CTX_free>> context_;
    std::unique_ptr<SSL, free_by<SSL_free>> ssl_;
    std::array<char, 16 * 1024> buffer_;
};

}  // namespace

std::unique_ptr<transport> start_tls(const location& to, std::unique_ptr<transport> below,
                                     deadline until) {
    auto made = std::make_unique<tls_transport>(to, std::move(below));
    made->shake_hands(until);
    return made;
}

}  // namespace postlude::detail::redis

#else

namespace postlude::detail::redis {

std::unique_ptr<transport> start_tls(const location& to, std::unique_ptr<transport>, deadline) {
    to.fail(errc::bad_option, "this program was built without OpenSSL, which rediss:// needs");
}

}  // namespace postlude::detail::redis

#endif
