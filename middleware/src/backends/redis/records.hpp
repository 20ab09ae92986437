// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_BACKENDS_REDIS_RECORDS_HPP
#define POSTLUDE_SRC_BACKENDS_REDIS_RECORDS_HPP

#include "backends/redis/lanes.hpp"
#include "postlude/backends/backend.hpp"

namespace postlude::detail::redis {

/// What is to wait for longer is refused.
inline constexpr std::chrono::milliseconds longest_delay = std::chrono::hours(24 * 36525);

/// 16 hexadecimal digits, so that the order of the texts is that of the numbers.
std::string write_id(job_id id);
job_id read_id(std::string_view text);
/// The start of such a text, which 4,096 neighbours have in common.
std::string page_of(job_id id);
inline bool same_page(job_id a, job_id b) noexcept { return (a ^ b) < 4096; }

/// 16 digits. @param time microseconds since 1970.
std::string write_time(std::int64_t time);

/// Without when and by whom it was made, with which its entry in the list begins.
std::string write_lane(const lane& l);
lane read_lane(std::string_view entry);

/// A job as its page has it, appended.
void write_body(command& to, const job_record& job, std::size_t lane, std::string_view created);

/// One of them, read.
struct body {
    job_record job;  ///< without kind, queue and priority
    store_time created{};
    std::size_t lane = 0;
};
body read_body(std::string_view text);

/// Failures and crashes, with which what is in `runs` begins.
void read_counts(std::string_view runs, job_record& job);

/// What `find` and `history` answer of a job, beginning at a place of their answer.
struct stored_job {
    stored_job(const reply_view& answer, std::size_t at);

    job_view view(const std::vector<lane>& lanes) const;
    std::vector<job_event> way() const;

    static constexpr std::size_t size = 7;

private:
    struct note;
    struct claim_entry;
    struct end_entry;
    std::vector<note> notes() const;
    claim_entry claim() const;
    end_entry end() const;

    std::string_view id_, body_, ended_, claimed_, owner_, score_, runs_;
};

}  // namespace postlude::detail::redis

#endif
