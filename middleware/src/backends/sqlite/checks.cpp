// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/sqlite/checks.hpp"

#include "backends/sqlite/failure.hpp"

#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>

namespace postlude::detail::sqlite {

namespace {

[[noreturn]] void unavailable(const std::filesystem::path& file, const std::string& why) {
    fail(errc::store_unavailable, file, why);
}

std::filesystem::path directory_of(const std::filesystem::path& file) {
    return file.has_parent_path() ? file.parent_path() : std::filesystem::path(".");
}

}  // namespace

void check_path(const std::filesystem::path& file) {
    std::error_code ignored;
    const auto directory = directory_of(file);
    if (file.empty()) {
        unavailable(file, "sqlite_options::file is empty; name a file");
    }
    if (!std::filesystem::is_directory(directory, ignored)) {
        unavailable(file, "there is no directory " + directory.string() + "; make it");
    }
    if (std::filesystem::is_directory(file, ignored)) {
        unavailable(file, "it is a directory; name a file in it");
    }
    if (std::filesystem::exists(file, ignored) && ::access(file.c_str(), R_OK | W_OK) != 0) {
        unavailable(file,
                    "it can't be written; give this process's user read and write permission");
    }
    if (::access(directory.c_str(), R_OK | W_OK | X_OK) != 0) {
        unavailable(file, "its directory " + directory.string() +
                              " can't be written, where SQLite needs files beside it; give this "
                              "process's user write permission");
    }
}

std::string unwise_file_system(long type) {
    // NFS, SMB, CIFS, SMB2, Coda, AFS, 9P, Ceph, Lustre, GFS2, OCFS2: from linux/magic.h and the
    // manual page of statfs.
    constexpr long network[] = {0x6969,     0x517b,     0xff534d42, 0xfe534d42,
                                0x73757245, 0x5346414f, 0x01021997, 0x00c36400,
                                0x0bd00bd0, 0x01161970, 0x7461636f};
    // The kernel's are 32 bits wide.
    type &= 0xffffffff;
    if (std::ranges::find(network, type) != std::end(network)) {
        return "is on a network file system, where SQLite's locks and shared memory can't be "
               "trusted: jobs may be lost or the file damaged; put it on a local disk";
    }
    if (type == 0x01021994 || type == 0x858458f6) {
        return "is on a file system in memory: its jobs are lost when the machine stops; put it on "
               "a "
               "disk";
    }
    return {};
}

std::vector<std::string> place_warnings(const std::filesystem::path& file) {
    struct statfs found{};
    if (::statfs(directory_of(file).c_str(), &found) != 0) {
        return {};
    }
    const auto wrong = unwise_file_system(static_cast<long>(found.f_type));
    if (wrong.empty()) {
        return {};
    }
    return {"the job store " + file.string() + " " + wrong};
}

}  // namespace postlude::detail::sqlite
