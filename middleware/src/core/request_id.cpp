// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/core/request_id.hpp"

#include <algorithm>
#include <cstdint>
#include <random>

namespace postlude {

namespace {

bool is_lower_hex(char c) noexcept { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

bool is_id_char(char c) noexcept {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           std::string_view("-_.:=/+@").find(c) != std::string_view::npos;
}

/// SplitMix64 (Steele, Lea and Flood, 2014): one word of state, seeded once a thread.
std::uint64_t next_random() noexcept {
    static thread_local std::uint64_t state = [] {
        std::random_device device;
        return (std::uint64_t{device()} << 32) ^ device();
    }();
    std::uint64_t z = (state += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

}  // namespace

bool valid_request_id(std::string_view id) noexcept {
    return !id.empty() && id.size() <= max_request_id && std::ranges::all_of(id, is_id_char);
}

std::string_view trace_id_of(std::string_view traceparent) noexcept {
    // version "-" trace-id "-" parent-id "-" flags: 2, 32, 16 and 2 digits.
    constexpr std::size_t version_00_size = 55;
    if (traceparent.size() < version_00_size || traceparent[2] != '-' || traceparent[35] != '-' ||
        traceparent[52] != '-') {
        return {};
    }
    const auto version = traceparent.substr(0, 2);
    const auto trace_id = traceparent.substr(3, 32);
    const auto parent_id = traceparent.substr(36, 16);
    const auto flags = traceparent.substr(53, 2);
    for (const auto part : {version, trace_id, parent_id, flags}) {
        if (!std::ranges::all_of(part, is_lower_hex)) {
            return {};
        }
    }
    // A later version may append fields behind another dash; 00 may not, and ff is invalid.
    const bool longer = traceparent.size() > version_00_size;
    if (version == "ff" || (longer && (version == "00" || traceparent[version_00_size] != '-'))) {
        return {};
    }
    const auto all_zero = [](std::string_view s) {
        return s.find_first_not_of('0') == std::string_view::npos;
    };
    return all_zero(trace_id) || all_zero(parent_id) ? std::string_view{} : trace_id;
}

std::array<char, 32> make_request_id() noexcept {
    std::array<char, 32> id;
    for (std::size_t half = 0; half < 2; ++half) {
        std::uint64_t bits = next_random();
        for (std::size_t i = 0; i < 16; ++i, bits >>= 4) {
            id[half * 16 + i] = "0123456789abcdef"[bits & 15];
        }
    }
    return id;
}

}  // namespace postlude
