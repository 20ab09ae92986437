// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_HTTP_DETAIL_OUTGOING_HPP
#define POSTLUDE_HTTP_DETAIL_OUTGOING_HPP

#include "postlude/dispatch/deferred.hpp"
#include "postlude/http/detail/flat.hpp"
#include "postlude/http/detail/generator.hpp"
#include "postlude/http/detail/message_body.hpp"

#include <boost/beast/http/string_body.hpp>

#include <memory>
#include <optional>

namespace postlude::detail {

/// The 503 that a refused request gets instead of its own response.
/// @param keep_alive whether that one would have left the connection open.
beast_http::response<beast_http::string_body> refusal(const deferred& after, bool keep_alive);

/// A response on its way out: the bytes still to write, and what depends on their fate.
template <class Allocator>
struct outgoing {
    explicit outgoing(const Allocator& a) noexcept : flat(a) {}

    text<Allocator> flat;                     ///< goes first
    std::shared_ptr<body_source> rest;        ///< goes then; null when there is none
    std::optional<pending_response> pending;  ///< none for an interim response
    boost::system::error_code error;          ///< why there is nothing to write
    bool close = false;                       ///< its end is the connection's end
    std::size_t sent = 0;                     ///< bytes, in all

    /// Calls `write` with the bytes to write next, after which this object may have been moved
    /// from. False, and no call, when all was written, or on an error.
    template <class Write>
    bool next(boost::system::error_code& ec, const Write& write) {
        const boost::asio::const_buffer first(flat.data() + flat_sent(), flat.size() - flat_sent());
        if (rest) {
            const auto buffers = rest->prepare(first, ec);
            if (buffers.empty()) {
                return false;
            }
            write(buffers);
            return true;
        }
        if (first.size() == 0) {
            return false;
        }
        write(first);
        return true;
    }

    void wrote(std::size_t n) {
        const auto of_flat = std::min(n, flat.size() - flat_sent());
        sent += n;
        if (n != of_flat) {
            rest->consume(n - of_flat);
        }
    }

    /// The outcome as the caller gets to know it. What was written from is gone afterwards.
    boost::system::error_code end(boost::system::error_code ec) {
        if (pending) {
            pending->end(ec);
        }
        flat.reset();
        rest.reset();
        return !ec && close ? beast_http::error::end_of_stream : ec;
    }

private:
    std::size_t flat_sent() const noexcept { return std::min(sent, flat.size()); }
};

/// Begins the response. False when it is refused, and `out` is the 503.
/// @param extra lines of the header, X-Request-Id among them, or nothing.
template <class Allocator>
bool begin(outgoing<Allocator>& out, const response_facts& facts, deferred& after,
           std::string_view extra = {}) {
    if (facts.interim()) {
        return true;
    }
    if (!after.refused()) {
        out.pending.emplace(after, facts.status);
        return true;
    }
    auto response = refusal(after, facts.keep_alive());
    if (!extra.empty()) {
        response.erase("X-Request-Id");
    }
    std::size_t fields_size;
    const auto refused = facts_of(response, fields_size);
    out.pending.emplace(after, refused.status);
    out.error = {};
    out.flat.reset();
    const framing framing(refused, after.request());
    append_header(response, framing, fields_size, response.body().size(), out.flat, extra);
    if (framing.body) {
        out.flat.append(response.body());
    }
    return false;
}

/// Of a response without a forged field.
/// @param response a reference to it, or it itself, to be held until it is written.
/// @param extra as for `begin`.
template <class Response, class Body, class Fields, class Allocator>
outgoing<Allocator> compose_sound(beast_http::response<Body, Fields>& response, deferred& after,
                                  const Allocator& allocator, std::string_view extra = {}) {
    outgoing<Allocator> out(allocator);
    std::size_t fields_size;
    const auto facts = facts_of(response, fields_size);
    if (!begin(out, facts, after, extra)) {
        return out;
    }
    const framing framing(facts, after.request());
    out.close = framing.end == framing::ending::close;
    const bool chunked = framing.end == framing::ending::chunked;
    if (!framing.body) {
        append_header(response, framing, fields_size, 0, out.flat, extra);
    } else if (!chunked && facts.size && *facts.size <= flat_body_limit) {
        const auto size = static_cast<std::size_t>(*facts.size);
        append_header(response, framing, fields_size, size, out.flat, extra);
        append_body<Body, Fields>(response, size, out.flat, out.error);
    } else {
        append_header(response, framing, fields_size, 0, out.flat, extra);
        out.rest = std::allocate_shared<message_body<Response, Body, Fields>>(
            allocator, static_cast<Response&&>(response), chunked, framing.length);
    }
    return out;
}

/// @param response as for `compose_sound`.
template <class Response, class Body, class Fields, class Allocator>
outgoing<Allocator> compose_message(beast_http::response<Body, Fields>& response, deferred& after,
                                    const Allocator& allocator) {
    if (!has_forged_field(response)) {
        return compose_sound<Response>(response, after, allocator);
    }
    outgoing<Allocator> out(allocator);
    std::size_t fields_size;
    auto facts = facts_of(response, fields_size);
    facts.status = 500;
    if (begin(out, facts, after)) {
        out.error = errc::bad_header;
    }
    return out;
}

template <class Body, class Fields, class Allocator>
auto compose(beast_http::response<Body, Fields>* response, deferred& after, const Allocator& a) {
    return compose_message<beast_http::response<Body, Fields>&>(*response, after, a);
}

template <class Body, class Fields, class Allocator>
auto compose(beast_http::response<Body, Fields>&& response, deferred& after, const Allocator& a) {
    return compose_message<beast_http::response<Body, Fields>>(response, after, a);
}

template <class Allocator>
outgoing<Allocator> compose(beast_http::message_generator&& generator, deferred& after,
                            const Allocator& allocator) {
    outgoing<Allocator> out(allocator);
    const auto request = after.request();
    response_facts facts;
    const auto header = gather(generator, out.flat, facts, out.error);
    std::optional<chunk_decoder> decoder;
    if (facts.chunked && (request.http10 || facts.version < 11)) {
        decoder.emplace();
        facts.chunked = false;
        out.flat.shrink(header +
                        decoder->decode(out.flat.data() + header, out.flat.size() - header));
    }
    facts.can_chunk = facts.chunked;
    if (generator.is_done() && !facts.chunked) {
        facts.size = out.flat.size() - header;
    }
    if (!begin(out, facts, after) || out.error) {
        return out;
    }
    const framing framing(facts, request);
    out.close = framing.end == framing::ending::close;
    if (!framing.body) {
        out.flat.shrink(header);
    } else if (!generator.is_done()) {
        out.rest = std::allocate_shared<generator_source>(allocator, std::move(generator), decoder);
    }
    if (framing.changes(facts)) {
        out.flat.replace_front(header, edited(out.flat.view().substr(0, header), framing));
    }
    return out;
}

}  // namespace postlude::detail

#endif
