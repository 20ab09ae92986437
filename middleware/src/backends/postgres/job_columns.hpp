// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_BACKENDS_POSTGRES_JOB_COLUMNS_HPP
#define POSTLUDE_SRC_BACKENDS_POSTGRES_JOB_COLUMNS_HPP

#include "backends/postgres/values.hpp"
#include "postlude/backends/backend.hpp"

#include <optional>

namespace postlude::detail::postgres {

/// What is to wait for longer is refused.
inline constexpr std::chrono::milliseconds longest_delay = std::chrono::hours(24 * 36525);

/// A job's tags as `jobs.tags` holds them: a JSON array that a person can read.
std::string write_tags(const std::vector<std::string>& tags);
std::vector<std::string> read_tags(std::string_view text);

/// Whether a job can be stored at all: its id, its delay, and its texts.
bool can_be_stored(const put& p);

/// Jobs to be stored, a column each, for one INSERT.
class job_columns {
public:
    /// Whose claim of a job they are a follow-up of.
    struct parent {
        std::int64_t job;
        std::int64_t claim;
    };

    /// One that can be stored.
    void add(const put& p, bool claimed, std::int32_t lane, std::optional<parent> of = {});

    bool empty() const noexcept { return job_.size() == 0; }
    bool has_tags() const noexcept { return tag_job_.size() > 0; }
    bool has_ready() const noexcept { return ready_; }
    bool has_claimed() const noexcept { return claimed_; }
    /// Whether all are as most jobs come: ready at once, never tried, without tags.
    bool are_fresh() const noexcept { return fresh_; }

    /// $1 to $11.
    parameters jobs(std::int64_t claim, std::int32_t owner) const;
    /// $1 to $4 of `form::fresh`.
    parameters fresh_jobs() const;
    /// $12 and $13, or the first two of none.
    void add_tags_to(parameters& to) const;
    /// $14 and $15.
    void add_parents_to(parameters& to) const;

    enum class form {
        plain,       ///< jobs that are not there; fails when one is
        fresh,       ///< likewise, if they are; a tenth less work for the server
        careful,     ///< with tags; answers which were not there
        follow_ups,  ///< likewise, of those whose parent is held
    };
    /// The statement that stores what `jobs`, and the form's others, give, or `fresh_jobs`.
    static std::string insert(form which);

private:
    array job_ = array::of_int8();
    array delay_ = array::of_interval();
    array lane_ = array::of_int4();
    array failures_ = array::of_int4();
    array crashes_ = array::of_int4();
    array state_ = array::of_int2();
    array request_id_ = array::of_text();
    array tags_ = array::of_text();
    array arguments_ = array::of_text();
    array tag_job_ = array::of_int8();
    array tag_ = array::of_text();
    array parent_ = array::of_int8();
    array parent_claim_ = array::of_int8();
    bool ready_ = false;
    bool claimed_ = false;
    bool fresh_ = true;
};

}  // namespace postlude::detail::postgres

#endif
