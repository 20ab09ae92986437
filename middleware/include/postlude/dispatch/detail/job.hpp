// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_DISPATCH_DETAIL_JOB_HPP
#define POSTLUDE_DISPATCH_DETAIL_JOB_HPP

#include "postlude/backends/backend.hpp"
#include "postlude/jobs/registry.hpp"
#include "postlude/pool/task.hpp"

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace postlude::detail {

class job_service;

/// A kind as one dispatcher knows it.
struct kind_entry {
    const job_kind* kind = nullptr;
    queue_id queue{};
};

/// A job on its way through this process.
struct job {
    /// Who has it now. Whoever moves it to `ended` decides, and counts, what became of it.
    enum class phase : std::uint8_t {
        listed,    ///< in its request's list
        released,  ///< on its way to a worker, to the store, or waiting for its time
        running,
        ended,
    };
    /// How it will be run.
    enum class route : std::uint8_t {
        memory,   ///< by this process, and nobody else knows of it
        claimed,  ///< by this process, stored as claimed by it
        stored,   ///< stored as ready, by any process
        timed,    ///< by this process, of memory alone, when its time has come
    };

    std::shared_ptr<job_service> service;
    const kind_entry* kind = nullptr;
    job_record record;                         ///< its `arguments` are filled in when it is stored
    std::unique_ptr<job_arguments> arguments;  ///< null until read
    std::chrono::milliseconds delay{0};
    std::optional<receipt> held;  ///< when this process has it claimed in the store
    std::string last_words;       ///< why it shall be dead, of one that is stored only for that
    when condition{};
    route way = route::memory;
    task_slot* slot = nullptr;  ///< of its run in its request's list, until the outcome is known
    /// It is being stored by itself, so its request's outcome waits for that.
    bool storing = false;
    enum class outcome : std::uint8_t { open, wanted, unwanted };
    outcome decided = outcome::open;  ///< the request's, while it is being stored
    bool stored = false;  ///< whether the store has it; `listed`: its request's own to look at
    bool tried = false;   ///< whether it was to be committed; likewise
    std::atomic<bool> counted{false};  ///< as ended
    std::atomic<phase> now{phase::listed};
    std::atomic<bool> lost_lease{false};

    /// Fills in the arguments as they are stored. Throws errc::bad_arguments.
    void put_into_words() {
        if (record.arguments.empty()) {
            record.arguments = arguments->text();
        }
    }
    /// Whether the caller is the one who ends it.
    bool end() noexcept { return now.exchange(phase::ended) != phase::ended; }
};
using job_ptr = std::shared_ptr<job>;
/// The jobs of one request.
using job_list = std::vector<job_ptr>;

/// The task that runs a job. Destroyed without having run, the job goes where it is safe.
class job_task {
public:
    explicit job_task(job_ptr which) noexcept : job_(std::move(which)) {}
    job_task(job_task&&) noexcept = default;
    job_task& operator=(job_task&&) = delete;
    ~job_task();

protected:
    job_ptr job_;
    bool begun_ = false;
};
struct job_run : job_task {
    using job_task::job_task;
    void operator()(task_context& task);
};
struct job_start : job_task {
    using job_task::job_task;
    boost::asio::awaitable<void> operator()(task_context& task);
};

}  // namespace postlude::detail

#endif
