// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_JOBS_TRAITS_HPP
#define POSTLUDE_JOBS_TRAITS_HPP

#include "postlude/jobs/retry_policy.hpp"

#include <boost/describe/members.hpp>

#include <array>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <string_view>

namespace postlude {

/// Where a job of a kind is kept between its registration and its end.
enum class durability : std::uint8_t {
    /// In memory alone: lost when the process ends before it has run.
    memory = 1,
    /// In memory while there is room, and lost when the process dies meanwhile. In the store when
    /// there is none, when the job has to wait for a retry or a delay, when other processes run it,
    /// and at shutdown. Without a store it is of memory alone.
    spill = 2,
    /// In the store before the first byte of the response is written.
    durable = 3,
};

/// The contract of a kind of job. It stands with the arguments, as
/// `static constexpr postlude::job_traits job{.kind = "welcome_mail", .queue = "mail"};`
struct job_traits {
    /// The kind's name in the store, in logs and metrics; 1 to 64 letters, digits, or one of
    /// `_-.:`. Jobs outlive a deploy, so it must never change; the name of the type may.
    std::string_view kind;
    /// Names that the kind had before. Jobs stored under them are run as this kind.
    std::array<std::string_view, 4> former{};
    /// The pool's queue that runs it.
    std::string_view queue = "default";
    durability stored = durability::spill;
    /// How often it is tried before it is dead; 1 to 1,000. 0 takes 20, or 3 for `memory`.
    unsigned attempts = 0;
    retry_policy retry{};
    /// A run that takes longer is reported and asked to stop; 0 takes the queue's limit.
    std::chrono::milliseconds run_limit{0};
    /// 0 is taken first, 3 last.
    std::uint8_t priority = 1;
    /// Members whose values no error shows, and which `postlude::redacted` replaces; a dotted path
    /// names a member of a member. The store, its views and `find` have them in clear.
    std::array<std::string_view, 8> secret{};

    constexpr unsigned most_attempts() const noexcept {
        return attempts != 0 ? attempts : stored == durability::memory ? 3 : 20;
    }
};

/// A described struct with a `job_traits job` of its own: what `enqueue` takes.
template <class T>
concept job_type = std::copy_constructible<T> && std::default_initializable<T> &&
                   boost::describe::has_describe_members<T>::value && requires {
                       { T::job } -> std::convertible_to<const job_traits&>;
                   };

}  // namespace postlude

#endif
