// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/dispatch/dispatcher.hpp"

#include <boost/system/system_error.hpp>

#include <utility>

namespace postlude {

dispatcher::dispatcher(dispatcher_options options)
    : pool_(std::move(options.pool)),
      lists_(std::make_shared<detail::release_lists>(pool_)),
      retry_after_(options.retry_after) {
    if (retry_after_.count() < 1 || retry_after_.count() > 3'600) {
        throw boost::system::system_error(
            errc::bad_option, "dispatcher_options::retry_after is " +
                                  std::to_string(retry_after_.count()) + " s; it takes 1 to 3600");
    }
}

dispatcher::~dispatcher() { lists_->flush_all(); }

drain_report dispatcher::shutdown(std::chrono::milliseconds deadline) {
    // A loop that no longer runs will not flush its list.
    lists_->flush_all();
    return pool_.drain(deadline);
}

}  // namespace postlude
