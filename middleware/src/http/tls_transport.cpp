// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "http/transports.hpp"

#include "postlude/core/error.hpp"

#include <boost/system/system_error.hpp>

#ifdef POSTLUDE_HAS_TLS

#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>

#include <openssl/bio.h>
#include <openssl/ssl.h>

#include <array>
#include <cstring>

namespace postlude::http::detail {

namespace asio = boost::asio;
using asio::awaitable;
using boost::system::error_code;
using const_buffers = std::span<const asio::const_buffer>;

namespace {

/// HTTP/1.1 is all there is to agree on. RFC 7301.
int choose_protocol(SSL*, const unsigned char** chosen, unsigned char* size,
                    const unsigned char* offered, unsigned offered_size, void*) {
    static constexpr unsigned char ours[] = "\x08http/1.1";
    unsigned char* found = nullptr;
    const auto result =
        SSL_select_next_proto(&found, size, ours, sizeof ours - 1, offered, offered_size);
    *chosen = found;
    return result == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

[[noreturn]] void refuse(const char* option, const std::string& file, const error_code& ec) {
    throw boost::system::system_error(errc::bad_option, std::string("tls_options::") + option +
                                                            ": '" + file + "': " + ec.message());
}

std::shared_ptr<asio::ssl::context> make_context(const tls_options& options) {
    auto made = std::make_shared<asio::ssl::context>(asio::ssl::context::tls_server);
    made->set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_tlsv1 |
                      asio::ssl::context::no_tlsv1_1);
    error_code ec;
    made->use_certificate_chain_file(options.certificate_chain, ec);
    if (ec) {
        refuse("certificate_chain", options.certificate_chain, ec);
    }
    // Else OpenSSL would ask for it on the terminal, and wait.
    made->set_password_callback(
        [](std::size_t, asio::ssl::context::password_purpose) { return std::string(); });
    made->use_private_key_file(options.private_key, asio::ssl::context::pem, ec);
    if (ec) {
        refuse("private_key", options.private_key, ec);
    }
    auto* const native = made->native_handle();
    if (SSL_CTX_check_private_key(native) != 1) {
        throw boost::system::system_error(
            errc::bad_option, "tls_options::private_key: '" + options.private_key +
                                  "' is not the key of '" + options.certificate_chain + "'");
    }
    SSL_CTX_set_alpn_select_cb(native, choose_protocol, nullptr);
    // What a connection does not use for the moment, it does not keep.
    SSL_CTX_set_mode(native, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_options(native, SSL_OP_NO_RENEGOTIATION);
    return made;
}

class tls_transport final : public transport {
public:
    tls_transport(stream_socket socket, std::shared_ptr<asio::ssl::context> context)
        : transport(std::move(socket)), context_(std::move(context)), stream_(socket_, *context_) {}

    awaitable<io_result> start() override {
        const auto [ec] =
            co_await stream_.async_handshake(asio::ssl::stream_base::server, as_result);
        co_return io_result{ec};
    }

    awaitable<io_result> read_some(asio::mutable_buffer into) override {
        if (ended_) {
            const auto [ec, n] = co_await socket_.async_read_some(into, as_result);
            co_return io_result{ec, n};
        }
        const auto [ec, n] = co_await stream_.async_read_some(into, as_result);
        co_return io_result{ec, n};
    }

    void read_later(asio::mutable_buffer into, std::shared_ptr<read_client> client) override {
        stream_.async_read_some(into,
                                [client = std::move(client)](error_code ec, std::size_t n) mutable {
                                    auto& told = *client;
                                    told.on_read(std::move(client), ec, n);
                                });
    }

    std::size_t write_now(const_buffers, error_code&) override { return 0; }

    /// Asio's stream encrypts one buffer at a time: small ones are put together, since each would
    /// be a record and a packet of its own.
    awaitable<io_result> write_some(const_buffers pieces) override {
        if (pieces.size() > 1 && pieces[0].size() < gathered_size) {
            if (!gathered_) {
                gathered_ = std::make_unique<std::array<char, gathered_size>>();
            }
            const auto n = asio::buffer_copy(asio::buffer(*gathered_), pieces);
            const auto [ec, written] =
                co_await stream_.async_write_some(asio::buffer(*gathered_, n), as_result);
            co_return io_result{ec, written};
        }
        const auto [ec, n] = co_await stream_.async_write_some(pieces, as_result);
        co_return io_result{ec, n};
    }

    /// Also what the decryption holds.
    bool has_unread() override {
        auto* const ssl = stream_.native_handle();
        return SSL_has_pending(ssl) != 0 || BIO_pending(SSL_get_rbio(ssl)) > 0 || has_arrived();
    }

    awaitable<io_result> end() override {
        io_result done;
        // Sends close_notify and waits for the peer's. For OpenSSL, data that comes instead is the
        // end of the whole stream; a client that still sends its request does just that.
        const auto ssl = stream_.native_handle();
        SSL_set_quiet_shutdown(ssl, 0);
        const auto [ec] = co_await stream_.async_shutdown(as_result);
        (void)ec;
        ended_ = true;
        socket_.shutdown(asio::socket_base::shutdown_send, done.ec);
        co_return done;
    }

private:
    static constexpr std::size_t gathered_size = 16 * 1024;

    std::shared_ptr<asio::ssl::context> context_;
    asio::ssl::stream<stream_socket&> stream_;
    std::unique_ptr<std::array<char, gathered_size>> gathered_;
    bool ended_ = false;
};

}  // namespace

struct tls_identity::context {
    std::shared_ptr<asio::ssl::context> ssl;
};

tls_identity::tls_identity(tls_options options) : options_(std::move(options)) { reload(); }

tls_identity::~tls_identity() = default;

void tls_identity::reload() {
    auto fresh = std::make_shared<context>(context{make_context(options_)});
    const std::lock_guard lock(mutex_);
    current_ = std::move(fresh);
}

std::shared_ptr<transport> tls_identity::make_transport(stream_socket socket) const {
    std::shared_ptr<context> now;
    {
        const std::lock_guard lock(mutex_);
        now = current_;
    }
    return std::make_shared<tls_transport>(std::move(socket), now->ssl);
}

}  // namespace postlude::http::detail

#else

namespace postlude::http::detail {

struct tls_identity::context {};

tls_identity::tls_identity(tls_options options) : options_(std::move(options)) { reload(); }

tls_identity::~tls_identity() = default;

void tls_identity::reload() {
    throw boost::system::system_error(
        errc::bad_option,
        "server_options::tls: this Postlude was built without OpenSSL; install libssl-dev and "
        "build it again");
}

std::shared_ptr<transport> tls_identity::make_transport(stream_socket) const { return nullptr; }

}  // namespace postlude::http::detail

#endif
