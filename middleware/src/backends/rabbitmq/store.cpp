// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/rabbitmq/store.hpp"

#include "backends/rabbitmq/failure.hpp"

#include <algorithm>
#include <limits>

namespace postlude {

std::unique_ptr<backend> rabbitmq_backend(rabbitmq_options options) {
    return std::make_unique<detail::rabbitmq::store>(std::move(options));
}

backend_scheme rabbitmq_scheme() {
    return {.names = {"amqp", "amqps"},
            .example = "amqp://user:password@host/vhost",
            .make = [](std::string_view url) {
                rabbitmq_options options;
                options.url = url;
                return rabbitmq_backend(std::move(options));
            }};
}

namespace detail::rabbitmq {

namespace {

using std::chrono::milliseconds;

constexpr std::size_t longest_short_text = 255;
/// With the names of a queue around it.
constexpr std::size_t longest_kind = 128;

capabilities what_it_can() {
    capabilities can;
    can.sees_death = true;
    can.priorities = true;
    can.exact_order = false;
    can.unique_ids = false;
    can.commits_at_once = 2;  // while one is synced and confirmed, the next is on its way
    can.longest_delay = delays::longest;
    return can;
}

/// The broker ends a connection that it has not heard of for two of these. It looks once in each,
/// so up to three pass.
std::chrono::seconds heartbeat_for(milliseconds lease) {
    return std::clamp(std::chrono::duration_cast<std::chrono::seconds>(lease / 2),
                      std::chrono::seconds(10), std::chrono::seconds(300));
}

bool storable(const put& p) {
    const auto& j = p.job;
    return j.id != 0 && j.id <= std::numeric_limits<job_id>::max() / 2 && !p.claimed &&
           !j.kind.empty() && j.kind.size() <= longest_kind && j.priority < lane::of_suspects &&
           j.request_id.size() <= longest_short_text && p.delay <= delays::longest;
}

}  // namespace

std::string session::store(std::span<outgoing> all) {
    if (auto done = commits.store_if_free(all)) {
        return std::move(*done);
    }
    try {
        more_commits.connect();
    } catch (const boost::system::system_error&) {
        return commits.store(all);  // perhaps the broker allows this user no further connection
    }
    return more_commits.store(all);
}

opened store::open(const open_options& options) {
    asked_ = options;
    s_ = std::make_unique<session>(to_, names_, heartbeat_for(options.lease), asked_);
    try {
        s_->commits.connect();
        s_->claims.connect();
    } catch (...) {
        s_.reset();
        throw;
    }
    return {what_it_can(), s_->claims.owner(), {}};
}

store::~store() {
    if (!s_) {
        return;
    }
    try {
        give_everything_back();
    } catch (const std::exception&) {
        // The broker gives them to others when the connection ends, and a crash is counted.
    }
}

void store::give_everything_back() {
    // Not by ending the connection: the broker would count that as it counts a death.
    const auto jobs = s_->claims.take_all_out();
    std::vector<outgoing> all;
    std::vector<receipt> held;
    for (const auto& [of, job] : jobs) {
        all.push_back({.job = &job});
        held.push_back(of);
    }
    s_->commits.store(all);
    std::vector<receipt> stored;
    for (std::size_t i = 0; i != all.size(); ++i) {
        if (all[i].stored) {
            stored.push_back(held[i]);
        }
    }
    s_->claims.acknowledge(std::move(stored));
}

/// What one commit sends, and for what.
struct store::batch {
    commit_result result;
    std::deque<job_record> jobs;  ///< those that are neither the caller's nor held any more
    std::vector<outgoing> messages;
    struct settling {
        std::size_t settlement;
        job_record job;  ///< as it was held
        std::size_t first_message;
        std::size_t last_message;
    };
    std::deque<settling> settlings;
    std::vector<std::pair<std::size_t, std::size_t>> puts;  ///< a put, and its message
};

commit_result store::commit(std::span<const put> puts, std::span<const settlement> settlements) {
    batch b;
    b.result.puts.resize(puts.size());
    b.result.settlements.assign(settlements.size(), settled::lost_lease);
    add_puts(b, puts);
    if (!settlements.empty()) {
        s_->claims.notice_loss();
    }
    for (std::size_t i = 0; i != settlements.size(); ++i) {
        add_settlement(b, i, settlements[i]);
    }
    try {
        b.result.why_unknown = s_->store(b.messages);
    } catch (...) {
        for (auto& s : b.settlings) {
            s_->claims.put_back(settlements[s.settlement].of, std::move(s.job));
        }
        throw;
    }
    for (const auto& [index, message] : b.puts) {
        b.result.puts[index].what =
            b.messages[message].stored ? put_result::outcome::stored : put_result::outcome::unknown;
    }
    finish(b, settlements);
    return std::move(b.result);
}

void store::add_puts(batch& b, std::span<const put> puts) {
    for (std::size_t i = 0; i != puts.size(); ++i) {
        const auto& p = puts[i];
        if (storable(p)) {
            b.puts.emplace_back(i, b.messages.size());
            b.messages.push_back({&p.job, p.delay, p.dead_because ? "dead" : "",
                                  p.dead_because ? std::string_view(*p.dead_because) : ""});
        }
    }
}

void store::add_settlement(batch& b, std::size_t index, const settlement& s) {
    auto job = s_->claims.take_out(s.of);
    if (!job) {
        return;
    }
    const auto first = b.messages.size();
    auto& entry = b.settlings.emplace_back(batch::settling{index, std::move(*job), first, first});
    const auto delay = std::clamp(s.delay, milliseconds(0), delays::longest);
    if (s.what == verdict::give_back) {
        b.messages.push_back({.job = &entry.job, .delay = delay});
    } else if (s.what == verdict::retry || s.what == verdict::dead) {
        auto& next = b.jobs.emplace_back(entry.job);
        ++next.failures;
        b.messages.push_back(s.what == verdict::retry
                                 ? outgoing{.job = &next, .delay = delay}
                                 : outgoing{.job = &next, .ended = "dead", .reason = s.reason});
    }
    for (const auto& follow_up : s.follow_ups) {
        if (storable(follow_up)) {
            b.messages.push_back({.job = &follow_up.job, .delay = follow_up.delay});
        }
    }
    entry.last_message = b.messages.size();
}

void store::finish(batch& b, std::span<const settlement> settlements) {
    std::vector<receipt> settled_ones;
    std::vector<std::size_t> which;
    for (auto& s : b.settlings) {
        const auto of = settlements[s.settlement].of;
        const auto begin = b.messages.begin();
        const bool stored = std::all_of(begin + static_cast<std::ptrdiff_t>(s.first_message),
                                        begin + static_cast<std::ptrdiff_t>(s.last_message),
                                        [](const auto& m) { return m.stored; });
        if (stored) {
            settled_ones.push_back(of);
            which.push_back(s.settlement);
        } else {
            b.result.settlements[s.settlement] = settled::unknown;
            s_->claims.put_back(of, std::move(s.job));
        }
    }
    if (settled_ones.empty()) {
        return;
    }
    const auto answer =
        s_->claims.acknowledge(std::move(settled_ones)) ? settled::accepted : settled::unknown;
    for (const auto i : which) {
        b.result.settlements[i] = answer;
    }
}

std::vector<claimed_job> store::claim(std::span<const std::size_t> credits,
                                      milliseconds longest_wait) {
    const auto deadline = clock::now() + longest_wait;
    for (;;) {
        auto claimed = s_->claims.claim(credits);
        if (!claimed.empty() || longest_wait.count() <= 0) {
            return claimed;
        }
        if (s_->claims.interrupted() || clock::now() >= deadline) {
            return claimed;
        }
        s_->claims.wait(deadline);
        if (s_->claims.interrupted()) {
            return claimed;
        }
    }
}

std::vector<receipt> store::renew(std::span<const receipt> held) {
    s_->commits.keep_alive();
    s_->more_commits.keep_alive();
    s_->rest.keep_alive();
    s_->claims.keep_alive();
    return s_->claims.lost_of(held);
}

std::vector<rescued_job> store::rescue(std::size_t limit) { return s_->claims.take_rescued(limit); }

std::vector<queue_stats> store::stats() {
    std::vector<queue_stats> all;
    for (const auto& kind : asked_.kinds) {
        queue_stats s;
        s.kind = kind.kind;
        for (std::uint8_t p = 0; p != lane::count; ++p) {
            s.ready += s_->rest.waiting(names_.queue({kind.kind, p})).value_or(0);
        }
        all.push_back(std::move(s));
    }
    queue_stats ended;
    ended.dead = s_->rest.waiting(names_.dead()).value_or(0);
    all.push_back(std::move(ended));
    return all;
}

namespace {

[[noreturn]] void no_questions(const address& to) {
    fail(errc::not_supported, to.shown,
         "RabbitMQ can't be asked for single jobs; its management page shows the queues");
}

}  // namespace

std::vector<job_view> store::find(const job_query&) { no_questions(to_); }

std::vector<job_event> store::history(job_id) { return {}; }

std::vector<amended> store::amend(std::span<const job_id>, amendment) { no_questions(to_); }

}  // namespace detail::rabbitmq

}  // namespace postlude
