// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "core/utf8.hpp"

#include <algorithm>

namespace postlude::detail {

std::size_t utf8_character(std::string_view text) noexcept {
    const auto at = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const auto first = at(0);
    if (first < 0x80) {
        return 1;
    }
    const std::size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    const auto continues = [](char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; };
    if (first < 0xC2 || first > 0xF4 || text.size() < length ||
        !std::ranges::all_of(text.substr(1, length - 1), continues)) {
        return 0;
    }
    const auto second = at(1);
    const bool outside = (first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F) ||
                         (first == 0xF0 && second < 0x90) || (first == 0xF4 && second > 0x8F);
    return outside ? 0 : length;
}

}  // namespace postlude::detail
