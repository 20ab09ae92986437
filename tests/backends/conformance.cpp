// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "conformance.hpp"

#include "postlude/core/error.hpp"

#include <boost/system/system_error.hpp>

#include <algorithm>
#include <ranges>

using namespace postlude;

namespace test {

namespace {

const conforming::entry& next_backend() {
    const auto n = conforming::all().size();
    const auto i = GENERATE_COPY(Catch::Generators::range(std::size_t{0}, n));
    return conforming::all()[i];
}

template <class Jobs, class Id>
ids collect(const Jobs& jobs, Id id) {
    ids result;
    std::ranges::transform(jobs, std::back_inserter(result), id);
    return result;
}

}  // namespace

every_backend::every_backend()
    : which_(next_backend()),
      message_(Catch::MessageBuilder("INFO", CATCH_INTERNAL_LINEINFO, Catch::ResultWas::Info)
               << "backend: " << which_.name) {
    store = which_.make();
}

open_options every_backend::options() const {
    return {.kinds = {{"a", 0}, {"b", 0}, {"c", 1}},
            .groups = 2,
            .lease = store->lease(),
            .quarantine_after = 3};
}

std::vector<rescued_job> every_backend::rescue_dead(backend& b, std::size_t expected,
                                                    std::size_t limit) {
    if (store->can().leases) {
        if (!store->can().sees_death) {
            store->pass(store->lease());
        }
        return b.rescue(limit);
    }
    std::vector<rescued_job> all;
    eventually([&] {
        for (const auto& one : claim(b)) {
            settle(b, one.held, verdict::give_back);
        }
        const auto some = b.rescue(limit);
        CHECK(some.size() <= limit);
        all.insert(all.end(), some.begin(), some.end());
        return all.size() >= expected;
    });
    return all;
}

receipt every_backend::hold(backend& b, job_id id) {
    const auto result = put_one(b, a_claimed_job(id));
    if (store->can().stored_as_claimed) {
        REQUIRE(result.what == put_result::outcome::stored);
        return result.held;
    }
    CHECK(result.what == put_result::outcome::refused);
    put_jobs(b, {id});
    const auto claimed = claim_one(b);
    CHECK(claimed.job.id == id);
    return claimed.held;
}

void every_backend::check_state(backend& b, job_id id, job_state state) {
    check_view(b, id, [&](const job_view& view) { CHECK(view.state == state); });
}

void every_backend::check_absent(backend& b, job_id id) {
    if (can_be_asked(b)) {
        CHECK_FALSE(exists(b, id));
    }
    CHECK(b.history(id).empty());
}

bool every_backend::can_be_asked(backend& b) {
    if (store->can().query) {
        return true;
    }
    const auto refused = [](auto ask) {
        try {
            ask();
            return false;
        } catch (const boost::system::system_error& e) {
            return e.code() == errc::not_supported;
        }
    };
    CHECK(refused([&] { b.find({}); }));
    for (const auto what : {amendment::retry, amendment::cancel, amendment::erase}) {
        CHECK(refused([&] { amend(b, 1, what); }));
    }
    return false;
}

bool every_backend::are(ids got, ids expected) const {
    if (!store->can().exact_order) {
        std::ranges::sort(got);
        std::ranges::sort(expected);
    }
    return got == expected;
}

void every_backend::put_suspects(ids wanted) {
    store->owner_dies(options(), [&](backend& b) {
        put_jobs(b, wanted);
        claim(b);
    });
    REQUIRE(rescue_dead(*open(), wanted.size()).size() == wanted.size());
}

void put_jobs(backend& b, ids wanted) {
    std::vector<put> puts;
    std::ranges::transform(wanted, std::back_inserter(puts), [](auto id) { return a_job(id); });
    for (const auto& result : b.commit(puts, {}).puts) {
        REQUIRE(result.what == put_result::outcome::stored);
    }
}

std::vector<claimed_job> claim(backend& b, std::size_t n) {
    return b.claim(std::vector<std::size_t>{n, 0}, std::chrono::milliseconds(0));
}

claimed_job claim_one(backend& b) {
    auto claimed = claim(b);
    REQUIRE(claimed.size() == 1);
    return claimed.front();
}

ids ids_of(const std::vector<claimed_job>& jobs) {
    return collect(jobs, [](const auto& one) { return one.job.id; });
}
ids ids_of(const std::vector<rescued_job>& jobs) {
    return collect(jobs, [](const auto& one) { return one.id; });
}

job_view look(backend& b, job_id id) {
    auto found = b.find({.ids = {id}});
    REQUIRE(found.size() == 1);
    return found.front();
}

bool exists(backend& b, job_id id) { return !b.find({.ids = {id}}).empty(); }

std::size_t count_dead(backend& b) {
    std::size_t all = 0;
    for (const auto& one : b.stats()) {
        all += one.dead;
    }
    return all;
}

queue_stats stats_of(backend& b, std::string_view queue, std::string_view kind) {
    const auto all = b.stats();
    const auto found = std::ranges::find_if(
        all, [&](const auto& one) { return one.queue == queue && one.kind == kind; });
    return found != all.end() ? *found : queue_stats{};
}

amended amend(backend& b, job_id id, amendment what) {
    return b.amend(std::span(&id, 1), what).at(0);
}

receipt bring_to(backend& b, job_id id, job_state state) {
    if (state == job_state::quarantined) {
        return {};
    }
    auto one = a_claimed_job(id);
    one.job.failures = 2;
    one.claimed = state != job_state::ready;
    const auto held = put_one(b, one).held;
    if (state == job_state::done) {
        settle(b, held, verdict::done);
    } else if (state == job_state::dead) {
        settle(b, held, verdict::dead, "gave up");
    } else if (state == job_state::cancelled) {
        amend(b, id, amendment::cancel);
    }
    return held;
}

ids found(backend& b, const job_query& query) {
    ids result;
    for (const auto& view : b.find(query)) {
        result.push_back(view.job.id);
    }
    std::ranges::sort(result);
    return result;
}

}  // namespace test
