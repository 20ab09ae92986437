// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_HTTP_TRANSPORTS_HPP
#define POSTLUDE_SRC_HTTP_TRANSPORTS_HPP

#include "postlude/http/detail/transport.hpp"
#include "postlude/http/server_options.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <memory>
#include <mutex>

namespace postlude::http::detail {

/// What a coroutine awaits an operation with, to have the error with the result.
inline constexpr auto as_result = boost::asio::as_tuple(boost::asio::use_awaitable);

/// TCP or a Unix-domain socket, as it is.
/// @param one_thread runs the event loop.
std::shared_ptr<transport> make_plain_transport(stream_socket socket, bool one_thread);

/// The certificate of a server, which can be replaced while it runs. From any thread.
class tls_identity {
public:
    /// Throws system_error: errc::bad_option, saying which file and why.
    explicit tls_identity(tls_options options);
    ~tls_identity();

    /// Reads the files again. Throws as the constructor, and then keeps what it had.
    void reload();

    /// A connection with the certificate of now.
    std::shared_ptr<transport> make_transport(stream_socket socket) const;

private:
    struct context;

    const tls_options options_;
    mutable std::mutex mutex_;
    std::shared_ptr<context> current_;
};

}  // namespace postlude::http::detail

#endif
