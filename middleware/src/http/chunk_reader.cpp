// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "http/chunk_reader.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>

namespace postlude::http::detail {

namespace {

constexpr std::size_t longest_line = 4 * 1024;
constexpr std::uint64_t free_overhead = 16 * 1024;

bool is_text(char c) noexcept {
    const auto byte = static_cast<unsigned char>(c);
    return (byte >= 0x20 && byte != 0x7f) || c == '\t';
}

bool is_token(char c) noexcept {
    return is_text(c) && static_cast<unsigned char>(c) < 0x80 &&
           std::string_view(" \t\"(),/:;<=>?@[\\]{}").find(c) == std::string_view::npos;
}

void skip_blanks(std::string_view& s) noexcept {
    s.remove_prefix(std::min(s.find_first_not_of(" \t"), s.size()));
}

bool skip_token(std::string_view& s) noexcept {
    const auto end = std::ranges::find_if_not(s, is_token);
    const auto n = static_cast<std::size_t>(end - s.begin());
    s.remove_prefix(n);
    return n != 0;
}

bool skip_quoted(std::string_view& s) noexcept {
    for (std::size_t i = 1; i < s.size(); ++i) {
        if (s[i] == '\\') {
            ++i;
        } else if (s[i] == '"') {
            s.remove_prefix(i + 1);
            return true;
        }
    }
    return false;
}

/// chunk-ext of RFC 9112, section 7.1.1.
bool are_extensions(std::string_view s) noexcept {
    while (!s.empty()) {
        skip_blanks(s);
        if (!s.starts_with(';')) {
            return false;
        }
        s.remove_prefix(1);
        skip_blanks(s);
        if (!skip_token(s)) {
            return false;
        }
        auto rest = s;
        skip_blanks(rest);
        if (!rest.starts_with('=')) {
            continue;
        }
        rest.remove_prefix(1);
        skip_blanks(rest);
        if (!(rest.starts_with('"') ? skip_quoted(rest) : skip_token(rest))) {
            return false;
        }
        s = rest;
    }
    return true;
}

bool is_field(std::string_view line) noexcept { return skip_token(line) && line.starts_with(':'); }

}  // namespace

std::size_t chunk_reader::read(boost::beast::flat_buffer& in, boost::asio::mutable_buffer to) {
    std::size_t moved = 0;
    while (in.size() != 0 && !done() && !bad()) {
        if (now_ != state::data) {
            if (take_line(in)) {
                line_taken();
                line_.clear();
            }
            continue;
        }
        const auto n = static_cast<std::size_t>(
            std::min<std::uint64_t>({left_, in.size(), to.size() - moved}));
        if (n == 0) {
            break;  // no more fits
        }
        std::memcpy(static_cast<char*>(to.data()) + moved, in.data().data(), n);
        in.consume(n);
        moved += n;
        data_ += n;
        left_ -= n;
        now_ = left_ == 0 ? state::end_of_data : state::data;
    }
    return moved;
}

bool chunk_reader::take_line(boost::beast::flat_buffer& in) {
    const std::string_view bytes(static_cast<const char*>(in.data().data()), in.size());
    // Not beyond the first byte too many: which comes first, that one or a bad one, must not
    // depend on the pieces that they come in.
    const auto room = static_cast<std::size_t>(std::min<std::uint64_t>(
        longest_line - line_.size(), free_overhead + 2 * data_ - overhead_));
    const auto some = bytes.substr(0, room + 1);
    const auto lf = some.find('\n');
    const auto n = std::min(lf, some.size() - 1) + 1;
    const auto seen = line_.size() - (line_.empty() ? 0 : 1);  // but for a CR, perhaps
    line_.append(some.substr(0, n));
    in.consume(n);
    overhead_ += n;
    const bool whole = lf != some.npos;
    const bool has_end = whole && line_.ends_with("\r\n");
    const std::string_view text(line_.data(), line_.size() - (has_end ? 2 : 0));
    // What is bad already is not waited for to end. A CR may be the line's, whose LF is to come.
    const bool may_end = !whole && text.ends_with('\r');
    const auto sure = text.substr(0, text.size() - (may_end ? 1 : 0));
    const bool good = now_ == state::end_of_data
                          ? sure.empty()
                          : std::ranges::all_of(sure.substr(std::min(seen, sure.size())), is_text);
    too_large_ = good && (line_.size() > longest_line || overhead_ > free_overhead + 2 * data_);
    if (!good || (whole && !has_end) || too_large_) {
        now_ = state::bad;
        return false;
    }
    if (whole) {
        line_.resize(text.size());
    }
    return whole;
}

void chunk_reader::line_taken() {
    switch (now_) {
    case state::size:
        now_ = !begin_chunk(line_) ? state::bad : left_ == 0 ? state::trailer : state::data;
        break;
    case state::end_of_data: now_ = line_.empty() ? state::size : state::bad; break;
    case state::trailer:
        now_ = line_.empty() ? state::done : is_field(line_) ? state::trailer : state::bad;
        break;
    default: break;
    }
}

bool chunk_reader::begin_chunk(std::string_view line) {
    const auto* const end = line.data() + line.size();
    const auto [stop, error] = std::from_chars(line.data(), end, left_, 16);
    const auto digits = static_cast<std::size_t>(stop - line.data());
    return error == std::errc{} && digits <= 16 && are_extensions(line.substr(digits));
}

}  // namespace postlude::http::detail
