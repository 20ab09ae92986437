// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/postgres/job_columns.hpp"

#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

namespace postlude::detail::postgres {

std::string write_tags(const std::vector<std::string>& tags) {
    boost::json::array all;
    for (const auto& tag : tags) {
        all.emplace_back(storable(tag));
    }
    return boost::json::serialize(all);
}

std::vector<std::string> read_tags(std::string_view text) {
    std::vector<std::string> tags;
    if (text.empty()) {
        return tags;
    }
    boost::system::error_code error;
    const auto value = boost::json::parse(text, error);
    const auto* array = value.if_array();
    if (error || !array) {
        tags.emplace_back(text);  // a person has written it
        return tags;
    }
    for (const auto& tag : *array) {
        if (const auto* s = tag.if_string()) {
            tags.emplace_back(s->data(), s->size());
        }
    }
    return tags;
}

bool can_be_stored(const put& p) {
    const auto& job = p.job;
    return job.id != 0 && job.id <= INT64_MAX && p.delay <= longest_delay &&
           is_storable(job.arguments) && is_storable(job.kind) && is_storable(job.queue);
}

void job_columns::add(const put& p, bool claimed, std::int32_t lane, std::optional<parent> of) {
    const auto& job = p.job;
    const auto id = static_cast<std::int64_t>(job.id);
    job_.add(id);
    delay_.add(std::chrono::microseconds(p.delay));
    lane_.add(lane);
    failures_.add(static_cast<std::int32_t>(job.failures));
    crashes_.add(static_cast<std::int32_t>(job.crashes));
    state_.add(static_cast<std::int16_t>(claimed ? job_state::claimed : job_state::ready));
    is_storable(job.request_id) ? request_id_.add_unless_empty(job.request_id)
                                : request_id_.add(storable(job.request_id));
    job.tags.empty() ? tags_.add_null() : tags_.add(write_tags(job.tags));
    arguments_.add(job.arguments);
    for (const auto& tag : job.tags) {
        tag_job_.add(id);
        tag_.add(storable(tag));
    }
    if (of) {
        parent_.add(of->job);
        parent_claim_.add(of->claim);
    }
    (claimed ? claimed_ : ready_) = true;
    fresh_ &= !claimed && p.delay.count() == 0 && job.failures == 0 && job.crashes == 0 &&
              job.tags.empty();
}

parameters job_columns::jobs(std::int64_t claim, std::int32_t owner) const {
    parameters values;
    for (const auto* column : {&job_, &delay_, &lane_, &failures_, &crashes_, &state_, &request_id_,
                               &tags_, &arguments_}) {
        values.list(*column);
    }
    values.int8(claim).int4(owner);
    return values;
}

parameters job_columns::fresh_jobs() const {
    parameters values;
    values.list(job_).list(lane_).list(request_id_).list(arguments_);
    return values;
}

void job_columns::add_tags_to(parameters& to) const { to.list(tag_job_).list(tag_); }
void job_columns::add_parents_to(parameters& to) const { to.list(parent_).list(parent_claim_); }

std::string job_columns::insert(form which) {
    if (which == form::fresh) {
        return "WITH p AS MATERIALIZED (SELECT p.* FROM unnest($1::bigint[], $2::integer[],"
               " $3::text[], $4::text[]) p(job, lane, request_id, arguments)),"
               " listed AS (INSERT INTO @ready(lane, suspect, run_at, job)"
               " SELECT lane, false, now(), job FROM p)"
               " INSERT INTO @jobs(job, created, run_at, lane, failures, crashes, request_id,"
               " arguments) SELECT job, now(), now(), lane, 0, 0, request_id, arguments FROM p";
    }
    std::string names = "p(job, delay, lane, failures, crashes, state, request_id, tags, arguments";
    std::string sql =
        "WITH p AS MATERIALIZED (SELECT p.* FROM unnest($1::bigint[], $2::interval[],"
        " $3::integer[], $4::integer[], $5::integer[], $6::smallint[], $7::text[], $8::text[],"
        " $9::text[]";
    if (which == form::follow_ups) {
        // The parent is locked before its verdict, which then finds it held by this transaction.
        sql.append(", $14::bigint[], $15::bigint[]) ").append(names);
        sql.append(
            ", parent, parent_claim) CROSS JOIN LATERAL (SELECT FROM @claimed h"
            " WHERE h.job = p.parent AND h.owner = $11::integer AND h.claim = p.parent_claim"
            " FOR UPDATE) h), ");
    } else {
        sql.append(") ").append(names).append(")), ");
    }
    const std::string insert =
        "INSERT INTO @jobs(job, created, run_at, lane, failures, crashes, request_id, tags,"
        " arguments) SELECT job, now(), now() + delay, lane, failures, crashes, request_id, tags,"
        " arguments FROM p";
    std::string from = " FROM p";
    if (which != form::plain) {
        sql.append("stored AS (").append(insert).append(" ON CONFLICT DO NOTHING RETURNING job), ");
        from.append(" JOIN stored USING (job)");
    }
    sql.append(
           "listed AS (INSERT INTO @ready(lane, suspect, run_at, job) SELECT lane, crashes > 0,"
           " now() + delay, job")
        .append(from)
        .append(
            " WHERE state = 1), taken AS (INSERT INTO @claimed(job, owner, claim, claimed_at,"
            " lane) SELECT job, $11::integer, $10::bigint, now(), lane")
        .append(from)
        .append(" WHERE state = 2)");
    if (which == form::plain) {
        return sql.append(" ").append(insert);
    }
    return sql.append(
        ", tagged AS (INSERT INTO @job_tags(job, tag) SELECT DISTINCT t.job, t.tag"
        " FROM unnest($12::bigint[], $13::text[]) t(job, tag) JOIN stored s ON s.job = t.job"
        " ON CONFLICT DO NOTHING) SELECT job FROM stored");
}

}  // namespace postlude::detail::postgres
