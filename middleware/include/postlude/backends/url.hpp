// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_BACKENDS_URL_HPP
#define POSTLUDE_BACKENDS_URL_HPP

#include "postlude/backends/backend.hpp"

#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace postlude {

/// A kind of store that a URL can name. The header of each store has a function that returns its
/// own, such as `sqlite_scheme()`.
struct backend_scheme {
    std::vector<std::string> names;  ///< what stands before the colon, in lower case
    std::string example;             ///< of a URL, for a person who has got one wrong
    /// Throws system_error with errc::bad_option when the URL is wrong. Opens nothing.
    std::function<std::unique_ptr<backend>(std::string_view url)> make;
};

/// The store that a URL names, of those that the program has linked and passes here:
/// `backend_from_url(url, {sqlite_scheme(), postgres_scheme()})`.
///
/// Throws system_error with errc::bad_option when the URL is wrong or names another one; the
/// message has no password.
std::unique_ptr<backend> backend_from_url(std::string_view url,
                                          std::initializer_list<backend_scheme> schemes);

/// A URL as it may be shown: its user's password, and any `password=` among its parameters, is
/// "***".
std::string without_password(std::string_view url);

}  // namespace postlude

#endif
