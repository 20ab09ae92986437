// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_JOBS_DETAIL_ARGUMENT_PATH_HPP
#define POSTLUDE_JOBS_DETAIL_ARGUMENT_PATH_HPP

#include <boost/json/fwd.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace postlude::detail {

/// Objects and arrays within each other.
inline constexpr std::size_t most_argument_depth = 32;

/// Which member is being read or written. It refers to its parent and its name, and finds out what
/// it is called only when that is asked for.
class argument_path {
public:
    /// The arguments as a whole.
    /// @param secret members, whose values no error may show.
    explicit argument_path(std::span<const std::string_view> secret = {}) noexcept
        : secret_(secret) {}

    argument_path member(std::string_view name) const noexcept { return {*this, name, false, 0}; }
    argument_path item(std::size_t index) const noexcept { return {*this, {}, true, index}; }

    /// How many objects and arrays it is within.
    std::size_t depth() const noexcept { return depth_; }

    struct description {
        std::string text;     ///< `the arguments`, or `member "items[3].price"`
        bool secret = false;  ///< then the text ends with the secret member
    };
    description describe() const;

private:
    argument_path(const argument_path& parent, std::string_view name, bool is_item,
                  std::size_t index) noexcept
        : parent_(&parent),
          name_(name),
          index_(index),
          depth_(parent.depth_ + 1),
          is_item_(is_item) {}

    const argument_path* parent_ = nullptr;
    std::string_view name_;
    std::size_t index_ = 0;
    std::size_t depth_ = 0;
    std::span<const std::string_view> secret_;  ///< of the arguments as a whole
    bool is_item_ = false;
};

/// Throws arguments_error: the path, and the sentence.
[[noreturn]] void fail_argument(const argument_path&, std::string_view sentence);
/// Expected this, found a string.
[[noreturn]] void fail_kind(const argument_path&, std::string_view expected,
                            const boost::json::value& found);
/// Expected this, found another string, which is not shown.
[[noreturn]] void fail_string(const argument_path&, std::string_view expected);
/// Expected this, found that number.
[[noreturn]] void fail_number(const argument_path&, std::string_view expected,
                              const boost::json::value& found);

/// For another object or array at this place; refuses what could not be read back.
void check_depth(const argument_path&);

}  // namespace postlude::detail

#endif
