// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/sqlite/store.hpp"

#include "backends/sqlite/checks.hpp"
#include "backends/sqlite/failure.hpp"
#include "backends/sqlite/schema.hpp"

#include <boost/system/system_error.hpp>

#include <algorithm>
#include <thread>

namespace postlude {

std::unique_ptr<backend> sqlite_backend(sqlite_options options) {
    using namespace std::chrono_literals;
    const auto check = [](bool in_range, const char* why) {
        if (!in_range) {
            throw boost::system::system_error(make_error_code(errc::bad_option), why);
        }
    };
    check(options.busy_timeout >= 0ms && options.busy_timeout <= 1h,
          "sqlite_options::busy_timeout takes 0 to 1 h");
    check(options.poll >= 1ms && options.poll <= 24h, "sqlite_options::poll takes 1 ms to 24 h");
    check(options.longest_wal >= 64 * 1024, "sqlite_options::longest_wal takes 64 KiB at least");
    return std::make_unique<detail::sqlite::store>(std::move(options));
}

backend_scheme sqlite_scheme() {
    return {.names = {"sqlite"}, .example = "sqlite:jobs.db", .make = [](std::string_view url) {
                const auto file = url.substr(url.find(':') + 1);
                if (file.empty() || file.starts_with("//")) {
                    throw boost::system::system_error(
                        make_error_code(errc::bad_option),
                        "the job store's URL \"" + std::string(url) +
                            "\" names no file; it has the form sqlite:jobs.db or "
                            "sqlite:/var/lib/app/jobs.db");
                }
                return sqlite_backend({.file = file});
            }};
}

namespace detail::sqlite {

namespace {

/// Needs the file for itself for a moment, when it is not so already; SQLite does not wait for
/// that.
void use_write_ahead_log(connection& db, std::chrono::milliseconds busy_timeout) {
    const auto deadline = std::chrono::steady_clock::now() + busy_timeout;
    for (;;) {
        try {
            if (db.text("PRAGMA journal_mode = WAL") != "wal") {
                fail(errc::store_unavailable, db.file(),
                     "SQLite can't keep a write-ahead log there, which needs shared memory; put it "
                     "on a local disk");
            }
            return;
        } catch (const boost::system::system_error&) {
            const auto busy = (sqlite3_errcode(db.handle()) & 0xff) == SQLITE_BUSY;
            if (!busy || std::chrono::steady_clock::now() > deadline) {
                throw;
            }
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

sqlite_options checked(sqlite_options options) {
    check_path(options.file);
    return options;
}

capabilities what_it_can() {
    capabilities can;
    can.stored_as_claimed = true;
    can.atomic_follow_ups = true;
    can.leases = true;
    can.sees_death = true;
    can.exact_crash_counts = true;
    can.priorities = true;
    can.history = true;
    can.query = true;
    can.longest_delay = longest_delay;
    return can;
}

bool makes_ready(const settlement& s) {
    return s.what == verdict::retry || s.what == verdict::give_back || !s.follow_ups.empty();
}

}  // namespace

// DESIGN.md says of each setting what it risks.
writer_connection::writer_connection(const sqlite_options& options)
    : connection(options.file, options.busy_timeout) {
    check_identity(*this, migrations());
    execute("PRAGMA auto_vacuum = INCREMENTAL");
    use_write_ahead_log(*this, options.busy_timeout);
    execute(
        "PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -16000; PRAGMA temp_store = MEMORY");
    const auto limit = "PRAGMA journal_size_limit = " + std::to_string(options.longest_wal / 8);
    execute(limit.c_str());
    bring_up_to_date(*this, migrations());
    check_quickly(*this);
}

reader_connection::reader_connection(const sqlite_options& options)
    : connection(options.file, options.busy_timeout) {
    execute("PRAGMA query_only = ON; PRAGMA cache_size = -4000; PRAGMA temp_store = MEMORY");
}

session::session(const sqlite_options& options, const open_options& asked)
    : writer(checked(options)),
      lock(options.file),
      lanes(writer),
      jobs(writer, lanes),
      owners(writer, lock, asked.lease),
      claims(writer, lanes, asked),
      data_version(writer, "PRAGMA data_version"),
      reader(options),
      checkpoints(options, writer, write) {}

opened store::open(const open_options& options) {
    asked_ = options;
    s_ = std::make_unique<session>(options_, asked_);
    try {
        const std::lock_guard lock(s_->write);
        write(true, [&] {
            s_->owners.enter();
            return true;
        });
    } catch (...) {
        s_.reset();
        throw;
    }
    return {what_it_can(), s_->owners.self(), place_warnings(options_.file)};
}

store::~store() {
    if (!s_) {
        return;
    }
    try {
        give_everything_back();
    } catch (...) {
        // The lock goes with the session: others rescue the jobs, and count a crash.
    }
}

void store::give_everything_back() {
    const std::lock_guard lock(s_->write);
    write(true, [&] {
        const auto self = s_->owners.self();
        std::vector<std::pair<job_id, store_time>> held;
        statement query(s_->writer, "SELECT job, at FROM claimed WHERE owner = ?");
        query.bind(self);
        while (query.step()) {
            held.emplace_back(query.integer<job_id>(0), query.time(1));
        }
        const auto time = now();
        for (const auto& [id, claimed_at] : held) {
            if (const auto row = s_->jobs.read(id)) {
                s_->jobs.make_ready(*row);
            }
            s_->jobs.note(id, run_note::given_back, time, {self, claimed_at}, "the process ended");
            s_->jobs.unclaim(id);
        }
        s_->owners.leave(self);
        return true;
    });
}

commit_result store::commit(std::span<const put> puts, std::span<const settlement> settlements) {
    if (puts.empty() && settlements.empty()) {
        return {};
    }
    const std::lock_guard lock(s_->write);
    const auto claim = ++s_->claim_count;
    auto result = write(true, [&] {
        commit_result r;
        r.puts.reserve(puts.size());
        r.settlements.reserve(settlements.size());
        const auto time = now();
        for (const auto& p : puts) {
            r.puts.push_back(put_one(p, time, claim));
        }
        for (const auto& s : settlements) {
            r.settlements.push_back(settle_one(s, time));
        }
        return r;
    });
    auto more_to_take = std::ranges::any_of(puts, [](const put& p) { return !p.claimed; });
    for (const auto& s : settlements) {
        more_to_take |= let_go(s.of) || makes_ready(s);
    }
    if (more_to_take) {
        wake_.changed();
    }
    return result;
}

put_result store::put_one(const put& p, store_time time, std::uint64_t claim) {
    const fence f{p.job.id, s_->owners.self(), claim};
    if (p.claimed) {
        s_->owners.hold_lease();
    }
    if (!s_->jobs.insert(p, time, p.claimed ? &f : nullptr)) {
        return {};
    }
    return {put_result::outcome::stored, p.claimed ? receipt{f.job, f.claim} : receipt{}};
}

settled store::settle_one(const settlement& s, store_time time) {
    const fence f{s.of.a, s_->owners.self(), s.of.b};
    if (s.what == verdict::done) {
        if (!s_->jobs.finish(f, time)) {
            return settled::lost_lease;
        }
    } else {
        const auto claim = s_->jobs.release(f);
        if (!claim) {
            return settled::lost_lease;
        }
        settle_as(s, *claim, time);
    }
    for (const auto& next : s.follow_ups) {
        // Nobody could be told the receipt of one that is claimed.
        s_->jobs.insert(next, time, nullptr);
    }
    return settled::accepted;
}

void store::settle_as(const settlement& s, const last_claim& claim, store_time time) {
    auto& jobs = s_->jobs;
    const auto id = s.of.a;
    auto row = jobs.read(id);
    if (!row) {
        return;
    }
    if (s.what == verdict::withdrawn) {
        jobs.erase(id);
        return;
    }
    const auto failed = s.what == verdict::retry || s.what == verdict::dead;
    row->failures += failed ? 1 : 0;
    if (s.what == verdict::retry || s.delay.count() > 0) {
        row->run_at = time + s.delay;
    }
    // One that is given back keeps its place among those that wait.
    jobs.update(*row, failed ? unless_empty(s.reason) : std::nullopt);
    jobs.note(id, failed ? run_note::failed : run_note::given_back, time, claim, s.reason);
    if (s.what == verdict::dead) {
        jobs.end(id, job_state::dead, time, claim);
    } else {
        jobs.make_ready(*row);
    }
}

/// True when the process may take another suspect now.
bool store::let_go(const receipt& held) {
    if (s_->suspect != held) {
        return false;
    }
    s_->suspect.reset();
    return true;
}

}  // namespace detail::sqlite

}  // namespace postlude
