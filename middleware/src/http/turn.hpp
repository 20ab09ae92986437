// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_HTTP_TURN_HPP
#define POSTLUDE_SRC_HTTP_TURN_HPP

#include "http/pace.hpp"
#include "http/send_ring.hpp"

#include <boost/asio/io_context.hpp>

#include <memory>
#include <vector>

namespace postlude::http::detail {

class session;

/// Serves together what one look at the system has brought, where one thread runs the event loop:
/// first all handlers, then all writes. A system call leaves little of the program in the
/// processor's caches; so each request's own code runs behind that of the others, not behind the
/// kernel's. And a peer on the same machine is woken once for several responses.
///
/// A response waits for the handlers of the others then, so this is for handlers that take no time:
/// when they did, each response is written at once for a while. Used by the loop's thread.
class turn {
public:
    turn();
    ~turn();

    /// Has `ready`, which has read bytes, served behind what `loop` has to do already.
    void add(std::shared_ptr<session> ready, const boost::asio::io_context::executor_type& loop);

    /// Before the loop is destroyed: lets go of those that it has not served.
    void clear() noexcept;

private:
    struct entry;

    void run();
    session_clock::time_point serve_together();
    session_clock::time_point serve_one_by_one();
    /// Sends what the system takes at once, of all answers.
    void send_together();

    std::vector<std::shared_ptr<session>> ready_;
    std::vector<std::shared_ptr<session>> taken_;  ///< of those, while they are served
    std::vector<entry> entries_;                   ///< of those, as many as are served together
    std::vector<send_ring::item> items_;
    send_ring ring_;
    unsigned slowness_ = 0;  ///< of the last turns
};

}  // namespace postlude::http::detail

#endif
