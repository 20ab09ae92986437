// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_TESTS_SUPPORT_OPEN_FILES_HPP
#define POSTLUDE_TESTS_SUPPORT_OPEN_FILES_HPP

#include <sys/resource.h>

#include <algorithm>
#include <stdexcept>
#include <string>

namespace test {

/// Lets this process have so many files open. Throws runtime_error where it may not.
inline void allow_open_files(rlim_t n) {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    const auto most = limit.rlim_max;
    limit.rlim_cur = std::max(limit.rlim_cur, n);
    limit.rlim_max = std::max(limit.rlim_max, n);  // beyond what it was, only root may
    if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) {
        throw std::runtime_error("this needs " + std::to_string(n) +
                                 " open files, and the hard limit is " + std::to_string(most) +
                                 ": raise it (ulimit -Hn, or LimitNOFILE)");
    }
}

}  // namespace test

#endif
