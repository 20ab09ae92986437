// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_BACKENDS_BACKEND_HPP
#define POSTLUDE_BACKENDS_BACKEND_HPP

#include "postlude/jobs/record.hpp"

#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace postlude {

/// What a backend can do; what it can't, its callers do without.
struct capabilities {
    bool stored_as_claimed = false;  ///< `put::claimed`
    bool atomic_follow_ups = false;  ///< a settlement's follow-ups are stored with it or not at all
    /// A claim ends when it is not renewed, and `rescue` takes what has ended so. Without leases
    /// the store gives what a dead owner held to the next claim by itself.
    bool leases = false;
    bool sees_death = false;  ///< a dead owner's jobs are rescued before their lease ends
    /// Of a dead owner that held suspects, nothing else has one crash more; and only a death is a
    /// crash, not a connection that was lost.
    bool exact_crash_counts = false;
    bool priorities = false;
    /// Jobs are claimed in the order of their time across kinds, and what is given back or rescued
    /// keeps its place. Without it the order is that in which the jobs of a kind came.
    bool exact_order = true;
    bool unique_ids = true;  ///< a put whose id is stored already is refused
    bool history = false;    ///< and ended jobs are kept, but for dead ones, which always are
    /// `find` and `amend`, which otherwise throw errc::not_supported.
    bool query = false;
    bool callers_transaction = false;  ///< enqueue on a transaction of the caller's own
    /// So many commits may be under way at the same time, each from a thread of its own and in no
    /// order among them, and store more together than one after the other would.
    std::size_t commits_at_once = 1;
    std::chrono::milliseconds longest_delay{0};
};

/// How long ended jobs are kept. Whatever is over either limit goes, oldest first.
struct retention {
    std::chrono::seconds done_age = std::chrono::hours(24);
    std::size_t done_count = 100'000;
    std::chrono::seconds dead_age = std::chrono::hours(24 * 90);  ///< all but done ones
};

/// A kind that this process runs.
struct served_kind {
    std::string kind;       ///< its present name, or a former one
    std::size_t group = 0;  ///< which of the credits of `claim` it draws on: one a queue
};

struct open_options {
    std::vector<served_kind> kinds;
    std::size_t groups = 1;
    /// A claim that is not renewed for so long may be taken over.
    std::chrono::milliseconds lease{30'000};
    unsigned quarantine_after = 3;  ///< crashes
};

/// What a process gets when it opens a store.
struct opened {
    capabilities can;
    /// This process's own, new at every start: below 2^23. Job ids begin with it.
    std::uint32_t owner = 0;
    /// Sentences on what is unwise in how the store is set up; empty when nothing is.
    std::vector<std::string> warnings;
};

/// Proof that a process holds a job: opaque, and of this process's own.
struct receipt {
    std::uint64_t a = 0;
    std::uint64_t b = 0;
    auto operator<=>(const receipt&) const = default;
};

/// A job to be stored.
struct put {
    job_record job;
    std::chrono::milliseconds delay{0};  ///< from now, by the store's clock
    bool claimed = false;                ///< by this process, at once
    /// Stored as dead, with this reason. Only where a job can't be stored as claimed; elsewhere it
    /// is, and settled then.
    std::optional<std::string> dead_because{};
};

/// What became of a claimed job.
enum class verdict : std::uint8_t {
    done,
    retry,      ///< failed: one failure more, ready again after the delay
    give_back,  ///< interrupted: ready again, and nothing is counted
    dead,       ///< failed for the last time: one failure more, kept
    withdrawn,  ///< it shall never have been: its request was answered with an error
};

struct settlement {
    receipt of;
    verdict what = verdict::done;
    std::chrono::milliseconds delay{0};
    std::string reason;           ///< for people; of a failure, what it threw
    std::vector<put> follow_ups;  ///< stored with it, and only if it is accepted
};

struct put_result {
    enum class outcome : std::uint8_t {
        stored,
        refused,  ///< certainly not stored, and never will be: asked for what can't be
        unknown,  ///< the connection broke at the wrong moment, or there was no room: to be put
                  ///< again, or withdrawn
    };
    outcome what = outcome::refused;
    receipt held;  ///< of one that was put as claimed
};

enum class settled : std::uint8_t {
    accepted,
    lost_lease,  ///< somebody else holds it, or it is gone; nothing was changed
    unknown,     ///< perhaps accepted: to be tried again
};

struct commit_result {
    std::vector<put_result> puts;      ///< in the order of what was committed
    std::vector<settled> settlements;  ///< likewise
    /// Of those that are: a sentence for the log, where the store knows.
    std::string why_unknown{};
};

struct claimed_job {
    job_record job;
    receipt held;
};

struct rescued_job {
    job_id id = 0;
    std::string kind;
    unsigned crashes = 0;
    job_state now = job_state::ready;  ///< or quarantined
};

/// A job as a person sees it.
struct job_view {
    job_record job;
    job_state state{};
    store_time created{};
    store_time run_at{};                ///< when it is, or was, to run
    std::optional<store_time> claimed;  ///< its present or last claim
    std::optional<store_time> ended;    ///< done, dead, quarantined or cancelled
    std::uint32_t owner = 0;            ///< of that claim; 0 when there was none
    std::string reason;                 ///< of the last failure or crash, or why it is dead
};

/// One step of a job's way.
struct job_event {
    store_time at{};
    /// "enqueued", "claimed", "done", "failed", "given back"; "crashed", or "lease ended" where no
    /// death was seen; "dead" and "quarantined", each after the step that was one too many;
    /// "cancelled", "retried by hand".
    std::string what;
    unsigned attempt = 0;     ///< how often it had been claimed: from 1; 0 before the first
    std::uint32_t owner = 0;  ///< whose claim it began or ended; 0 where there was none
    std::string reason;
};

/// What is given must all hold.
struct job_query {
    std::vector<job_id> ids{};
    std::optional<job_state> state{};
    std::string kind{};
    std::string queue{};
    std::string tag{};
    std::string request_id{};
    std::size_t limit = 100;
};

enum class amendment : std::uint8_t {
    retry,   ///< ready now, with its failures and crashes forgotten; not while it is claimed
    cancel,  ///< not done, dead, quarantined or cancelled already; ends a claim, whose holder loses
             ///< it
    erase,   ///< gone, with its history; likewise
};

enum class amended : std::uint8_t {
    changed,
    not_found,
    not_possible,  ///< in the state that it is in
};

struct queue_stats {
    std::string queue;
    std::string kind;
    std::size_t ready = 0;
    std::size_t scheduled = 0;  ///< ready, but not yet
    std::size_t claimed = 0;
    std::size_t dead = 0;  ///< and quarantined
    std::optional<std::chrono::milliseconds> oldest_ready;
};

/// A durable store of jobs, as the dispatcher uses it.
///
/// All calls block, so the dispatcher makes them on threads of its own: `commit` on one (or as
/// many as `commits_at_once`), `claim` on another, the rest on any, all at the same time. What
/// can't be done now throws system_error: with errc::store_unavailable when a later try may work,
/// errc::bad_store when none will, saying what is wrong and what to do. A commit that throws has
/// changed nothing; where a store can't know, it answers `unknown` instead. Any other call that
/// throws may have been carried out, and can be repeated: jobs that a claim had taken by then are
/// given back, or rescued.
///
/// Times are the store's own. A process that a system suspends, or whose clock is wrong, holds
/// nothing for longer than its lease.
class backend {
public:
    backend() = default;
    backend(const backend&) = delete;
    backend& operator=(const backend&) = delete;
    /// Ends the registration; blocks, and throws nothing. What this process still holds is given
    /// back, without a crash; where the store can't be reached, others rescue it as after a death.
    virtual ~backend() = default;

    /// Checks the store, brings its format up to date, registers this process. Called first, and
    /// once.
    virtual opened open(const open_options& options) = 0;

    /// Stores and settles as one batch, in the order given, with one sync for all of it. When it
    /// returns, what it says is stored will outlive this process, and its machine's power as far as
    /// the store is set up for that (`opened::warnings`).
    virtual commit_result commit(std::span<const put> puts,
                                 std::span<const settlement> settlements) = 0;

    /// Takes ready jobs of the kinds that this process serves, at most `credits[group]` of each
    /// group, lowest priority number first and then in the order of their time. Of jobs that have
    /// crashed an owner (suspects) a process holds one at a time. Waits for the first one for at
    /// most `longest_wait`, or until `interrupt`. May return none.
    virtual std::vector<claimed_job> claim(std::span<const std::size_t> credits,
                                           std::chrono::milliseconds longest_wait) = 0;

    /// Makes the leases of these claims begin anew. Returns those that are lost.
    virtual std::vector<receipt> renew(std::span<const receipt> held) = 0;

    /// Takes jobs from owners that are dead, or whose lease has ended: each one crash more, or, if
    /// the owner held suspects, those only; with `quarantine_after` crashes it is quarantined, else
    /// ready. At most `limit`, and more can be left if so many were. Without leases: what claims of
    /// this process have found so, since the last call.
    virtual std::vector<rescued_job> rescue(std::size_t limit) = 0;

    /// Without `query`: how many are ready of the kinds that this process serves, all queues
    /// together under an empty name; and one entry without a kind for all dead ones.
    virtual std::vector<queue_stats> stats() = 0;
    virtual std::vector<job_view> find(const job_query& query) = 0;
    /// The way of one job, oldest step first; empty when there is none, or no history.
    virtual std::vector<job_event> history(job_id id) = 0;
    virtual std::vector<amended> amend(std::span<const job_id> ids, amendment what) = 0;
    /// Removes ended jobs over the limits, some thousands at a time; how many.
    virtual std::size_t prune(const retention& keep) = 0;

    /// Makes a `claim` that waits, or the next one, return at once.
    virtual void interrupt() noexcept = 0;
};

}  // namespace postlude

#endif
