// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_JOBS_DETAIL_ARGUMENT_DOCUMENT_HPP
#define POSTLUDE_JOBS_DETAIL_ARGUMENT_DOCUMENT_HPP

#include <boost/json/monotonic_resource.hpp>
#include <boost/json/value.hpp>

#include <array>
#include <string_view>

namespace postlude::detail {

/// JSON that was parsed, in place where it is small. Of members with the same name the last one
/// counts.
class argument_document {
public:
    /// Throws arguments_error for what is no JSON, with the offset, and for numbers that no double
    /// can hold.
    explicit argument_document(std::string_view text);
    argument_document(const argument_document&) = delete;
    argument_document& operator=(const argument_document&) = delete;

    const boost::json::value& root() const noexcept { return root_; }

private:
    std::array<unsigned char, 2048> buffer_;
    boost::json::monotonic_resource memory_{buffer_.data(), buffer_.size()};
    // Not in braces, which would make it a list.
    boost::json::value root_ = boost::json::value(boost::json::storage_ptr(&memory_));
};

}  // namespace postlude::detail

#endif
