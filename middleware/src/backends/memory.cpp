// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/backends/memory.hpp"

#include "backends/memory/job_table.hpp"
#include "postlude/core/error.hpp"

#include <boost/system/system_error.hpp>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <utility>

namespace postlude {

struct memory_store::state {
    std::mutex mutex;
    std::condition_variable changed;
    std::function<store_time()> clock;
    detail::memory::job_table jobs;
    std::set<std::uint32_t> dead;
    std::uint32_t owners = 0;
};

namespace {

/// Longer than any caller waits, and short enough to be added to a time.
constexpr std::chrono::milliseconds longest_claim = std::chrono::hours(24);

store_time system_time() {
    return std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
}

capabilities of_memory() {
    return {.stored_as_claimed = true,
            .atomic_follow_ups = true,
            .leases = true,
            .sees_death = true,
            .exact_crash_counts = true,
            .priorities = true,
            .history = true,
            .query = true,
            .callers_transaction = false,
            .longest_delay = std::chrono::hours(24 * 3650)};
}

class memory_backend final : public backend {
public:
    explicit memory_backend(std::shared_ptr<memory_store::state> store)
        : store_(std::move(store)) {}

    ~memory_backend() override {
        const std::lock_guard lock(store_->mutex);
        if (!store_->dead.contains(self_.owner)) {
            store_->jobs.give_back_all(self_.owner, store_->clock());
            store_->changed.notify_all();
        }
    }

    opened open(const open_options& options) override {
        const std::lock_guard lock(store_->mutex);
        for (const auto& [kind, group] : options.kinds) {
            if (group >= options.groups) {
                throw boost::system::system_error(make_error_code(errc::bad_option),
                                                  "open_options::kinds: no such group");
            }
            self_.groups[kind] = group;
        }
        self_.lease = options.lease;
        self_.quarantine_after = options.quarantine_after;
        self_.owner = ++store_->owners;
        return {of_memory(), self_.owner, {}};
    }

    commit_result commit(std::span<const put> puts,
                         std::span<const settlement> settlements) override {
        const auto lock = enter();
        const auto now = store_->clock();
        commit_result result;
        for (const auto& one : puts) {
            result.puts.push_back(store_->jobs.store(one, self_, now));
        }
        for (const auto& one : settlements) {
            result.settlements.push_back(store_->jobs.settle(one, self_, now));
        }
        store_->changed.notify_all();
        return result;
    }

    std::vector<claimed_job> claim(std::span<const std::size_t> credits,
                                   std::chrono::milliseconds longest_wait) override {
        auto lock = enter();
        const auto deadline =
            std::chrono::steady_clock::now() + std::min(longest_wait, longest_claim);
        for (;;) {
            const auto now = store_->clock();
            auto claimed = store_->jobs.claim(credits, self_, now);
            const bool late = std::chrono::steady_clock::now() >= deadline;
            if (std::exchange(interrupted_, false) || late || !claimed.jobs.empty()) {
                return std::move(claimed.jobs);
            }
            auto until = deadline;
            if (claimed.next_due) {
                until = std::min(until, std::chrono::steady_clock::now() +
                                            std::min<store_time::duration>(*claimed.next_due - now,
                                                                           longest_claim));
            }
            store_->changed.wait_until(lock, until);
            check_alive();
        }
    }

    std::vector<receipt> renew(std::span<const receipt> held) override {
        const auto lock = enter();
        std::vector<receipt> lost;
        for (const auto& one : held) {
            if (!store_->jobs.renew(one, self_, store_->clock())) {
                lost.push_back(one);
            }
        }
        return lost;
    }

    std::vector<rescued_job> rescue(std::size_t limit) override {
        const auto lock = enter();
        auto rescued = store_->jobs.rescue(limit, store_->dead, self_, store_->clock());
        store_->changed.notify_all();
        return rescued;
    }

    std::vector<queue_stats> stats() override {
        const auto lock = enter();
        return store_->jobs.stats(store_->clock());
    }

    std::vector<job_view> find(const job_query& query) override {
        const auto lock = enter();
        return store_->jobs.find(query);
    }

    std::vector<job_event> history(job_id id) override {
        const auto lock = enter();
        return store_->jobs.history(id);
    }

    std::vector<amended> amend(std::span<const job_id> ids, amendment what) override {
        const auto lock = enter();
        std::vector<amended> result;
        for (const auto id : ids) {
            result.push_back(store_->jobs.amend(id, what, store_->clock()));
        }
        store_->changed.notify_all();
        return result;
    }

    std::size_t prune(const retention& keep) override {
        const auto lock = enter();
        return store_->jobs.prune(keep, store_->clock());
    }

    void interrupt() noexcept override {
        const std::lock_guard lock(store_->mutex);
        interrupted_ = true;
        store_->changed.notify_all();
    }

private:
    std::unique_lock<std::mutex> enter() const {
        std::unique_lock lock(store_->mutex);
        check_alive();
        return lock;
    }

    void check_alive() const {
        if (store_->dead.contains(self_.owner)) {
            throw boost::system::system_error(make_error_code(errc::store_unavailable),
                                              "memory_store::kill ended this owner");
        }
    }

    const std::shared_ptr<memory_store::state> store_;
    detail::memory::holder self_;
    bool interrupted_ = false;
};

}  // namespace

memory_store::memory_store(std::function<store_time()> clock) : state_(std::make_shared<state>()) {
    state_->clock = clock ? std::move(clock) : system_time;
}

memory_store::~memory_store() = default;
memory_store::memory_store(memory_store&&) noexcept = default;
memory_store& memory_store::operator=(memory_store&&) noexcept = default;

std::unique_ptr<backend> memory_store::connect() {
    return std::make_unique<memory_backend>(state_);
}

void memory_store::wake() {
    const std::lock_guard lock(state_->mutex);
    state_->changed.notify_all();
}

void memory_store::kill(std::uint32_t owner) {
    const std::lock_guard lock(state_->mutex);
    state_->dead.insert(owner);
    state_->changed.notify_all();
}

}  // namespace postlude
