// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_BACKENDS_RABBITMQ_HPP
#define POSTLUDE_BACKENDS_RABBITMQ_HPP

#include "postlude/backends/url.hpp"

#include <chrono>
#include <memory>
#include <string>

namespace postlude {

struct rabbitmq_options {
    /// `amqp://user:password@host:port/vhost`, or `amqps://` for TLS. Without a path the virtual
    /// host is "/". What follows may stand in it as parameters, by the same names:
    /// `amqps://u:p@broker/jobs?prefix=shop&ca_file=/etc/ssl/broker.pem`.
    std::string url;
    /// What the names of all queues and exchanges begin with: 1 to 60 of a-z, A-Z, 0-9, _ and -.
    std::string prefix = "postlude";
    /// How long the broker may take to connect, and to answer: 100 ms to 10 min.
    std::chrono::milliseconds timeout{5'000};
    /// How old the knowledge that a queue is empty may get, where nobody has said otherwise: jobs
    /// of other programs, and those whose delay is over, may wait for so long. 1 ms to 1 h.
    std::chrono::milliseconds poll{100};
    /// Whose certificates are trusted: a PEM file.
    std::string ca_file = "/etc/ssl/certs/ca-certificates.crt";
    /// false: any certificate will do, for any name. Who sits in between can read and change all.
    bool verify = true;
};

/// A store in the quorum queues of RabbitMQ 3.10 or later. It can't be asked for single jobs, and
/// keeps no history; middleware/DESIGN.md has the format, for programs in other languages.
/// Jobs that are dead or quarantined stay in the queue `PREFIX.dead`: `retention` is not looked at,
/// a policy of the broker limits it (`max-length`, `message-ttl`). Connects to nothing before
/// `backend::open`. A connection that is lost comes back by itself, with the next call; each job
/// that was held then counts a crash.
///
/// Throws system_error with errc::bad_option when the URL or an option is wrong.
std::unique_ptr<backend> rabbitmq_backend(rabbitmq_options options);

/// `amqp://user:password@host/vhost?prefix=postlude`, `amqps://...`.
backend_scheme rabbitmq_scheme();

}  // namespace postlude

#endif
