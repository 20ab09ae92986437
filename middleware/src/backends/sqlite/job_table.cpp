// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/sqlite/job_table.hpp"

#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

namespace postlude::detail::sqlite {

job_table::job_table(connection& db, lane_table& lanes)
    : lanes_(lanes),
      insert_job_(
          db,
          "INSERT INTO jobs(job, lane, created, run_at, failures, crashes, request_id, tags,"
          " arguments) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)"),
      insert_tag_(db, "INSERT INTO job_tags(tag, job) VALUES(?, ?) ON CONFLICT DO NOTHING"),
      insert_ready_(db, "INSERT INTO ready(lane, suspect, run_at, job) VALUES(?, ?, ?, ?)"),
      insert_claimed_(db, "INSERT INTO claimed(job, owner, claim, at) VALUES(?, ?, ?, ?)"),
      insert_ended_(db,
                    "INSERT INTO ended(job, state, at, owner, claimed_at) VALUES(?, ?, ?, ?, ?)"),
      insert_run_(
          db,
          "INSERT INTO runs(job, n, claimed_at, at, what, owner, reason) VALUES(?1,"
          " 1 + coalesce((SELECT max(n) FROM runs WHERE job = ?1), 0), ?2, ?3, ?4, ?5, ?6)"),
      finish_(db,
              "INSERT INTO ended(job, state, at, owner, claimed_at)"
              " SELECT job, 3, ?4, owner, at FROM claimed"
              " WHERE job = ?1 AND owner = ?2 AND claim = ?3"),
      unclaim_(db, "DELETE FROM claimed WHERE job = ?"),
      claim_at_(db, "SELECT at FROM claimed WHERE job = ? AND owner = ? AND claim = ?"),
      read_(db, "SELECT lane, run_at, failures, crashes FROM jobs WHERE job = ?"),
      update_(db,
              "UPDATE jobs SET run_at = ?2, failures = ?3, crashes = ?4,"
              " reason = coalesce(?5, reason) WHERE job = ?1"),
      delete_ready_(db,
                    "DELETE FROM ready WHERE lane = ? AND suspect = ? AND run_at = ? AND job = ?"),
      delete_ended_(db, "DELETE FROM ended WHERE job = ?"),
      tags_of_(db, "SELECT tags FROM jobs WHERE job = ?"),
      delete_tag_(db, "DELETE FROM job_tags WHERE tag = ? AND job = ?"),
      delete_runs_(db, "DELETE FROM runs WHERE job = ?"),
      delete_job_(db, "DELETE FROM jobs WHERE job = ?") {}

bool job_table::insert(const put& p, store_time now, const fence* claim) {
    const auto& job = p.job;
    if (job.id == 0 || job.id > INT64_MAX || p.delay > longest_delay) {
        return false;
    }
    const job_row row{job.id, lanes_.number_of(job), now + p.delay, job.failures, job.crashes};
    const auto tags = job.tags.empty() ? std::string() : write_tags(job.tags);
    insert_job_.bind(row.id, row.lane, now, row.run_at, row.failures, row.crashes,
                     unless_empty(job.request_id), unless_empty(tags), job.arguments);
    if (!insert_job_.run_unless_present()) {
        return false;
    }
    if (!job.tags.empty()) {
        insert_tags(job.id, job.tags);
    }
    if (claim) {
        insert_claimed_.bind(row.id, claim->owner, claim->claim, now).run();
    } else {
        make_ready(row);
    }
    return true;
}

void job_table::insert_tags(job_id id, const std::vector<std::string>& tags) {
    for (const auto& tag : tags) {
        insert_tag_.bind(tag, id).run();
    }
}

bool job_table::finish(const fence& claim, store_time now) {
    if (finish_.bind(claim.job, claim.owner, claim.claim, now).run() == 0) {
        return false;
    }
    unclaim(claim.job);
    return true;
}

std::optional<last_claim> job_table::release(const fence& claim) {
    claim_at_.bind(claim.job, claim.owner, claim.claim);
    if (!claim_at_.step()) {
        return std::nullopt;
    }
    const last_claim found{claim.owner, claim_at_.time(0)};
    claim_at_.reset();
    unclaim(claim.job);
    return found;
}

std::optional<job_row> job_table::read(job_id id) {
    read_.bind(id);
    if (!read_.step()) {
        return std::nullopt;
    }
    const job_row row{id, read_.integer(0), read_.time(1), read_.integer<unsigned>(2),
                      read_.integer<unsigned>(3)};
    read_.reset();
    return row;
}

void job_table::make_ready(const job_row& job) {
    insert_ready_.bind(job.lane, job.crashes > 0, job.run_at, job.id).run();
}

void job_table::end(job_id id, job_state state, store_time now, const last_claim& claim) {
    insert_ended_.bind(id, state, now, claim.owner, claim.at).run();
}

void job_table::take_from_ready(const job_row& job) {
    delete_ready_.bind(job.lane, job.crashes > 0, job.run_at, job.id).run();
}

void job_table::update(const job_row& job, std::optional<std::string_view> reason) {
    update_.bind(job.id, job.run_at, job.failures, job.crashes, reason).run();
}

void job_table::note(job_id id, run_note what, store_time now, const last_claim& claim,
                     std::string_view reason) {
    insert_run_.bind(id, claim.at, now, what, claim.owner, unless_empty(reason)).run();
}

void job_table::erase(job_id id) {
    std::vector<std::string> tags;
    if (tags_of_.bind(id).step()) {
        tags = read_tags(tags_of_.text(0));
    }
    tags_of_.reset();
    for (const auto& tag : tags) {
        delete_tag_.bind(tag, id).run();
    }
    delete_runs_.bind(id).run();
    delete_job_.bind(id).run();
}

std::string write_tags(const std::vector<std::string>& tags) {
    return boost::json::serialize(boost::json::array(tags.begin(), tags.end()));
}

std::vector<std::string> read_tags(std::string_view text) {
    if (text.empty()) {
        return {};
    }
    boost::json::parse_options options;
    options.allow_invalid_utf8 = true;
    boost::system::error_code error;
    const auto value = boost::json::parse(text, error, {}, options);
    const auto* array = value.if_array();
    if (error || !array) {
        return {std::string(text)};
    }
    std::vector<std::string> tags;
    for (const auto& tag : *array) {
        if (const auto* s = tag.if_string()) {
            tags.emplace_back(s->data(), s->size());
        }
    }
    return tags;
}

}  // namespace postlude::detail::sqlite
