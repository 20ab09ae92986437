// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/pool/detail/record.hpp"

namespace postlude::detail {

std::string task_slot::display_name() const {
    if (name) {
        return name;
    }
    const std::string_view path = where.file_name();
    const auto file = path.substr(path.find_last_of("/\\") + 1);
    return std::string(file) + ':' + std::to_string(where.line());
}

}  // namespace postlude::detail
