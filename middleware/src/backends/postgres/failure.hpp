// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_BACKENDS_POSTGRES_FAILURE_HPP
#define POSTLUDE_SRC_BACKENDS_POSTGRES_FAILURE_HPP

#include "postlude/core/error.hpp"

#include <boost/system/system_error.hpp>

#include <string>
#include <string_view>

namespace postlude::detail::postgres {

/// The connection broke, or did not answer in time.
class broken : public boost::system::system_error {
public:
    broken(const std::string& text, bool sent)
        : system_error(make_error_code(errc::store_unavailable), text), sent_(sent) {}
    /// Whether what was asked may have been done all the same.
    bool sent() const noexcept { return sent_; }

private:
    bool sent_;
};

/// The server has answered with an error, and has changed nothing.
class refused : public boost::system::system_error {
public:
    refused(errc code, const std::string& text, std::string state)
        : system_error(make_error_code(code), text), state_(std::move(state)) {}
    /// SQLSTATE, as appendix A of PostgreSQL's manual lists them.
    const std::string& state() const noexcept { return state_; }
    bool is_duplicate() const noexcept { return state_ == "23505"; }
    /// A deadlock, or another that is gone when it is done again.
    bool may_be_repeated() const noexcept { return state_ == "40P01" || state_ == "40001"; }

private:
    std::string state_;
};

/// Every error of a store begins with its URL, without the password: a process may have several.
std::string sentence(std::string_view store, std::string_view why);
[[noreturn]] void fail(errc code, std::string_view store, std::string_view why);

/// What the server has answered, in words that say what to do.
refused make_refused(std::string_view store, std::string_view state, std::string_view said);

/// The SQLSTATE in what libpq says of a connection that was not made, with verbose errors; empty
/// when the server had no part in it.
std::string state_in(std::string_view message);
/// Its first sentence without the SQLSTATE.
std::string words_in(std::string_view message);

}  // namespace postlude::detail::postgres

#endif
