// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_POOL_TASK_ERROR_HPP
#define POSTLUDE_SRC_POOL_TASK_ERROR_HPP

#include <exception>
#include <string>

namespace postlude::detail {

/// What an exception says, for a log line or the reason of a failure; never empty.
std::string sentence_of(const std::exception_ptr& error);

/// Whether a run ended because it was asked to: at a checkpoint, or by its cancellation.
bool stopped_when_asked(const std::exception_ptr& error) noexcept;

}  // namespace postlude::detail

#endif
