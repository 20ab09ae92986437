// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "pool/task_error.hpp"

#include "postlude/core/error.hpp"

#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>

#include <string_view>

namespace postlude::detail {

std::string sentence_of(const std::exception_ptr& error) {
    try {
        std::rethrow_exception(error);
    } catch (const std::exception& e) {
        const std::string_view what = e.what();
        return std::string(what.empty() ? "an exception that says nothing" : what);
    } catch (...) {
        return "something that is no std::exception";
    }
}

bool stopped_when_asked(const std::exception_ptr& error) noexcept {
    try {
        std::rethrow_exception(error);
    } catch (const boost::system::system_error& e) {
        return e.code() == errc::task_stopped || e.code() == boost::asio::error::operation_aborted;
    } catch (...) {
        return false;
    }
}

}  // namespace postlude::detail
