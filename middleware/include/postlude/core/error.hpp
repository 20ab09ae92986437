// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_CORE_ERROR_HPP
#define POSTLUDE_CORE_ERROR_HPP

#include <boost/system/error_code.hpp>

namespace postlude {

/// Why Postlude did not do what it was asked. The numbers are stable.
enum class errc {
    /// The queue holds as much as its capacity allows. Nothing was registered.
    full = 1,
    /// The pool takes no new work: it drains or has been closed. Nothing was registered.
    stopped = 2,
    /// The list was moved from; it has no request to belong to. Nothing was registered.
    moved_from = 3,
    /// No queue of that name was configured.
    unknown_queue = 4,
    /// An option is out of its range; the message names it.
    bad_option = 5,
    /// A task left at a checkpoint because it had been asked to stop.
    task_stopped = 6,
    /// The system refused a thread.
    no_thread = 7,
    /// A field of a response, or its reason, holds a CR, LF or NUL, which could forge another
    /// field. Nothing was written.
    bad_header = 8,
    /// The store can't be reached or written at the moment; a later try may work. Nothing was
    /// stored, or, where only the answer was lost, it is withdrawn as after `store_timeout`.
    store_unavailable = 9,
    /// The store has not confirmed in time. Whether the job is stored is not known; if it is, it is
    /// withdrawn as soon as the store answers, unless somebody has taken it before. RabbitMQ can't
    /// take it out again: there it runs, and a warning names it.
    store_timeout = 10,
    /// The store can't be used: damaged, of a newer version, or no store of Postlude's. The message
    /// says what to do.
    bad_store = 11,
    /// A kind of job can't be used so: its contract is wrong, it was registered twice or not at
    /// all, or it needs a store and there is none. The message names it.
    bad_kind = 12,
    /// The arguments of a job can't be read or written; the message names the member.
    bad_arguments = 13,
    /// The store has not the capability for what was asked; nothing was changed.
    not_supported = 14,
};

/// The category of `errc`; its name is "postlude".
const boost::system::error_category& error_category() noexcept;

/// Found by argument-dependent lookup, so that `errc` converts to `error_code`.
boost::system::error_code make_error_code(errc) noexcept;

}  // namespace postlude

template <>
struct boost::system::is_error_code_enum<postlude::errc> : std::true_type {};

#endif
