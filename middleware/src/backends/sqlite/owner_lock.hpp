// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_BACKENDS_SQLITE_OWNER_LOCK_HPP
#define POSTLUDE_SRC_BACKENDS_SQLITE_OWNER_LOCK_HPP

#include <cstdint>
#include <filesystem>
#include <string>

namespace postlude::detail::sqlite {

/// A lock on one byte of a file that nobody reads, held for as long as the process lives: whoever
/// sees it free knows that the process is gone, however it went. The locks are of the open file
/// description (F_OFD_SETLK), so that several stores in one process tell each other apart and none
/// is lost when another one's file is closed.
class owner_lock {
public:
    /// Opens `<store>-owners`, with the permissions of the store.
    explicit owner_lock(const std::filesystem::path& store);
    owner_lock(const owner_lock&) = delete;
    owner_lock& operator=(const owner_lock&) = delete;
    ~owner_lock();

    /// Takes the lock of an owner that is new.
    void take(std::uint32_t owner);
    /// Whether somebody else holds the lock of this owner.
    bool is_held(std::uint32_t owner) const;

private:
    [[noreturn]] void fail(const char* what) const;

    std::filesystem::path store_;
    std::string path_;
    int file_ = -1;
};

}  // namespace postlude::detail::sqlite

#endif
