// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_HTTP_ANY_STREAM_HPP
#define POSTLUDE_HTTP_ANY_STREAM_HPP

#include "postlude/http/detail/transport.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/compose.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/role.hpp>

#include <array>
#include <exception>
#include <memory>
#include <span>
#include <utility>

namespace postlude::http {

namespace detail {
class exchange_state;
}

/// A connection that was taken over from a server, whatever it runs on: TCP, a Unix-domain socket,
/// or TLS. An AsyncStream as Asio and Beast have it, to put `beast::websocket::stream` on.
///
/// Not thread-safe; its executor is the connection's strand. One read and one write may be under
/// way at a time. They complete as `void(error_code, std::size_t)`, support terminal cancellation,
/// and must have ended before this is destroyed, which closes the connection.
class any_stream {
public:
    using executor_type = boost::asio::any_io_executor;

    explicit any_stream(std::shared_ptr<detail::transport> t) noexcept : transport_(std::move(t)) {}
    any_stream(any_stream&&) noexcept = default;
    any_stream& operator=(any_stream&&) noexcept = default;
    ~any_stream() { close(); }

    executor_type get_executor() const noexcept { return transport_->get_executor(); }

    template <class MutableBuffers, class Token>
    auto async_read_some(const MutableBuffers& buffers, Token&& token) {
        return start<reading>({transport_.get(), &unread_, first_of(buffers)},
                              std::forward<Token>(token));
    }

    template <class ConstBuffers, class Token>
    auto async_write_some(const ConstBuffers& buffers, Token&& token) {
        writing op{transport_.get(), {}, 0};
        const auto end = boost::asio::buffer_sequence_end(buffers);
        for (auto it = boost::asio::buffer_sequence_begin(buffers);
             it != end && op.count != op.pieces.size(); ++it) {
            const boost::asio::const_buffer piece(*it);
            if (piece.size() != 0) {
                op.pieces[op.count++] = piece;
            }
        }
        return start<writing>(std::move(op), std::forward<Token>(token));
    }

    /// Closes the connection at once; what is under way ends with an error.
    void close() noexcept {
        if (transport_) {
            transport_->close();
        }
    }

    // What beast::websocket::stream asks for when it ends.
    friend void beast_close_socket(any_stream& stream) { stream.close(); }
    friend void teardown(boost::beast::role_type, any_stream& stream,
                         boost::system::error_code& ec) {
        stream.close();
        ec = {};
    }
    template <class Handler>
    friend void async_teardown(boost::beast::role_type, any_stream& stream, Handler&& handler) {
        stream.start<ending>({stream.transport_.get()}, std::forward<Handler>(handler));
    }

private:
    using result = detail::io_result;

    struct reading {
        detail::transport* on;
        boost::beast::flat_buffer* unread;
        boost::asio::mutable_buffer into;
        boost::asio::awaitable<result> run() const {
            if (unread->size() == 0) {
                co_return co_await on->read_some(into);
            }
            const auto n = boost::asio::buffer_copy(into, unread->data());
            unread->consume(n);
            co_return result{{}, n};
        }
        static constexpr bool counts = true;
    };
    struct writing {
        detail::transport* on;
        std::array<boost::asio::const_buffer, 16> pieces;
        std::size_t count;
        boost::asio::awaitable<result> run() const {
            return on->write_some({pieces.data(), count});
        }
        static constexpr bool counts = true;
    };
    struct ending {
        detail::transport* on;
        boost::asio::awaitable<result> run() const { return on->end(); }
        static constexpr bool counts = false;
    };

    template <class Operation>
    struct running {
        Operation operation;
        std::shared_ptr<detail::transport> held;  ///< if the stream goes first
        template <class Self>
        void operator()(Self& self) {
            boost::asio::co_spawn(
                operation.on->get_executor(),
                [](Operation held) -> boost::asio::awaitable<result> {
                    co_return co_await held.run();
                }(std::move(operation)),
                std::move(self));
        }
        template <class Self>
        void operator()(Self& self, const std::exception_ptr& error, result got) {
            if (error) {
                got.ec = boost::asio::error::operation_aborted;
            }
            if constexpr (Operation::counts) {
                self.complete(got.ec, got.n);
            } else {
                self.complete(got.ec);
            }
        }
    };

    template <class Operation, class Token>
    auto start(Operation operation, Token&& token) {
        auto* const on = operation.on;
        if constexpr (Operation::counts) {
            return boost::asio::async_compose<Token, void(boost::system::error_code, std::size_t)>(
                running<Operation>{std::move(operation), transport_}, token, on->get_executor());
        } else {
            return boost::asio::async_compose<Token, void(boost::system::error_code)>(
                running<Operation>{std::move(operation), transport_}, token, on->get_executor());
        }
    }

    template <class MutableBuffers>
    static boost::asio::mutable_buffer first_of(const MutableBuffers& buffers) {
        const auto end = boost::asio::buffer_sequence_end(buffers);
        for (auto it = boost::asio::buffer_sequence_begin(buffers); it != end; ++it) {
            const boost::asio::mutable_buffer piece(*it);
            if (piece.size() != 0) {
                return piece;
            }
        }
        return {};
    }

    friend class detail::exchange_state;

    std::shared_ptr<detail::transport> transport_;
    boost::beast::flat_buffer unread_;  ///< what the server had read of it already
};

}  // namespace postlude::http

#endif
