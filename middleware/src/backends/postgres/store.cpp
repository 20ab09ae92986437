// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/postgres/store.hpp"

#include "backends/postgres/checks.hpp"
#include "backends/postgres/schema.hpp"

#include <algorithm>

namespace postlude {

std::unique_ptr<backend> postgres_backend(postgres_options options) {
    auto where = detail::postgres::checked_place(options);
    return std::make_unique<detail::postgres::store>(std::move(options), std::move(where));
}

backend_scheme postgres_scheme() {
    return {
        .names = {"postgresql", "postgres"},
        .example = "postgresql://user:password@host/database",
        .make = [](std::string_view url) { return postgres_backend({.url = std::string(url)}); }};
}

namespace detail::postgres {

namespace {

constexpr int repetitions = 5;
/// What was sent on a connection that broke is carried out by then, or never.
constexpr std::chrono::hours longest_doubt{1};
/// Of a question against that of other calls.
constexpr int patience_for_questions = 6;

capabilities what_it_can(bool pooled) {
    capabilities can;
    can.stored_as_claimed = true;
    can.atomic_follow_ups = true;
    can.leases = true;
    can.sees_death = !pooled;
    can.exact_crash_counts = true;
    can.priorities = true;
    can.history = true;
    can.query = true;
    can.callers_transaction = true;
    can.longest_delay = longest_delay;
    return can;
}

// A claim is a statement of its own, so what it took is there as a whole, or not at all.
constexpr const char* give_jobs_back =
    "WITH held AS (DELETE FROM @claimed WHERE owner = $1::integer"
    " AND ($2::boolean OR claim = ANY($3::bigint[])) RETURNING job, claim, claimed_at),"
    " noted AS (INSERT INTO @runs(job, n, claimed_at, at, what, owner, reason)"
    " SELECT h.job, 1 + coalesce((SELECT max(r.n) FROM @runs r WHERE r.job = h.job), 0),"
    " h.claimed_at, now(), 2, $1::integer, CASE WHEN $2::boolean THEN 'the process ended'"
    " ELSE 'its claim was not answered' END FROM held h),"
    " listed AS (INSERT INTO @ready(lane, suspect, run_at, job)"
    " SELECT j.lane, j.crashes > 0, j.run_at, j.job FROM held h"
    " CROSS JOIN LATERAL (SELECT * FROM @jobs WHERE job = h.job OFFSET 0) j)"
    " SELECT claim FROM held";

/// DESIGN.md says of each setting what it is for.
std::vector<std::string> common_settings(std::chrono::milliseconds timeout) {
    return {"search_path=pg_catalog", "statement_timeout=" + std::to_string(timeout.count()),
            "idle_in_transaction_session_timeout=" + std::to_string(2 * timeout.count()),
            "jit=off"};
}

std::vector<std::string> settings_of_work(const place& where, bool synced) {
    auto settings = common_settings(where.timeout);
    for (const auto* one : {"enable_seqscan=off", "enable_bitmapscan=off", "enable_hashjoin=off",
                            "enable_mergejoin=off", "plan_cache_mode=force_generic_plan"}) {
        settings.emplace_back(one);
    }
    if (!synced) {
        settings.emplace_back("synchronous_commit=off");
    }
    return settings;
}

}  // namespace

session::session(place there, const open_options& options)
    : where(std::move(there)),
      give_back(where.sql(give_jobs_back)),
      lanes(where),
      owners(where, options.lease),
      writer(where, lanes, owners),
      claims(where, lanes, owners, options),
      commits(where, settings_of_work(where, true),
              [this](connection& db) {
                  lanes.forget();
                  owners.lock(db);
              }),
      claimed(where, settings_of_work(where, false),
              [this, claims = !options.kinds.empty()](connection& db) {
                  owners.lock(db);
                  if (claims && !where.pooled) {
                      db.listen(channel_of(where), std::to_string(owners.self()));
                  }
              }),
      kept(where, settings_of_work(where, true), [this](connection& db) { owners.lock(db); }),
      asked(where, common_settings(where.timeout * patience_for_questions), {},
            patience_for_questions) {}

opened store::open(const open_options& options) {
    asked_ = options;
    if (!where_.pooled) {
        connection first(where_, {});
        where_.pooled = is_pooled(first);
    }
    auto s = std::make_unique<session>(where_, options);
    bring_up_to_date(s->kept, s->where, migrations());
    auto warnings = warnings_of(s->kept, s->where, options_.old_snapshot);
    s->owners.enter(s->kept);
    s->commits.connect();
    s->claimed.connect();
    s_ = std::move(s);
    return {what_it_can(s_->where.pooled), static_cast<std::uint32_t>(s_->owners.self()),
            std::move(warnings)};
}

store::~store() {
    if (!s_) {
        return;
    }
    try {
        give_everything_back();
    } catch (...) {
        // Its locks go with the connections: others rescue the jobs, and count a crash.
    }
}

std::optional<command> store::give_back(bool all) {
    auto claims = array::of_int8();
    {
        const std::lock_guard lock(s_->doubts_mutex);
        if (s_->doubts.empty() && !all) {
            return std::nullopt;
        }
        for (const auto& d : s_->doubts) {
            claims.add(d.claim);
        }
    }
    parameters values;
    values.int4(s_->owners.self()).boolean(all).list(std::move(claims));
    return command{s_->give_back, std::move(values)};
}

void store::doubt(std::int64_t claim) {
    const std::lock_guard lock(s_->doubts_mutex);
    s_->doubts.push_back({claim, clock::now()});
}

void store::forget_doubts(const rows& given_back) {
    {
        const std::lock_guard lock(s_->doubts_mutex);
        std::erase_if(s_->doubts, [before = clock::now() - longest_doubt](const auto& d) {
            return d.since < before;
        });
        for (int i = 0; i < given_back.size(); ++i) {
            std::erase_if(s_->doubts,
                          [&](const auto& d) { return d.claim == given_back.int8(i, 0); });
        }
    }
    if (given_back.size() > 0) {
        wake_.changed();
    }
}

void store::give_everything_back() {
    const auto self = s_->owners.self();
    s_->kept.run({*give_back(true), s_->owners.leave(self), s_->writer.notify()});
}

commit_result store::commit(std::span<const put> puts, std::span<const settlement> settlements) {
    if (puts.empty() && settlements.empty()) {
        return {};
    }
    const std::lock_guard lock(s_->committing);
    auto result = commit_once(puts, settlements);
    for (std::size_t i = 0; i < settlements.size(); ++i) {
        if (result.settlements[i] != settled::unknown) {
            let_go(settlements[i].of);
        }
    }
    if (std::ranges::any_of(settlements, [](auto& s) { return s.what != verdict::done; })) {
        s_->claims.look_from_the_start();
    }
    const auto ready = [](const put& p) { return !p.claimed; };
    if (!settlements.empty() || std::ranges::any_of(puts, ready)) {
        wake_.changed();
    }
    return result;
}

commit_result store::commit_once(std::span<const put> puts,
                                 std::span<const settlement> settlements) {
    const auto claim = ++s_->claim_count;
    bool careful = false;
    for (int i = 0;; ++i) {
        try {
            return s_->writer.commit(s_->commits, puts, settlements, claim, careful);
        } catch (const refused& e) {
            s_->owners.forget();
            if (e.is_duplicate() && !careful) {
                careful = true;
            } else if (!e.may_be_repeated() || i >= repetitions) {
                throw;
            }
        } catch (const broken& e) {
            s_->owners.forget();
            if (!e.sent()) {
                throw;
            }
            if (std::ranges::any_of(puts, &put::claimed)) {
                doubt(claim);
            }
            return {std::vector<put_result>(puts.size(), {put_result::outcome::unknown, {}}),
                    std::vector<settled>(settlements.size(), settled::unknown), e.what()};
        }
    }
}

}  // namespace detail::postgres

}  // namespace postlude
