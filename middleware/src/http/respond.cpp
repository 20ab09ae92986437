// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/http/detail/respond_op.hpp"

#include <boost/beast/http/rfc7230.hpp>

#include <charconv>
#include <cstring>

namespace postlude::detail {

using beast_http::field;

namespace {

/// The line that `text` begins with, its end included; empty when that is not there.
std::string_view first_line(std::string_view text) noexcept {
    return text.substr(0, text.find('\n') + 1);
}

/// A field's line, so far as it matters to the framing.
struct field_line {
    field name = field::unknown;
    std::string_view value;

    explicit field_line(std::string_view line) noexcept {
        const auto is = [line](std::string_view name) {
            return line.size() > name.size() && line[name.size()] == ':' &&
                   boost::beast::iequals(line.substr(0, name.size()), name);
        };
        if (is("Content-Length")) {
            name = field::content_length;
            value = line.substr(15);
        } else if (is("Transfer-Encoding")) {
            name = field::transfer_encoding;
            value = line.substr(18);
        } else if (is("Connection")) {
            name = field::connection;
            value = line.substr(11);
        }
        const auto begin = std::min(value.find_first_not_of(" \t"), value.size());
        const auto end = value.find_last_not_of(" \t\r\n") + 1;
        value = value.substr(begin, std::max(begin, end) - begin);
    }
};

unsigned digit(char c) noexcept { return static_cast<unsigned>(c - '0') % 10; }

/// Of a response's first bytes.
unsigned status_in(std::string_view line) noexcept {
    return line.size() >= sizeof("HTTP/1.1 200") - 1
               ? 100 * digit(line[9]) + 10 * digit(line[10]) + digit(line[11])
               : 500;
}

}  // namespace

void response_facts::note(field name, std::string_view value) noexcept {
    switch (name) {
    case field::content_length: {
        std::uint64_t n = 0;
        const auto* const end = value.data() + value.size();
        const auto [stop, error] = std::from_chars(value.data(), end, n);
        has_length = ++lengths == 1 && error == std::errc{} && stop == end;
        length = has_length ? std::optional(n) : std::nullopt;
        break;
    }
    case field::transfer_encoding:
        has_coding = true;
        for (const auto coding : beast_http::token_list(value)) {
            chunked = boost::beast::iequals(coding, "chunked");
            other_coding = other_coding || !chunked;
        }
        break;
    case field::connection: {
        beast_http::token_list options(value);
        says_close = says_close || options.exists("close");
        says_keep_alive = says_keep_alive || options.exists("keep-alive");
        break;
    }
    default: break;
    }
}

framing::framing(const response_facts& response, const request_info& request) noexcept {
    const bool informational = response.status / 100 == 1;
    const bool can_chunk = response.can_chunk && !request.http10 && response.version >= 11;
    const bool takes_its_word = response.has_length && !response.has_coding;
    const bool empty = !response.size || *response.size == 0;

    body = !request.head && !informational && response.status != 204 && response.status != 304;
    if (informational || response.status == 204) {
        end = ending::none;
    } else if (response.status == 304) {
        end = response.has_length ? ending::as_is : ending::none;
    } else if (request.head && empty && takes_its_word) {
        end = ending::as_is;
    } else if (response.other_coding || (request.head && empty && response.has_coding)) {
        end = can_chunk ? ending::chunked : ending::close;
    } else if (response.size) {
        const bool right = takes_its_word && response.length == response.size;
        end = right ? ending::as_is : ending::length;
    } else if (takes_its_word) {
        end = ending::as_is;
    } else {
        end = can_chunk ? ending::chunked : ending::close;
    }
    length = end == ending::length  ? response.size
             : end == ending::as_is ? response.length
                                    : std::nullopt;
    add_chunked = end == ending::chunked && !response.chunked;

    if (informational) {
        return;
    }
    if (!request.keep_alive || !response.keep_alive() || end == ending::close) {
        persistence = response.says_close ? connection::as_is : connection::close;
    } else if (request.http10 && !response.says_keep_alive) {
        persistence = connection::keep_alive;
    }
}

bool framing::changes(const response_facts& response) const noexcept {
    return end == ending::length || add_chunked || persistence != connection::as_is ||
           (response.lengths != 0 && end != ending::as_is) ||
           (response.has_coding && end != ending::chunked);
}

bool framing::drops(field name, std::string_view value) const noexcept {
    switch (name) {
    case field::content_length: return end != ending::as_is;
    case field::transfer_encoding: return end != ending::chunked;
    case field::connection:
        return persistence == connection::close && boost::beast::iequals(value, "keep-alive");
    default: return false;
    }
}

std::string_view framing::additions(std::array<char, max_additions>& buffer) const noexcept {
    char* p = buffer.data();
    const auto add = [&p](std::string_view s) { p = std::copy(s.begin(), s.end(), p); };
    if (end == ending::length) {
        add("Content-Length: ");
        p = std::to_chars(p, buffer.data() + buffer.size(), *length).ptr;
        add("\r\n");
    } else if (add_chunked) {
        add("Transfer-Encoding: chunked\r\n");
    }
    if (persistence == connection::close) {
        add("Connection: close\r\n");
    } else if (persistence == connection::keep_alive) {
        add("Connection: keep-alive\r\n");
    }
    return {buffer.data(), static_cast<std::size_t>(p - buffer.data())};
}

std::size_t read_header(std::string_view text, response_facts& facts) noexcept {
    facts = {};
    facts.status = 500;
    auto line = first_line(text);
    std::size_t size = line.size();
    if (size >= sizeof("HTTP/1.1 200\n") - 1) {
        facts.version = 10 * digit(line[5]) + digit(line[7]);
        facts.status = status_in(line);
    }
    for (;;) {
        line = first_line(text.substr(size));
        size += line.size();
        if (line.size() <= 2) {  // the empty line after the last field, or an unfinished one
            return line.empty() ? 0 : size;
        }
        const field_line field(line);
        if (facts.interests(field.name)) {
            facts.note(field.name, field.value);
        }
    }
}

std::string edited(std::string_view header, const framing& framing) {
    std::string result;
    result.reserve(header.size() + framing::max_additions);
    for (;;) {
        const auto line = first_line(header);
        if (line.size() <= 2) {
            break;
        }
        const field_line field(line);
        if (!framing.drops(field.name, field.value)) {
            result += line;
        }
        header.remove_prefix(line.size());
    }
    std::array<char, framing::max_additions> buffer;
    return result.append(framing.additions(buffer)).append("\r\n");
}

unsigned status_of(beast_http::message_generator& generator) noexcept {
    boost::system::error_code ec;
    std::array<char, sizeof("HTTP/1.1 200") - 1> line{};
    const auto n = boost::asio::buffer_copy(boost::asio::buffer(line), generator.prepare(ec));
    return ec ? 500 : status_in({line.data(), n});
}

beast_http::response<beast_http::string_body> refusal(const deferred& after, bool keep_alive) {
    const auto request = after.request();
    beast_http::response<beast_http::string_body> response(beast_http::status::service_unavailable,
                                                           request.http10 ? 10 : 11);
    response.set(field::content_type, "text/plain");
    response.set("X-Request-Id", after.request_id());
    response.set(field::retry_after, std::to_string(after.get_dispatcher().retry_after().count()));
    response.keep_alive(keep_alive && request.keep_alive);
    response.body() = "The server is busy. Please try again later.\n";
    return response;
}

std::size_t chunk_decoder::decode(char* const p, std::size_t n) noexcept {
    std::size_t in = 0;
    std::size_t out = 0;
    while (in != n && now_ != state::done) {
        if (now_ == state::data) {
            const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(left_, n - in));
            std::memmove(p + out, p + in, size);
            in += size;
            out += size;
            left_ -= size;
            now_ = left_ == 0 ? state::end_of_data : state::data;
            continue;
        }
        const char c = p[in++];
        if (c == '\n') {
            const bool last = now_ != state::end_of_data && left_ == 0;
            now_ = last ? state::done : now_ == state::end_of_data ? state::size : state::data;
        } else if (now_ == state::size) {
            const char digit[] = {c};
            unsigned value = 0;
            if (std::from_chars(digit, digit + 1, value, 16).ec == std::errc{}) {
                left_ = 16 * left_ + value;
            } else {
                now_ = state::rest_of_line;
            }
        }
    }
    return out;
}

void generator_source::collect(boost::system::error_code& ec) {
    if (decoder_) {
        decode(ec);
        add(unwritten_);
        return;
    }
    for (bool any = false; !any && !generator_.is_done();) {
        const auto buffers = generator_.prepare(ec);
        if (ec || generator_.is_done()) {
            return;
        }
        for (const auto& buffer : buffers) {
            if (!full()) {
                add(buffer);
                any = any || buffer.size() != 0;
            }
        }
        if (!any) {
            generator_.consume(0);  // an empty piece: on to the next
        }
    }
}

void generator_source::decode(boost::system::error_code& ec) {
    while (unwritten_.size() == 0 && !ec && !generator_.is_done()) {
        decoded_.shrink(0);
        take(generator_, flat_body_limit, decoded_, ec);
        unwritten_ = {decoded_.data(), decoder_->decode(decoded_.data(), decoded_.size())};
    }
}

void generator_source::consume(std::size_t n) {
    if (decoder_) {
        unwritten_ += n;
    } else {
        generator_.consume(n);
    }
}

}  // namespace postlude::detail
