// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/redis/records.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace postlude::detail::redis {

namespace {

store_time as_time(std::int64_t microseconds) {
    return store_time(store_time::duration(microseconds));
}

std::optional<store_time> unless_zero(std::int64_t microseconds) {
    return microseconds == 0 ? std::nullopt : std::optional(as_time(microseconds));
}

/// Reads numbers, each with one character after it, and texts of known sizes. What is cut off is
/// read as zeros.
class fields {
public:
    explicit fields(std::string_view text) : text_(text) {}

    template <class Number = std::int64_t>
    Number number() {
        Number value{};
        const auto end = std::from_chars(text_.data(), text_.data() + text_.size(), value).ptr;
        skip(static_cast<std::size_t>(end - text_.data()) + 1);
        return value;
    }
    std::string_view text(std::size_t size) {
        const auto found = text_.substr(0, size);
        skip(size);
        return found;
    }
    std::string_view rest() const { return text_; }
    bool empty() const { return text_.empty(); }
    void skip(std::size_t n) { text_.remove_prefix(std::min(n, text_.size())); }

private:
    std::string_view text_;
};

/// What the scripts write into `runs`. Stored, never reused.
const char* step_name(int note) {
    constexpr std::array names{
        "",     "failed",    "given back", "crashed",    "lease ended", "retried by hand",
        "done", "cancelled", "dead",       "quarantined"};
    return note > 0 && note < static_cast<int>(names.size()) ? names[static_cast<std::size_t>(note)]
                                                             : "?";
}

bool tells_a_reason(int note) { return note == 1 || note == 3 || note == 4; }

}  // namespace

std::string write_id(job_id id) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string text(16, '0');
    for (auto at = text.rbegin(); id != 0; ++at, id >>= 4) {
        *at = digits[id & 15];
    }
    return text;
}

std::string page_of(job_id id) { return write_id(id).substr(0, 13); }

job_id read_id(std::string_view text) {
    job_id id = 0;
    std::from_chars(text.data(), text.data() + text.size(), id, 16);
    return id;
}

std::string write_time(std::int64_t time) {
    auto text = std::to_string(std::max<std::int64_t>(time, 0));
    return text.insert(0, 16 - std::min<std::size_t>(text.size(), 16), '0');
}

std::string write_lane(const lane& l) {
    return std::to_string(l.priority)
        .append(" ")
        .append(std::to_string(l.kind.size()))
        .append(" ")
        .append(l.kind)
        .append(l.queue);
}

lane read_lane(std::string_view entry) {
    fields f(entry);
    f.number();
    f.number();
    lane l;
    l.priority = f.number<std::uint8_t>();
    l.kind = f.text(f.number<std::size_t>());
    l.queue = f.rest();
    return l;
}

void write_body(command& to, const job_record& job, std::size_t lane, std::string_view created) {
    std::string tags;
    for (const auto& tag : job.tags) {
        tags.append(std::to_string(tag.size())).append(":").append(tag);
    }
    std::array<char, 120> head;
    auto* end = head.data();
    for (const std::size_t n : {lane, std::size_t{job.failures}, std::size_t{job.crashes},
                                job.request_id.size(), tags.size()}) {
        *end++ = ' ';
        end = std::to_chars(end, head.data() + head.size(), n).ptr;
    }
    *end++ = ' ';
    to.add(created)
        .extend({head.data(), end})
        .extend(job.request_id)
        .extend(tags)
        .extend(job.arguments);
}

body read_body(std::string_view text) {
    fields f(text);
    body b;
    b.created = as_time(f.number());
    b.lane = f.number<std::size_t>();
    b.job.failures = f.number<unsigned>();
    b.job.crashes = f.number<unsigned>();
    const auto id_size = f.number<std::size_t>();
    const auto tags_size = f.number<std::size_t>();
    b.job.request_id = f.text(id_size);
    for (fields tags(f.text(tags_size)); !tags.empty();) {
        b.job.tags.emplace_back(tags.text(tags.number<std::size_t>()));
    }
    b.job.arguments = f.rest();
    return b;
}

void read_counts(std::string_view runs, job_record& job) {
    if (!runs.empty()) {
        fields f(runs);
        job.failures = f.number<unsigned>();
        job.crashes = f.number<unsigned>();
    }
}

stored_job::stored_job(const reply_view& answer, std::size_t at)
    : id_(answer[at].text()),
      body_(answer[at + 1].text()),
      ended_(answer[at + 2].text()),
      claimed_(answer[at + 3].text()),
      owner_(answer[at + 4].text()),
      score_(answer[at + 5].text()),
      runs_(answer[at + 6].text()) {}

/// A run that ended otherwise than as done; or what a person did.
struct stored_job::note {
    int what;
    store_time at;
    std::optional<store_time> claimed;
    std::uint32_t owner;
    unsigned attempt;
    std::string_view reason;
};

struct stored_job::claim_entry {
    store_time at{};
    store_time run_at{};
    std::uint32_t owner = 0;
};

struct stored_job::end_entry {
    job_state state{};
    store_time at{};
    std::uint32_t owner = 0;
    std::optional<store_time> claimed;
    store_time run_at{};
};

std::vector<stored_job::note> stored_job::notes() const {
    std::vector<note> found;
    fields f(runs_);
    for (int i = 0; i < 4; ++i) {
        f.number();
    }
    while (!f.empty()) {
        note n{};
        n.what = f.number<int>();
        n.at = as_time(f.number());
        n.claimed = unless_zero(f.number());
        n.owner = f.number<std::uint32_t>();
        n.attempt = f.number<unsigned>();
        n.reason = f.text(f.number<std::size_t>());
        f.skip(1);
        found.push_back(n);
    }
    return found;
}

stored_job::claim_entry stored_job::claim() const {
    fields f(claimed_);
    f.number<std::uint64_t>();
    claim_entry c;
    c.at = as_time(f.number());
    c.run_at = as_time(f.number());
    c.owner = fields(owner_).number<std::uint32_t>();
    return c;
}

stored_job::end_entry stored_job::end() const {
    fields f(ended_);
    end_entry e;
    e.state = static_cast<job_state>(f.number<int>());
    e.at = as_time(f.number());
    e.owner = f.number<std::uint32_t>();
    e.claimed = unless_zero(f.number());
    e.run_at = as_time(f.number());
    return e;
}

job_view stored_job::view(const std::vector<lane>& lanes) const {
    auto b = read_body(body_);
    job_view v;
    v.job = std::move(b.job);
    v.job.id = read_id(id_);
    if (b.lane < lanes.size()) {
        v.job.kind = lanes[b.lane].kind;
        v.job.queue = lanes[b.lane].queue;
        v.job.priority = lanes[b.lane].priority;
    }
    read_counts(runs_, v.job);
    v.created = b.created;
    for (const auto& n : notes()) {
        if (n.claimed) {
            v.claimed = n.claimed;
            v.owner = n.owner;
        }
        if (tells_a_reason(n.what)) {
            v.reason = n.reason;
        }
    }
    if (!ended_.empty()) {
        const auto e = end();
        v.state = e.state;
        v.ended = e.at;
        v.run_at = e.run_at;
        v.claimed = e.claimed ? e.claimed : v.claimed;
        v.owner = e.claimed ? e.owner : v.owner;
    } else if (!claimed_.empty()) {
        const auto c = claim();
        v.state = job_state::claimed;
        v.claimed = c.at;
        v.owner = c.owner;
        v.run_at = c.run_at;
    } else {
        v.state = job_state::ready;
        // One that is in no sorted set is in its lane's list, ready since it was stored.
        v.run_at = score_.empty() ? b.created : as_time(fields(score_).number());
    }
    return v;
}

std::vector<job_event> stored_job::way() const {
    std::vector<job_event> steps;
    const auto b = read_body(body_);
    steps.push_back({b.created, "enqueued", 0, 0, {}});
    unsigned attempts = 0;
    for (const auto& n : notes()) {
        if (n.claimed) {
            steps.push_back({*n.claimed, "claimed", n.attempt, n.owner, {}});
        }
        attempts = n.attempt;
        steps.push_back({n.at, step_name(n.what), n.attempt, n.owner, std::string(n.reason)});
    }
    if (!claimed_.empty()) {
        const auto c = claim();
        steps.push_back({c.at, "claimed", attempts + 1, c.owner, {}});
    }
    if (ended_.empty()) {
        return steps;
    }
    const auto e = end();
    // The run that was the end of a dead or quarantined job has a note.
    const auto noted = e.state == job_state::dead || e.state == job_state::quarantined;
    if (!noted && e.claimed) {
        steps.push_back({*e.claimed, "claimed", ++attempts, e.owner, {}});
    }
    steps.push_back({e.at, std::string(to_string(e.state)), attempts, noted ? 0 : e.owner, {}});
    return steps;
}

}  // namespace postlude::detail::redis
