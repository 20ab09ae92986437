// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_TESTS_SUPPORT_TLS_CLIENT_HPP
#define POSTLUDE_TESTS_SUPPORT_TLS_CLIENT_HPP

#include "support/http_client.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <array>
#include <cerrno>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

namespace test {

/// The same over TLS. It trusts every certificate, and tells which one it has got.
class tls_client : public http_client {
public:
    struct settings {
        int version = 0;  ///< the only one, such as TLS1_2_VERSION; 0 lets the server choose
        std::string_view protocols = "\x08http/1.1";  ///< for ALPN, as it is sent
    };

    /// Throws runtime_error if the handshake fails.
    explicit tls_client(unsigned short port) : tls_client(port, settings{}) {}
    tls_client(unsigned short port, const settings& s)
        : http_client(port), context_(SSL_CTX_new(TLS_client_method())) {
        if (s.version != 0) {
            SSL_CTX_set_security_level(context_.get(), 0);  // else it offers none below 1.2
            SSL_CTX_set_min_proto_version(context_.get(), s.version);
            SSL_CTX_set_max_proto_version(context_.get(), s.version);
        }
        ssl_.reset(SSL_new(context_.get()));
        SSL_set_alpn_protos(ssl_.get(), reinterpret_cast<const unsigned char*>(s.protocols.data()),
                            static_cast<unsigned>(s.protocols.size()));
        SSL_set_fd(ssl_.get(), descriptor());
        if (undisturbed([&] { return SSL_connect(ssl_.get()); }) != 1) {
            throw std::runtime_error("no handshake: " + std::string(reason()));
        }
    }

    /// Sends bytes as they are, such as a part of a record, and waits until the other end has read
    /// them. False when the connection does not take them any more.
    bool send_bare(std::string_view bytes, const socket_queue& queue) {
        return http_client::transmit(bytes) == static_cast<ssize_t>(bytes.size()) &&
               wait_until_read(queue);
    }

    /// The common name in the server's certificate.
    std::string name() const {
        const std::unique_ptr<X509, by<X509_free>> cert(SSL_get1_peer_certificate(ssl_.get()));
        std::array<char, 256> text{};
        X509_NAME_get_text_by_NID(X509_get_subject_name(cert.get()), NID_commonName, text.data(),
                                  text.size());
        return text.data();
    }
    std::string version() const { return SSL_get_version(ssl_.get()); }
    /// What ALPN has chosen; empty if nothing.
    std::string protocol() const {
        const unsigned char* chosen = nullptr;
        unsigned size = 0;
        SSL_get0_alpn_selected(ssl_.get(), &chosen, &size);
        return {reinterpret_cast<const char*>(chosen), size};
    }
    /// The server has said that nothing more comes, so that nothing can have been cut off.
    bool ended_well() const { return (SSL_get_shutdown(ssl_.get()) & SSL_RECEIVED_SHUTDOWN) != 0; }

protected:
    ssize_t transmit(std::string_view bytes) override {
        return undisturbed(
            [&] { return SSL_write(ssl_.get(), bytes.data(), to_int(bytes.size())); });
    }
    ssize_t receive(void* to, std::size_t size) override {
        const auto n = undisturbed([&] { return SSL_read(ssl_.get(), to, to_int(size)); });
        if (n > 0 || ended_well()) {
            return std::max(n, 0);
        }
        if (errno != EAGAIN) {
            errno = ECONNRESET;
        }
        return -1;
    }

private:
    template <auto f>
    struct by {
        template <class T>
        void operator()(T* p) const {
            f(p);
        }
    };

    /// Calls again what a signal, or the end of an io_uring, has interrupted: see http_client.
    template <class F>
    static int undisturbed(F call) {
        for (;;) {
            ERR_clear_error();
            errno = 0;
            const int n = call();
            if (n > 0 || errno != EINTR) {
                return n;
            }
        }
    }
    static int to_int(std::size_t n) {
        return static_cast<int>(std::min<std::size_t>(n, std::numeric_limits<int>::max()));
    }
    static const char* reason() {
        const char* text = ERR_reason_error_string(ERR_get_error());
        return text ? text : "the connection ended";
    }

    std::unique_ptr<SSL_CTX, by<SSL_CTX_free>> context_;
    std::unique_ptr<SSL, by<SSL_free>> ssl_;
};

}  // namespace test

#endif
