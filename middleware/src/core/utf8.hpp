// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_CORE_UTF8_HPP
#define POSTLUDE_SRC_CORE_UTF8_HPP

#include <cstddef>
#include <string_view>

namespace postlude::detail {

/// The bytes of the character that a text begins with, 1 to 4; 0 where that is none: nothing
/// overlong, no surrogate, nothing above U+10FFFF, as RFC 3629 has it. The text is not empty.
std::size_t utf8_character(std::string_view text) noexcept;

}  // namespace postlude::detail

#endif
