// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/redis/records.hpp"
#include "backends/redis/store.hpp"

#include <boost/system/system_error.hpp>

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>

namespace postlude::detail::redis {

namespace {

/// How often to look where nobody tells.
constexpr std::chrono::milliseconds poll_without_news{100};
constexpr std::uint8_t priorities = 4;

}  // namespace

alarm::alarm() : fd_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    if (fd_ < 0) {
        throw std::system_error(errno, std::generic_category(), "eventfd");
    }
}

alarm::~alarm() { ::close(fd_); }

void alarm::ring() noexcept {
    const std::uint64_t one = 1;
    // It can fail only when it has rung already.
    [[maybe_unused]] const auto n = ::write(fd_, &one, sizeof one);
}

bool alarm::take() noexcept {
    std::uint64_t count = 0;
    return ::read(fd_, &count, sizeof count) == sizeof count;
}

struct store::attempt {
    std::vector<claimed_job> jobs;
    std::chrono::microseconds next_due{-1};
};

std::vector<claimed_job> store::claim(std::span<const std::size_t> credits,
                                      std::chrono::milliseconds longest_wait) {
    using std::chrono::steady_clock;
    const std::lock_guard lock(s_->claims.mutex);
    const auto deadline = steady_clock::now() +
                          std::min<std::chrono::milliseconds>(longest_wait, std::chrono::hours(1));
    for (;;) {
        if (alarm_.take()) {
            return {};
        }
        const auto until = soon();
        if (longest_wait.count() > 0) {
            listen(until);
        } else {
            s_->news.drain();
        }
        auto found = try_claim(credits, until);
        if (!found.jobs.empty() || !wait_for_jobs(found.next_due, deadline)) {
            return std::move(found.jobs);
        }
    }
}

/// Before looking for jobs, so that none is missed that comes after the look.
void store::listen(deadline until) {
    if (s_->hears != listening::not_allowed) {
        s_->news.drain();
        s_->hears = s_->news.subscribe(to_.key("wake"), until);
    }
}

/// True when it is worth looking again, false at the deadline or when interrupted.
bool store::wait_for_jobs(std::chrono::microseconds next_due, deadline until) {
    using std::chrono::steady_clock;
    const auto now = steady_clock::now();
    if (now >= until) {
        return false;
    }
    const bool hears = s_->hears == listening::yes;
    auto wake = std::min(until, now + (hears ? options_.poll : poll_without_news));
    if (next_due.count() >= 0 && next_due < wake - now) {
        wake = now + next_due;
    }
    const auto wait = std::chrono::ceil<std::chrono::milliseconds>(wake - now);
    std::array<pollfd, 2> both{
        {{alarm_.descriptor(), POLLIN, 0}, {hears ? s_->news.descriptor() : -1, POLLIN, 0}}};
    ::poll(both.data(), both.size(), static_cast<int>(wait.count()));
    if (both[0].revents != 0 && alarm_.take()) {
        return false;
    }
    return steady_clock::now() < until || both[1].revents != 0;
}

store::attempt store::try_claim(std::span<const std::size_t> credits, deadline until) {
    auto& server = s_->claims.server;
    const auto claim = ++s_->claim_count;
    for (;;) {
        const auto known = s_->lanes.known();
        const auto& lanes = known->all();
        const auto build = [&](command& c, const std::string&) {
            c.add(s_->owner.lease()).add(claim).add(lanes.size()).add(known->last());
            std::vector<std::array<std::vector<std::size_t>, priorities>> of(credits.size());
            for (std::size_t i = 0; i < lanes.size(); ++i) {
                const auto group = s_->groups.find(lanes[i].kind);
                if (group != s_->groups.end() && group->second < of.size()) {
                    of[group->second][lanes[i].priority % priorities].push_back(i);
                }
            }
            for (std::size_t g = 0; g < of.size(); ++g) {
                c.add(credits[g]).add(priorities);
                for (const auto& numbers : of[g]) {
                    c.add(numbers.size());
                    for (const auto n : numbers) {
                        c.add(n);
                    }
                }
            }
        };
        try {
            const auto answer = run(server, s_->texts.claim, until, build);
            if (answer.is_array()) {
                auto found = read_claimed(answer, claim, lanes);
                if (answer.size() > 1 && found.jobs.empty()) {
                    continue;  // it took places without a text, and others may be behind them
                }
                return found;
            }
        } catch (const boost::system::system_error&) {
            if (server.in_doubt()) {
                s_->owner.in_doubt(claim);
            }
            throw;
        }
        s_->lanes.refresh(server, until);
    }
}

store::attempt store::read_claimed(const reply& answer, std::uint64_t claim,
                                   const std::vector<lane>& lanes) {
    attempt found;
    found.next_due = std::chrono::microseconds(answer[0].integer());
    if (answer.size() < 4) {
        return found;
    }
    const auto ids = answer[1];
    found.jobs.reserve(ids.size());
    for (std::size_t i = 0; i < ids.size(); ++i) {
        auto b = read_body(answer[2][i].text());
        auto& job = b.job;
        job.id = read_id(ids[i].text());
        if (b.lane < lanes.size()) {
            job.kind = lanes[b.lane].kind;
            job.queue = lanes[b.lane].queue;
            job.priority = lanes[b.lane].priority;
        }
        read_counts(answer[3][i].text(), job);
        const auto id = job.id;
        found.jobs.push_back({std::move(job), {id, claim}});
    }
    return found;
}

}  // namespace postlude::detail::redis
