// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_BENCH_SUPPORT_DISK_HPP
#define POSTLUDE_BENCH_SUPPORT_DISK_HPP

#include "load.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

namespace bench {

inline double microseconds_since(bench_clock::time_point begin) {
    return std::chrono::duration<double, std::micro>(bench_clock::now() - begin).count();
}

/// @param fraction 0.99 for the p99; of no values, 0.
inline double at_fraction(std::vector<double> v, double fraction) {
    if (v.empty()) {
        return 0;
    }
    std::ranges::sort(v);
    return v[static_cast<std::size_t>(static_cast<double>(v.size() - 1) * fraction)];
}

/// A new directory on the disk that is measured, gone at the end.
class disk_directory {
public:
    explicit disk_directory(const std::string& parent) : path_(parent + "/postlude-bench.XXXXXX") {
        if (!::mkdtemp(path_.data())) {
            fail(path_.c_str());
        }
    }
    disk_directory(const disk_directory&) = delete;
    disk_directory& operator=(const disk_directory&) = delete;
    ~disk_directory() { std::filesystem::remove_all(path_); }
    const std::string& path() const noexcept { return path_; }

private:
    std::string path_;
};

/// How long n appends of 4 KiB with fdatasync took, in microseconds. Their median is called F.
inline std::vector<double> sync_times(const std::string& directory, std::size_t n) {
    const auto file = directory + "/sync";
    const int fd = ::open(file.c_str(), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
    const std::vector<char> block(4096, 'x');
    std::vector<double> times;
    for (std::size_t i = 0; i < n; ++i) {
        const auto begin = bench_clock::now();
        if (::write(fd, block.data(), block.size()) < 0 || ::fdatasync(fd) != 0) {
            fail("fdatasync");
        }
        times.push_back(microseconds_since(begin));
    }
    ::close(fd);
    std::filesystem::remove(file);
    return times;
}

/// F of n appends.
inline double median_sync(const std::string& directory, std::size_t n) {
    return at_fraction(sync_times(directory, n), 0.5);
}

}  // namespace bench

#endif
