// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_BENCH_SUPPORT_HISTOGRAM_HPP
#define POSTLUDE_BENCH_SUPPORT_HISTOGRAM_HPP

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace bench {

/// Counts of times in ns, to within 1/64 of each, as HdrHistogram has them: buckets that double,
/// the upper half of each in 64 equal parts. Of a fixed size, whatever is recorded.
class histogram {
public:
    void record(std::uint64_t nanoseconds) noexcept {
        ++counts_[slot(nanoseconds)];
        ++total_;
    }
    void add(const histogram& other) noexcept {
        for (std::size_t i = 0; i != counts_.size(); ++i) {
            counts_[i] += other.counts_[i];
        }
        total_ += other.total_;
    }
    std::uint64_t total() const noexcept { return total_; }

    /// µs that this fraction of all took at most; 0 when there are none.
    double at(double fraction) const noexcept {
        const auto rank = static_cast<std::uint64_t>(
            std::max(1.0, std::ceil(fraction * static_cast<double>(total_))));
        std::uint64_t seen = 0;
        for (std::size_t i = 0; i != counts_.size(); ++i) {
            seen += counts_[i];
            if (seen >= rank && seen != 0) {
                return static_cast<double>(highest(i)) / 1'000;
            }
        }
        return 0;
    }

    /// From the fastest to what one in so many took for which there are at least ten.
    std::vector<std::pair<double, double>> curve() const {
        std::vector<std::pair<double, double>> points;
        for (const double f :
             {0.0, 0.1,   0.2,  0.3,  0.4,  0.5,  0.6,   0.7,   0.75,  0.8,    0.85,
              0.9, 0.925, 0.95, 0.97, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999}) {
            if ((1 - f) * static_cast<double>(total_) >= 10) {
                points.emplace_back(f, at(f));
            }
        }
        return points;
    }

private:
    static constexpr unsigned part_bits = 7;
    static constexpr std::size_t parts = 1u << part_bits;

    static std::size_t slot(std::uint64_t value) noexcept {
        const auto width = static_cast<unsigned>(std::bit_width(value | (parts - 1)));
        const auto shift = width - part_bits;
        return shift * parts / 2 + static_cast<std::size_t>(value >> shift);
    }
    /// The largest value that has this slot.
    static std::uint64_t highest(std::size_t slot) noexcept {
        if (slot < parts) {
            return slot;
        }
        const auto shift = (slot - parts / 2) / (parts / 2);
        const auto part = slot - shift * parts / 2;
        return ((static_cast<std::uint64_t>(part) + 1) << shift) - 1;
    }

    std::array<std::uint64_t, (64 - part_bits + 2) * parts / 2> counts_{};
    std::uint64_t total_ = 0;
};

}  // namespace bench

#endif
