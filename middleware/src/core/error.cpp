// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/core/error.hpp"

#include <string>

namespace postlude {

namespace {

class category final : public boost::system::error_category {
public:
    const char* name() const noexcept override { return "postlude"; }

    std::string message(int value) const override {
        switch (static_cast<errc>(value)) {
        case errc::full: return "the queue is full";
        case errc::stopped: return "the pool takes no new work";
        case errc::moved_from: return "the list of deferred work was moved from";
        case errc::unknown_queue: return "no such queue";
        case errc::bad_option: return "an option is out of its range";
        case errc::task_stopped: return "the task stopped when it was asked to";
        case errc::no_thread: return "the system refused a thread";
        case errc::bad_header:
            return "a field of the response, or its reason, holds a line end or a NUL";
        case errc::store_unavailable: return "the store can't be reached or written";
        case errc::store_timeout: return "the store has not confirmed in time";
        case errc::bad_store: return "the store can't be used";
        case errc::bad_kind: return "the kind of job can't be used";
        case errc::bad_arguments: return "the arguments of a job can't be read";
        case errc::not_supported: return "the store can't do that";
        }
        return "unknown error";
    }
};

}  // namespace

const boost::system::error_category& error_category() noexcept {
    static const category instance;
    return instance;
}

boost::system::error_code make_error_code(errc e) noexcept {
    return {static_cast<int>(e), error_category()};
}

}  // namespace postlude
