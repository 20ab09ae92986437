// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_BACKENDS_SQLITE_CHECKS_HPP
#define POSTLUDE_SRC_BACKENDS_SQLITE_CHECKS_HPP

#include <filesystem>
#include <string>
#include <vector>

namespace postlude::detail::sqlite {

/// Throws store_unavailable when the file can't be made or opened for writing, in words that
/// SQLite has not: it only knows that it can't.
void check_path(const std::filesystem::path& file);

/// What is wrong with keeping jobs on a file system of this type (statfs); empty when nothing is.
std::string unwise_file_system(long type);

/// The same for the one that a file or directory is on.
std::vector<std::string> place_warnings(const std::filesystem::path& file);

}  // namespace postlude::detail::sqlite

#endif
