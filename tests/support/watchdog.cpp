// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
// A test that hangs says so, with its name and what each thread was at, before ctest ends it.
#include "support/catch.hpp"

#include <dirent.h>
#include <execinfo.h>
#include <fcntl.h>
#include <semaphore.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace {

/// In seconds. The longest test takes 50 under ThreadSanitizer, on a machine that is free.
constexpr unsigned longest_test = 240;

/// Of the thread that is asked: it has written its stack.
sem_t written;

void say(const char* format, long number) {
    std::array<char, 100> line;
    const auto size = std::snprintf(line.data(), line.size(), format, number);
    [[maybe_unused]] const auto n =
        ::write(STDERR_FILENO, line.data(), static_cast<std::size_t>(size));
}

void write_stack(int /*signal*/) {
    say("\nthread %ld:\n", ::syscall(SYS_gettid));
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_print_stack_trace();
#else
    std::array<void*, 64> frames;
    ::backtrace_symbols_fd(frames.data(), ::backtrace(frames.data(), frames.size()), STDERR_FILENO);
#endif
    ::sem_post(&written);
}

void ask(long thread) {
    if (thread == ::syscall(SYS_gettid)) {
        write_stack(0);
    } else {
        ::syscall(SYS_tgkill, ::getpid(), thread, SIGUSR2);
    }
    // One after the other; some may take no signal.
    timespec until{};
    ::clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 2;
    while (::sem_timedwait(&written, &until) != 0 && errno == EINTR) {
    }
}

void give_up(int /*signal*/) {
    say("\nA test has run for %ld s; its threads:\n", longest_test);
    const int threads = ::open("/proc/self/task", O_RDONLY | O_DIRECTORY);
    alignas(dirent64) std::array<char, 32'768> entries;
    for (auto n = ::getdents64(threads, entries.data(), entries.size()); n > 0;
         n = ::getdents64(threads, entries.data(), entries.size())) {
        for (const char* at = entries.data(); at < entries.data() + n;) {
            const auto& entry = *reinterpret_cast<const dirent64*>(at);
            if (const auto thread = std::atol(entry.d_name); thread != 0) {
                ask(thread);
            }
            at += entry.d_reclen;
        }
    }
    std::abort();  // which Catch2 reports with the test's name
}

#ifdef CATCH_CONFIG_EXTERNAL_INTERFACES  // Catch2 2
using listener_base = Catch::TestEventListenerBase;
#else
using listener_base = Catch::EventListenerBase;
#endif

struct watchdog : listener_base {
    using listener_base::listener_base;

    void testCaseStarting(const Catch::TestCaseInfo& /*which*/) override {
        std::array<void*, 1> frame;
        ::backtrace(frame.data(), 1);  // its first call allocates, which a handler may not
        ::sem_init(&written, 0, 0);
        std::signal(SIGUSR2, write_stack);
        std::signal(SIGALRM, give_up);
        ::alarm(longest_test);
    }
    void testCaseEnded(const Catch::TestCaseStats& /*how*/) override { ::alarm(0); }
};

CATCH_REGISTER_LISTENER(watchdog)

}  // namespace
