// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/sqlite/owner_lock.hpp"

#include "backends/sqlite/failure.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace postlude::detail::sqlite {

namespace {

struct flock one_byte(std::uint32_t owner) {
    struct flock lock{};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = owner;
    lock.l_len = 1;
    return lock;
}

}  // namespace

owner_lock::owner_lock(const std::filesystem::path& store)
    : store_(store), path_(store.string() + "-owners") {
    struct stat found{};
    const auto mode = ::stat(store.c_str(), &found) == 0 ? found.st_mode & 0666 : 0600;
    file_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, mode);
    if (file_ < 0) {
        fail("open");
    }
}

owner_lock::~owner_lock() { ::close(file_); }

void owner_lock::take(std::uint32_t owner) {
    auto lock = one_byte(owner);
    if (::fcntl(file_, F_OFD_SETLK, &lock) != 0) {
        fail("lock");
    }
}

bool owner_lock::is_held(std::uint32_t owner) const {
    auto lock = one_byte(owner);
    if (::fcntl(file_, F_OFD_GETLK, &lock) != 0) {
        fail("look at the locks of");
    }
    return lock.l_type != F_UNLCK;
}

void owner_lock::fail(const char* what) const {
    const auto why = std::generic_category().message(errno);
    auto text =
        std::string("can't ").append(what).append(" ").append(path_).append(": ").append(why);
    text.append("; give this process's user read and write permission, on a local disk");
    sqlite::fail(errc::store_unavailable, store_, text);
}

}  // namespace postlude::detail::sqlite
