// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/redis/store.hpp"

#include "backends/redis/checks.hpp"
#include "backends/redis/records.hpp"

#include <boost/system/system_error.hpp>

#include <algorithm>
#include <charconv>
#include <ctime>
#include <functional>
#include <optional>
#include <set>
#include <utility>

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

capabilities what_it_can(bool syncs) {
    capabilities can;
    can.stored_as_claimed = true;
    can.atomic_follow_ups = true;
    can.leases = true;
    can.exact_crash_counts = true;
    can.priorities = true;
    can.history = true;
    can.query = true;
    can.longest_delay = longest_delay;
    // While the answers to one are read, the server has the next; but each would wait for a sync.
    can.commits_at_once = syncs ? 1 : 2;
    return can;
}

bool can_store(const put& p) {
    return p.job.id != 0 && p.job.id <= INT64_MAX && p.job.priority <= 3 &&
           p.delay <= longest_delay;
}

bool same_lane(const job_record& a, const job_record& b) {
    return a.kind == b.kind && a.queue == b.queue && a.priority == b.priority;
}

/// Those to be sent: a job whose id came before in the same commit is not.
std::vector<const put*> storable(std::span<const put> puts) {
    const auto id_of = [](const put& p) { return p.job.id; };
    const auto all_differ =
        std::ranges::adjacent_find(puts, std::greater_equal<>(), id_of) == puts.end();
    std::set<job_id> seen;
    std::vector<const put*> found;
    found.reserve(puts.size());
    for (const auto& p : puts) {
        if (can_store(p) && (all_differ || seen.insert(p.job.id).second)) {
            found.push_back(&p);
        }
    }
    return found;
}

std::string microseconds(std::chrono::milliseconds time) {
    return std::to_string(std::max<std::int64_t>(std::chrono::microseconds(time).count(), 0));
}

/// In microseconds.
std::int64_t time_of(connection& server, deadline until) {
    const auto answer = server.call(command({"TIME"}), until);
    std::int64_t seconds = 0;
    std::int64_t rest = 0;
    if (answer.size() == 2) {
        const auto [a, b] = std::pair(answer[0].text(), answer[1].text());
        std::from_chars(a.data(), a.data() + a.size(), seconds);
        std::from_chars(b.data(), b.data() + b.size(), rest);
    }
    return seconds * 1'000'000 + rest;
}

}  // namespace

std::int64_t server_clock::own() noexcept {
    timespec t{};
    ::clock_gettime(CLOCK_BOOTTIME, &t);  // goes on while the machine sleeps
    return std::int64_t{t.tv_sec} * 1'000'000 + t.tv_nsec / 1'000;
}

session::session(const location& to, const open_options& asked, format known)
    : commits(to),
      more_commits(to),
      claims(to),
      news(to),
      others(to),
      questions(to),
      owner(to, texts.enter, asked.lease, known),
      lanes(owner, texts.lane, to.key("lanes")),
      quarantine_after(asked.quarantine_after) {
    for (const auto& [kind, group] : asked.kinds) {
        groups.emplace(kind, group);
    }
}

void session::throw_refusal() {
    const std::lock_guard lock(refusal_mutex);
    if (const auto why = std::exchange(refusal, nullptr)) {
        std::rethrow_exception(why);
    }
}

opened store::open(const open_options& options) {
    auto s = std::make_unique<session>(to_, options, format_);
    const auto until = soon();
    auto& server = s->others.server;
    server.expect_primary(false);
    opened result;
    check_permissions(server, to_, until);
    s->owner.enter(server, until);
    s->lanes.refresh(server, until);
    result.owner = s->owner.number();
    s->clock.learn(time_of(server, until));
    const auto settings = read_settings(server, until);
    result.can = what_it_can(settings.empty() || syncs_always(settings));
    result.warnings = unwise(settings);
    // Who runs nothing has nothing to hear.
    if (!options.kinds.empty()) {
        s->hears = s->news.subscribe(to_.key("wake"), until);
    }
    if (s->hears == listening::not_allowed) {
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

/// Arranges a commit for the scripts, whose comments describe the sections.
struct store::batch_writer {
    session& s;
    const location& to;
    const std::string& token;
    std::uint64_t claim;
    lane_list_ptr lanes;
    std::string created = write_time(s.clock.now());

    using puts_view = std::span<const put* const>;

    /// What finds places for the jobs, what writes each page's, and what undoes that where it must.
    std::vector<command> store(puts_view puts) {
        std::vector<command> all{command({"EVAL", s.texts.put, "1", to.key("meta")})};
        begin(all[0]);
        sections(puts, [&](puts_view some, std::size_t lane) {
            all[0].add("P").add(some.size());
            where(all[0], *some.front(), some.front()->claimed, lane);
            auto& texts = all.emplace_back();
            texts.add("HSET").add(to.key("jobs:").append(page_of(some.front()->job.id)));
            for (const auto* const p : some) {
                const auto id = write_id(p->job.id);
                all[0].add(id);
                texts.add(id);
                write_body(texts, p->job, lane, created);
            }
        });
        tags(all[0], puts);
        all.push_back(command({"EVAL", s.texts.undo, "1", to.key("meta")}));
        return all;
    }

    command settle(std::span<const settlement> settlements) {
        command c;
        begin(c);
        for (auto rest = settlements; !rest.empty();) {
            const auto first = std::ranges::find_if_not(rest, is_plainly_done);
            const auto plain = static_cast<std::size_t>(first - rest.begin());
            if (plain > 0) {
                done(c, rest.first(plain));
                rest = rest.subspan(plain);
            } else {
                one(c, rest.front());
                rest = rest.subspan(1);
            }
        }
        return c;
    }

private:
    void begin(command& c) {
        c.add(s.owner.number()).add(token).add(s.owner.lease()).add(claim).add(created);
        c.add(lanes->size()).add(lanes->last());
    }
    static bool go_together(const put& a, const put& b) {
        return same_page(a.job.id, b.job.id) && same_lane(a.job, b.job) &&
               a.job.crashes == b.job.crashes && a.claimed == b.claimed && a.delay == b.delay;
    }
    template <class Write>
    void sections(puts_view rest, Write write) {
        while (!rest.empty()) {
            const auto& first = *rest.front();
            const auto other = std::ranges::find_if_not(
                rest, [&](const put* p) { return go_together(first, *p); });
            const auto n = static_cast<std::size_t>(other - rest.begin());
            write(rest.first(n), lanes->number_of(first.job).value());
            rest = rest.subspan(n);
        }
    }
    static void where(command& c, const put& p, bool claimed, std::size_t lane) {
        if (claimed) {
            c.add("=").extend(std::to_string(p.job.crashes)).extend(" ");
        } else {
            c.add(p.job.crashes > 0 ? "suspect:" : p.delay.count() > 0 ? "ready:" : "fifo:");
        }
        c.extend(std::to_string(lane)).add(microseconds(p.delay));
    }
    static void tags(command& c, puts_view puts) {
        std::size_t count = 0;
        for (const auto* const p : puts) {
            count += p->job.tags.size();
        }
        if (count == 0) {
            return;
        }
        c.add("T").add(count);
        for (const auto* const p : puts) {
            for (const auto& tag : p->job.tags) {
                c.add(write_id(p->job.id)).add(tag);
            }
        }
    }
    static bool is_plainly_done(const settlement& one) {
        return one.what == verdict::done && one.follow_ups.empty();
    }
    static void done(command& c, std::span<const settlement> done) {
        c.add("D").add(done.size());
        for (const auto& one : done) {
            c.add(write_id(one.of.a)).add(one.of.b);
        }
    }
    void one(command& c, const settlement& one) {
        c.add("S").add(1).add(write_id(one.of.a)).add(one.of.b);
        c.add(static_cast<int>(one.what) + 1).add(microseconds(one.delay)).add(one.reason);
        const auto puts = storable(one.follow_ups);
        sections(puts, [&](puts_view some, std::size_t lane) {
            c.add("F").add(some.size());
            // Nobody could be told the receipt of one that is claimed.
            where(c, *some.front(), false, lane);
            for (const auto* const p : some) {
                c.add(write_id(p->job.id));
                write_body(c, p->job, lane, created);
            }
        });
        tags(c, puts);
    }
};

/// A commit, and what the server has answered to either part.
struct store::parts {
    connection& by;
    std::span<const put> puts;
    std::span<const settlement> settlements;
    std::uint64_t claim;
    std::vector<const put*> sent = storable(puts);
    std::optional<std::string> stored = sent.empty() ? std::optional(std::string()) : std::nullopt;
    std::optional<std::string> accepted =
        settlements.empty() ? std::optional(std::string()) : std::nullopt;

    bool answered() const { return stored && accepted; }
    bool touched() const { return (stored && !sent.empty()) || (accepted && !settlements.empty()); }
    commit_result result() const {
        using outcome = put_result::outcome;
        commit_result r;
        r.puts.resize(puts.size());
        std::size_t i = 0;
        for (std::size_t k = 0; k < puts.size(); ++k) {
            if (i == sent.size() || sent[i] != &puts[k]) {
                continue;
            }
            const auto what = !stored               ? outcome::unknown
                              : (*stored)[i] == '1' ? outcome::stored
                                                    : outcome::refused;
            ++i;
            r.puts[k] = {what, puts[k].claimed && what != outcome::refused
                                   ? receipt{puts[k].job.id, claim}
                                   : receipt{}};
        }
        r.settlements.assign(settlements.size(), settled::unknown);
        for (std::size_t k = 0; accepted && k < settlements.size(); ++k) {
            r.settlements[k] = (*accepted)[k] == '1' ? settled::accepted : settled::lost_lease;
        }
        return r;
    }
};

commit_result store::commit(std::span<const put> puts, std::span<const settlement> settlements) {
    if (puts.empty() && settlements.empty()) {
        return {};
    }
    s_->throw_refusal();
    std::unique_lock lock(s_->commits.mutex, std::try_to_lock);
    if (!lock) {
        const std::lock_guard other(s_->more_commits.mutex);
        try {
            return commit_by(s_->more_commits.server, puts, settlements);
        } catch (const boost::system::system_error&) {
            if (s_->more_commits.server.is_open()) {
                throw;
            }
            lock.lock();  // perhaps the server has no room for another connection
        }
    }
    return commit_by(s_->commits.server, puts, settlements);
}

commit_result store::commit_by(connection& by, std::span<const put> puts,
                               std::span<const settlement> settlements) {
    const auto claim = ++s_->claim_count;
    const auto until = soon();
    try {
        return try_commit({by, puts, settlements, claim}, until);
    } catch (const boost::system::system_error&) {
        // Ends of runs make room, so they must not wait for it with the puts.
        if (!by.was_full() || puts.empty() || settlements.empty()) {
            throw;
        }
    }
    auto r = try_commit({by, {}, settlements, claim}, until);
    // There may be room for them later, so they are not refused for good.
    r.puts = parts{by, puts, {}, claim}.result().puts;
    return r;
}

/// Throws only when nothing of it was carried out.
commit_result store::try_commit(parts p, deadline until) {
    try {
        send(p, until);
    } catch (const boost::system::system_error& e) {
        if (!p.by.in_doubt() && !p.touched()) {
            throw;
        }
        if (e.code() == errc::bad_store) {
            const std::lock_guard lock(s_->refusal_mutex);
            s_->refusal = std::current_exception();
        }
        s_->owner.in_doubt();
    }
    return p.result();
}

void store::send(parts& p, deadline until) {
    for (int tries = 0; tries < 4; ++tries) {
        const auto done = as_owner(
            p.by, until, [&](const std::string& token) { return try_parts(p, token, until); });
        if (done) {
            return;
        }
    }
    to_.fail(errc::store_unavailable,
             "the server forgets its scripts or sets its clock back again and again");
}

/// Among which there is one for each of its jobs. All of one moment, so that the last of them
/// vouches for the others.
lane_list_ptr store::lanes_for(const parts& p, const std::string& token, deadline until) {
    auto lanes = s_->lanes.known();
    lane_list_ptr before;
    const job_record* last = nullptr;
    const auto have = [&](const put& one) {
        if (!can_store(one) || (last != nullptr && same_lane(*last, one.job))) {
            return;
        }
        last = &one.job;
        if (!lanes->number_of(one.job)) {
            lanes = s_->lanes.make(one.job, token, p.by, until);
        }
    };
    while (before != lanes) {
        before = lanes;
        last = nullptr;
        for (const auto* const one : p.sent) {
            have(*one);
        }
        for (const auto& one : p.settlements) {
            std::ranges::for_each(one.follow_ups, have);
        }
    }
    return lanes;
}

/// Sends what has no answer yet. False: something has to be sent again.
bool store::try_parts(parts& p, const std::string& token, deadline until) {
    auto& server = p.by;
    batch_writer w{*s_, to_, token, p.claim, lanes_for(p, token, until)};
    if (p.stored) {
        const auto answer = server.run(s_->texts.commit, w.settle(p.settlements), until);
        if (is_fine(answer, server)) {
            p.accepted = answer.text();
        }
        return p.answered();
    }
    auto all = w.store(p.sent);
    const auto count = all.size();
    if (!p.accepted) {
        all.push_back(server.prepare(s_->texts.commit, w.settle(p.settlements), until));
    }
    const auto answer = server.run_together(all, until);
    if (answer.size() > count && !answer[count].is_error()) {
        p.accepted = answer[count].text();
    }
    if (const auto puts = answer[0]; is_fine(puts, server)) {
        for (std::size_t i = 1; i < count; ++i) {
            is_fine(answer[i], server);
        }
        const auto time = puts.text().substr(0, puts.text().size() - p.sent.size());
        std::int64_t now = 0;
        std::from_chars(time.data(), time.data() + time.size(), now);
        s_->clock.learn(now);
        p.stored = puts.text().substr(time.size());
    }
    if (!p.accepted) {
        is_fine(answer[count], server);
    }
    return p.answered();
}

/// False when that part has to be sent again.
bool store::is_fine(const reply_view& answer, connection& by) {
    if (!answer.is_error()) {
        return true;
    }
    const auto error = answer.text();
    if (error.starts_with("POSTLUDEOWNER")) {
        throw owner_lost();
    }
    if (error.starts_with("POSTLUDECLOCK ")) {
        std::int64_t now = 0;
        std::from_chars(error.data() + error.find(' ') + 1, error.data() + error.size(), now);
        s_->clock.correct(now);
    } else if (error.starts_with("POSTLUDELANES")) {
        s_->lanes.forget();
    } else if (error.starts_with("NOSCRIPT")) {
        s_->texts.commit.set_name({});
    } else {
        by.doubt();
        to_.refuse(error);
    }
    return false;
}

}  // namespace detail::redis

}  // namespace postlude
