// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/redis/store.hpp"

#include "backends/redis/checks.hpp"
#include "backends/redis/records.hpp"

#include <boost/system/system_error.hpp>

#include <algorithm>

namespace postlude {

std::unique_ptr<backend> redis_backend(redis_options options) {
    return std::make_unique<detail::redis::store>(std::move(options));
}

backend_scheme redis_scheme() {
    return {.names = {"redis", "rediss"},
            .example = "redis://user:password@host:6379/0",
            .make = [](std::string_view url) {
                redis_options options;
                options.url = url;
                return redis_backend(std::move(options));
            }};
}

namespace detail::redis {

namespace {

capabilities what_it_can() {
    capabilities can;
    can.stored_as_claimed = true;
    can.atomic_follow_ups = true;
    can.leases = true;
    can.exact_crash_counts = true;
    can.priorities = true;
    can.history = true;
    can.query = true;
    can.longest_delay = longest_delay;
    return can;
}

bool can_store(const put& p) {
    return p.job.id != 0 && p.job.id <= INT64_MAX && p.job.priority <= 3 &&
           p.delay <= longest_delay;
}

std::string microseconds(std::chrono::milliseconds time) {
    return std::to_string(std::max<std::int64_t>(std::chrono::microseconds(time).count(), 0));
}

commit_result fate_unknown(std::span<const put> puts, std::span<const settlement> settlements,
                           std::uint64_t claim) {
    commit_result r;
    for (const auto& p : puts) {
        r.puts.push_back(
            {can_store(p) ? put_result::outcome::unknown : put_result::outcome::refused,
             p.claimed ? receipt{p.job.id, claim} : receipt{}});
    }
    r.settlements.assign(settlements.size(), settled::unknown);
    return r;
}

}  // namespace

session::session(const location& to, const open_options& asked, format known)
    : commits(to),
      claims(to),
      news(to),
      others(to),
      questions(to),
      owner(to, texts.enter, asked.lease, known, [this] { lanes.forget(); }),
      lanes(owner, texts.lane, to.key("lanes")),
      quarantine_after(asked.quarantine_after) {
    for (const auto& [kind, group] : asked.kinds) {
        groups.emplace(kind, group);
    }
}

opened store::open(const open_options& options) {
    auto s = std::make_unique<session>(to_, options, format_);
    const auto until = soon();
    auto& server = s->others.server;
    server.expect_primary(false);
    opened result;
    result.can = what_it_can();
    check_permissions(server, to_, until);
    s->owner.enter(server, until);
    s->lanes.refresh(server, until);
    result.owner = s->owner.number();
    result.warnings = warnings(server, until);
    s->has_news = s->news.subscribe(to_.key("wake"), until);
    if (!s->has_news) {
        result.warnings.push_back(
            std::string("this user may not listen on the channel ")
                .append(to_.key("wake"))
                .append(", so jobs of other processes are looked for every 100 ms: allow it with "
                        "ACL SETUSER and &")
                .append(to_.key("*")));
    }
    server.expect_primary(true);
    s_ = std::move(s);
    return result;
}

store::~store() {
    if (!s_) {
        return;
    }
    try {
        auto& server = s_->others.server;
        run(server, s_->texts.leave, soon(), [](command&, const std::string&) {});
    } catch (...) {
        // Its lease ends, and others rescue the jobs.
    }
}

/// Arranges a commit for the script, whose comment describes the sections.
struct store::batch_writer {
    command& c;
    const std::string& token;
    session& s;
    connection& by;
    deadline until;

    void write(std::span<const put> puts, std::span<const settlement> settlements,
               std::uint64_t claim) {
        c.add(s.owner.lease()).add(claim);
        write_puts("P", puts);
        for (auto rest = settlements; !rest.empty();) {
            const auto first = std::ranges::find_if_not(rest, is_plainly_done);
            const auto plain = static_cast<std::size_t>(first - rest.begin());
            if (plain > 0) {
                write_done(rest.first(plain));
                rest = rest.subspan(plain);
            } else {
                write_one(rest.front());
                rest = rest.subspan(1);
            }
        }
    }

private:
    static bool is_plainly_done(const settlement& one) {
        return one.what == verdict::done && one.follow_ups.empty();
    }
    void write_puts(std::string_view section, std::span<const put> puts) {
        std::size_t tags = 0;
        for (auto rest = puts; !rest.empty();) {
            const auto& first = rest.front();
            const auto other = std::ranges::find_if_not(
                rest, [&](const put& p) { return can_store(p) && go_together(first, p); });
            if (const auto n = static_cast<std::size_t>(other - rest.begin()); n > 0) {
                tags += write_section(section, rest.first(n));
                rest = rest.subspan(n);
            } else {
                rest = rest.subspan(1);  // it can't be stored
            }
        }
        if (tags > 0) {
            write_tags(puts, tags);
        }
    }
    static bool go_together(const put& a, const put& b) {
        return a.job.kind == b.job.kind && a.job.queue == b.job.queue &&
               a.job.priority == b.job.priority && a.job.crashes == b.job.crashes &&
               a.claimed == b.claimed && a.delay == b.delay;
    }
    /// @returns how many tags they have.
    std::size_t write_section(std::string_view section, std::span<const put> puts) {
        const auto& first = puts.front();
        const auto lane = s.lanes.number_of(first.job, token, by, until);
        c.add(section).add(puts.size());
        if (section == "P" && first.claimed) {
            c.add("=").extend(std::to_string(first.job.crashes)).extend(" ");
        } else {
            c.add(first.job.crashes > 0     ? "suspect:"
                  : first.delay.count() > 0 ? "ready:"
                                            : "fifo:");
        }
        c.extend(std::to_string(lane)).add(microseconds(first.delay));
        std::size_t tags = 0;
        for (const auto& p : puts) {
            c.add(write_id(p.job.id)).add(write_body(p.job, lane));
            tags += p.job.tags.size();
        }
        return tags;
    }
    void write_tags(std::span<const put> puts, std::size_t count) {
        c.add("T").add(count);
        for (const auto& p : puts) {
            for (const auto& tag : p.job.tags) {
                if (can_store(p)) {
                    c.add(write_id(p.job.id)).add(tag);
                }
            }
        }
    }
    void write_done(std::span<const settlement> done) {
        c.add("D").add(done.size());
        for (const auto& one : done) {
            c.add(write_id(one.of.a)).add(one.of.b);
        }
    }
    void write_one(const settlement& one) {
        c.add("S").add(1).add(write_id(one.of.a)).add(one.of.b);
        c.add(static_cast<int>(one.what) + 1).add(microseconds(one.delay)).add(one.reason);
        write_puts("F", one.follow_ups);
    }
};

commit_result store::commit(std::span<const put> puts, std::span<const settlement> settlements) {
    if (puts.empty() && settlements.empty()) {
        return {};
    }
    const std::lock_guard lock(s_->commits.mutex);
    const auto claim = ++s_->claim_count;
    const auto until = soon();
    try {
        return try_commit(puts, settlements, claim, until);
    } catch (const boost::system::system_error&) {
        // Ends of runs make room, so they must not wait for it with the puts.
        if (!s_->commits.server.was_full() || puts.empty() || settlements.empty()) {
            throw;
        }
    }
    auto r = try_commit({}, settlements, claim, until);
    // There may be room for them later, so they are not refused for good.
    r.puts = fate_unknown(puts, {}, claim).puts;
    return r;
}

/// As `commit_all`, which throws even when it may have been carried out.
commit_result store::try_commit(std::span<const put> puts, std::span<const settlement> settlements,
                                std::uint64_t claim, deadline until) {
    try {
        return commit_all(puts, settlements, claim, until);
    } catch (const boost::system::system_error&) {
        if (!s_->commits.server.in_doubt()) {
            throw;
        }
        s_->owner.in_doubt();
        return fate_unknown(puts, settlements, claim);
    }
}

commit_result store::commit_all(std::span<const put> puts, std::span<const settlement> settlements,
                                std::uint64_t claim, deadline until) {
    auto& server = s_->commits.server;
    const auto answer =
        run(server, s_->texts.commit, until, [&](command& c, const std::string& token) {
            batch_writer{c, token, *s_, server, until}.write(puts, settlements, claim);
        });
    const auto stored = answer[0].text();
    const auto accepted = answer[1].text();
    commit_result r;
    r.puts.reserve(puts.size());
    r.settlements.reserve(settlements.size());
    std::size_t i = 0;
    for (const auto& p : puts) {
        if (!can_store(p) || stored[i++] != '1') {
            r.puts.emplace_back();
        } else {
            r.puts.push_back(
                {put_result::outcome::stored, p.claimed ? receipt{p.job.id, claim} : receipt{}});
        }
    }
    for (const char c : accepted) {
        r.settlements.push_back(c == '1' ? settled::accepted : settled::lost_lease);
    }
    return r;
}

}  // namespace detail::redis

}  // namespace postlude
