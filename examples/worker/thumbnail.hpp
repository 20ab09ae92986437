// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_EXAMPLES_WORKER_THUMBNAIL_HPP
#define POSTLUDE_EXAMPLES_WORKER_THUMBNAIL_HPP

#include <postlude/jobs/traits.hpp>

#include <boost/describe/class.hpp>

#include <string>

/// What both processes agree on: the contract, and nothing else.
struct make_thumbnail {
    std::string picture;
    unsigned width = 200;

    static constexpr postlude::job_traits job{.kind = "make_thumbnail",
                                              .stored = postlude::durability::durable};
};
BOOST_DESCRIBE_STRUCT(make_thumbnail, (), (picture, width))

#endif
