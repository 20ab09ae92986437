// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_HTTP_EXCHANGE_STATE_HPP
#define POSTLUDE_SRC_HTTP_EXCHANGE_STATE_HPP

#include "http/pace.hpp"
#include "http/service.hpp"
#include "postlude/http/detail/outgoing.hpp"
#include "postlude/http/exchange.hpp"

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace postlude::http::detail {

class request_reader;
class session;

inline constexpr auto no_exception = "it threw something that is no std::exception";

/// Logs that a handler has thrown, and makes the 500.
response handler_failed(const request& req, const deferred& after, const char* what);

/// What is behind an `exchange`: the body as it is read and the response as it is written.
class exchange_state {
public:
    exchange_state(session& on, request_reader& reader, request& req, deferred& after) noexcept
        : session_(&on), reader_(&reader), request_(&req), after_(&after) {}

    static exchange_state& of(exchange& e) noexcept { return *e.state_; }

    boost::asio::awaitable<std::string_view> read();
    /// Takes the header from here: GCC 12 misplaces the frame of a member coroutine that has it as
    /// a parameter.
    response head;
    boost::asio::awaitable<void> begin();
    boost::asio::awaitable<void> write(std::string_view piece);
    any_stream take_over();
    void on_stop(std::function<void()> f);

    /// Whether an error that the handler let through is its own, rather than what `read`, `begin`
    /// or `write` have thrown because of the client, or because there is nothing more to be done.
    bool blames_handler(boost::system::error_code thrown) const;

    /// Whatever middleware makes of it: the handler has thrown.
    void note_handler_failed() noexcept { handler_failed_ = true; }

    /// After the handler, if the response has begun: its last bytes, or, if the handler has failed,
    /// its breaking off. Whether the connection stays.
    boost::asio::awaitable<bool> end(bool handler_failed);

    void log_access() const;

    bool begun() const noexcept { return begun_; }
    bool taken_over() const noexcept { return taken_over_; }
    bool answered() const noexcept { return begun_ || taken_over_; }
    /// The client was too slow to send its body.
    bool late() const noexcept { return reason_ == reason::late; }
    /// Something was wrong with the client's side.
    bool broken() const noexcept { return late() || reason_ == reason::client; }
    unsigned status() const noexcept { return status_; }

    request_reader& reader() const noexcept { return *reader_; }
    request& get_request() const noexcept { return *request_; }
    deferred& after() const noexcept { return *after_; }
    /// What the router's middleware makes of the header before it goes.
    std::function<void(response&)> finish;

private:
    /// Why `read`, `begin` or `write` has thrown; within the response, once that has begun.
    enum class reason : std::uint8_t {
        handler,  ///< it has not, or the handler is to blame
        client,   ///< it has gone, or sent what is malformed
        late,
        whole,  ///< the response is whole already
    };
    [[noreturn]] void blame(reason why, boost::system::error_code ec, const char* what);

    /// Bytes of the header, then a piece of the body, framed.
    boost::asio::awaitable<void> send(std::string_view head, std::string_view body);
    boost::asio::awaitable<void> send_pieces(std::array<std::string_view, 4> bytes);

    void fail(boost::system::error_code why) noexcept;

    session* session_;
    request_reader* reader_;
    request* request_;
    deferred* after_;
    std::unique_ptr<char[]> piece_;
    std::optional<pending_response> pending_;
    bool begun_ = false;
    bool taken_over_ = false;
    reason reason_ = reason::handler;
    boost::system::error_code thrown_;
    time_spent reading_;
    time_spent writing_;
    bool handler_failed_ = false;
    bool body_ = true;
    bool chunked_ = false;
    bool close_ = false;
    std::optional<std::uint64_t> left_;  ///< of the body, where its length was announced
    unsigned status_ = 0;
    std::size_t sent_ = 0;
    std::size_t tasks_ = 0;
};

}  // namespace postlude::http::detail

#endif
