// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_BACKENDS_SQLITE_HPP
#define POSTLUDE_BACKENDS_SQLITE_HPP

#include "postlude/backends/url.hpp"

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <memory>

namespace postlude {

struct sqlite_options {
    /// Made if it does not exist; its directory has to. On a local disk: neither SQLite's locks nor
    /// its shared memory work over a network. Beside it stand `-wal`, `-shm` and `-owners`.
    std::filesystem::path file;
    /// How long to wait for a lock that another process holds, before errc::store_unavailable.
    /// 0 to 1 h.
    std::chrono::milliseconds busy_timeout{5'000};
    /// How often to look for jobs that other processes have stored, while there are none.
    /// 1 ms to 24 h.
    std::chrono::milliseconds poll{20};
    /// Bytes that the write-ahead log may reach before a commit waits for a checkpoint: 64 KiB or
    /// more.
    std::size_t longest_wal = 64 * 1024 * 1024;
    /// false: a commit survives the death of the process, but not that of the machine, for as long
    /// as its system keeps what was written in memory (SQLite's synchronous=NORMAL).
    bool synced = true;
};

/// A store in one SQLite file, which any number of processes of one machine may share.
/// Opens nothing before `backend::open`.
std::unique_ptr<backend> sqlite_backend(sqlite_options options);

/// `sqlite:jobs.db`, `sqlite:/var/lib/app/jobs.db`: what follows the colon is the file's name, as
/// it is.
backend_scheme sqlite_scheme();

}  // namespace postlude

#endif
