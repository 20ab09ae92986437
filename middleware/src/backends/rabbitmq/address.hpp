// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_BACKENDS_RABBITMQ_ADDRESS_HPP
#define POSTLUDE_SRC_BACKENDS_RABBITMQ_ADDRESS_HPP

#include "postlude/backends/rabbitmq.hpp"

#include <string>

namespace postlude::detail::rabbitmq {

/// What a URL and the options say, checked.
struct address {
    std::string shown;  ///< for people: the URL without its password
    std::string host;
    int port = 0;
    std::string user;
    std::string password;
    std::string vhost;
    bool tls = false;
    rabbitmq_options options;
};

/// Throws system_error with errc::bad_option.
address read_address(rabbitmq_options options);

}  // namespace postlude::detail::rabbitmq

#endif
