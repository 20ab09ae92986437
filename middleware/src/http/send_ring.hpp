// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_HTTP_SEND_RING_HPP
#define POSTLUDE_SRC_HTTP_SEND_RING_HPP

#include <boost/asio/buffer.hpp>

#include <cstddef>
#include <memory>
#include <span>

namespace postlude::http::detail {

/// Writes to many sockets with one system call, by Linux's io_uring. Used by one thread at a time.
/// Its end disturbs the threads that used it once, as a signal would: a blocking call on a socket
/// with a limit (SO_RCVTIMEO, SO_SNDTIMEO) may then end with EINTR.
class send_ring {
public:
    struct item {
        int socket = -1;
        boost::asio::const_buffer bytes{};
        long result = 0;  ///< bytes sent, or a negative error number
    };

    /// @param most items at a time; a power of two.
    explicit send_ring(unsigned most) noexcept;
    ~send_ring();
    send_ring(const send_ring&) = delete;
    send_ring& operator=(const send_ring&) = delete;

    /// False where the system has no such thing, or does not let this process have it, as
    /// containers often are set up.
    bool usable() const noexcept { return ring_ != nullptr; }

    /// Sends of each what goes without waiting, as MSG_DONTWAIT has it; -EAGAIN where nothing does.
    /// When it returns, the system has done with the bytes. No longer `usable` if it fails itself.
    void send(std::span<item> items) noexcept;

private:
    struct ring;

    std::unique_ptr<ring> ring_;
};

}  // namespace postlude::http::detail

#endif
