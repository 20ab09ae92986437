// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_TESTS_FUZZ_PIECES_HPP
#define POSTLUDE_TESTS_FUZZ_PIECES_HPP

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace fuzz {

/// An input's first four bytes say how the rest is to be delivered: one byte the mode, three the
/// sizes of pieces, taken in turn, of which 0 is all that is left. Only their lower five bits
/// count, so that an input can be a text: "@@@@" is one piece in mode 0, "BAAA" single bytes in
/// mode 2. A byte 255 stands for 600 times the byte before it, so that limits are reached soon.
class pieces {
public:
    /// @param most pieces; what is left then is one.
    pieces(const std::uint8_t* data, std::size_t size, std::size_t most)
        : head_(reinterpret_cast<const char*>(data), std::min<std::size_t>(size, 4)),
          all_(expanded({reinterpret_cast<const char*>(data) + head_.size(), size - head_.size()})),
          rest_(all_),
          most_(most) {}
    pieces(const pieces&) = delete;
    pieces& operator=(const pieces&) = delete;

    bool valid() const noexcept { return head_.size() == 4; }
    unsigned mode() const noexcept { return low_bits(0); }
    std::string_view all() const noexcept { return all_; }
    bool done() const noexcept { return rest_.empty(); }

    std::string_view next() noexcept {
        const auto size = ++turn_ >= most_ ? 0 : low_bits(1 + turn_ % 3);
        const auto piece = rest_.substr(0, size == 0 ? rest_.npos : size);
        rest_.remove_prefix(piece.size());
        return piece;
    }

private:
    static std::string expanded(std::string_view input) {
        constexpr std::size_t most = 20'000;
        std::string all;
        for (const char c : input) {
            if (c == '\xff' && !all.empty() && all.size() < most) {
                all.append(600, all.back());
            } else {
                all += c;
            }
        }
        return all;
    }

    unsigned low_bits(std::size_t i) const noexcept {
        return static_cast<unsigned char>(head_[i]) & 31U;
    }

    std::string_view head_;
    std::string all_;
    std::string_view rest_;
    std::size_t most_;
    std::size_t turn_ = 0;
};

}  // namespace fuzz

#endif
