// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_TESTS_FUZZ_CHECK_HPP
#define POSTLUDE_TESTS_FUZZ_CHECK_HPP

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

namespace fuzz {

/// What is sent or received, readable.
inline std::string printable(std::string_view bytes) {
    std::string text;
    for (const char c : bytes) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '\n') {
            text += "\\n\n    ";
        } else if (c >= ' ' && c < 0x7f) {
            text += c;
        } else {
            text += "\\x";
            text += "0123456789abcdef"[byte >> 4];
            text += "0123456789abcdef"[byte & 15];
        }
    }
    return text;
}

/// Ends the process where it does not hold: libFuzzer keeps the input then.
inline void check(bool holds, const char* what, std::string_view about = {}) {
    if (!holds) {
        std::fprintf(stderr, "CHECK: %s\n    %s\n", what, printable(about).c_str());
        std::abort();
    }
}

}  // namespace fuzz

#endif
