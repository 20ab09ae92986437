// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
// A server of jobs that tests kill, stop and suspend from outside.
//
// Usage: job_server MODE STORE JOURNAL [NAME=VALUE]...
//   MODE: `serve` answers requests and runs jobs, `web` only answers, `work` only runs.
//   STORE: a URL, or an SQLite file. JOURNAL: a file to which each run of a job adds lines.
//   NAME: see `settings`.
//
// POST /KIND?n=N&ms=MS&how=HOW&times=TIMES&pad=BYTES registers one job; its request's id is what
// the tests know it by. Prints "port N" (or "ready"), and at the end "jobs JSON" and "tasks JSON".
//
// A line of the journal is "WHAT REQUEST JOB ATTEMPT PID NANOSECONDS N", by the system's monotonic
// clock, with WHAT one of begin, end, stop (at a checkpoint) and throw, and spaces at its end.
#include "postlude/backends/sqlite.hpp"
#ifdef WITH_POSTGRES
#include "postlude/backends/postgres.hpp"
#endif
#ifdef WITH_REDIS
#include "postlude/backends/redis.hpp"
#endif
#ifdef WITH_RABBITMQ
#include "postlude/backends/rabbitmq.hpp"
#endif
#include "postlude/http/server.hpp"

#include <boost/describe/class.hpp>
#include <boost/system/system_error.hpp>

#include <spdlog/spdlog.h>

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <map>
#include <string>
#include <thread>

namespace http = postlude::http;
using namespace std::chrono_literals;
using std::chrono::milliseconds;

namespace {

constexpr postlude::retry_policy soon{.base = 10ms, .unit = 0s, .jitter = 0};

struct plain_work {
    int n = 0;
    int ms = 0;             ///< how long it takes
    std::string how{};      ///< see `perform`
    int times = 0;          ///< attempts that throw
    std::string padding{};  ///< makes it as large as one likes
};
BOOST_DESCRIBE_STRUCT(plain_work, (), (n, ms, how, times, padding))

struct durable_work : plain_work {
    static constexpr postlude::job_traits job{
        .kind = "durable", .stored = postlude::durability::durable, .attempts = 3, .retry = soon};
};
BOOST_DESCRIBE_STRUCT(durable_work, (plain_work), ())

struct spill_work : plain_work {
    static constexpr postlude::job_traits job{.kind = "spill", .attempts = 3, .retry = soon};
};
BOOST_DESCRIBE_STRUCT(spill_work, (plain_work), ())

struct memory_work : plain_work {
    static constexpr postlude::job_traits job{.kind = "memory",
                                              .stored = postlude::durability::memory};
};
BOOST_DESCRIBE_STRUCT(memory_work, (plain_work), ())

/// What one of two processes knows.
struct left_work : plain_work {
    static constexpr postlude::job_traits job{.kind = "left",
                                              .stored = postlude::durability::durable};
};
BOOST_DESCRIBE_STRUCT(left_work, (plain_work), ())
struct right_work : plain_work {
    static constexpr postlude::job_traits job{.kind = "right",
                                              .stored = postlude::durability::durable};
};
BOOST_DESCRIBE_STRUCT(right_work, (plain_work), ())

/// Before a deploy, and after it.
struct old_letter {
    std::string to{};
    std::string colour = "white";
    static constexpr postlude::job_traits job{.kind = "letter",
                                              .stored = postlude::durability::durable};
};
BOOST_DESCRIBE_STRUCT(old_letter, (), (to, colour))
struct new_letter {
    std::string to{};
    std::string sender = "nobody";
    static constexpr postlude::job_traits job{
        .kind = "parcel", .former = {"letter"}, .stored = postlude::durability::durable};
};
BOOST_DESCRIBE_STRUCT(new_letter, (), (to, sender))

/// The command line's NAME=VALUEs.
class settings {
public:
    settings(int argc, char** argv) {
        for (int i = 4; i < argc; ++i) {
            const std::string_view option(argv[i]);
            const auto equals = option.find('=');
            values_.emplace(option.substr(0, equals), option.substr(equals + 1));
        }
    }
    std::string text(const std::string& name, const char* otherwise) const {
        const auto found = values_.find(name);
        return found == values_.end() ? otherwise : found->second;
    }
    int number(const std::string& name, int otherwise) const {
        return std::atoi(text(name, std::to_string(otherwise).c_str()).c_str());
    }
    milliseconds time(const std::string& name, milliseconds otherwise) const {
        return milliseconds(number(name, static_cast<int>(otherwise.count())));
    }

private:
    std::map<std::string, std::string> values_;
};

/// Written to by one call a line. The kernel copies page by page, and a process can be killed in
/// between: lines of one length that divides a page are there or not, whenever the process dies.
class journal {
public:
    explicit journal(const char* path)
        : directory_(std::filesystem::path(path).parent_path()),
          file_(::open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644)) {}
    void write(std::string_view what, const postlude::job_context& job, std::string_view rest) {
        timespec t{};
        ::clock_gettime(CLOCK_MONOTONIC, &t);
        std::string line(what);
        line.append(" ").append(job.request_id()).append(" ").append(std::to_string(job.id()));
        line.append(" ").append(std::to_string(job.attempt()));
        line.append(" ").append(std::to_string(::getpid())).append(" ");
        line.append(std::to_string(std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec));
        line.append(" ").append(rest);
        const bool fits = line.size() < line_size;
        line.resize(line_size - 1, ' ');
        line.push_back('\n');
        if (!fits || ::write(file_, line.data(), line.size()) != ssize_t{line_size}) {
            std::abort();
        }
    }
    /// Whether the test has made a file, for one run or for a job's every run.
    bool opened(const postlude::job_context& job) const {
        const auto gate = directory_ / std::string("gate-").append(job.request_id());
        return std::filesystem::exists(gate) ||
               std::filesystem::exists(gate.string() + "." + std::to_string(::getpid()));
    }

private:
    static constexpr std::size_t line_size = 128;

    std::filesystem::path directory_;
    int file_;
};

/// Work of a kind that its arguments name:
/// - nothing: takes its time, and stops when it is asked to
/// - "deaf": does not stop
/// - "gate": takes until the test says so, and does not stop
/// - "patient": likewise, and stops when it is asked to
/// - "abort": kills its process
/// - "throw": fails in its first attempts
void perform(const plain_work& work, postlude::job_context& job, journal& to) {
    const auto n = std::to_string(work.n);
    to.write("begin", job, n);
    if (work.how == "abort") {
        std::abort();
    }
    if (work.how == "throw" && job.attempt() <= static_cast<unsigned>(work.times)) {
        to.write("throw", job, n);
        throw std::runtime_error("as it was told to");
    }
    const auto end = std::chrono::steady_clock::now() + milliseconds(work.ms);
    try {
        const bool waits = work.how == "gate" || work.how == "patient";
        while (waits ? !to.opened(job) : std::chrono::steady_clock::now() < end) {
            if (work.how.empty() || work.how == "patient") {
                job.checkpoint();
            }
            std::this_thread::sleep_for(1ms);
        }
    } catch (...) {
        to.write("stop", job, n);
        throw;
    }
    to.write("end", job, n);
}

template <class Kind>
void know(postlude::job_registry& kinds, journal& to) {
    kinds.handle<Kind>(
        [&to](const Kind& work, postlude::job_context& job) { perform(work, job, to); });
}

postlude::job_registry known_kinds(const settings& set, journal& to) {
    postlude::job_registry kinds;
    know<durable_work>(kinds, to);
    know<spill_work>(kinds, to);
    know<memory_work>(kinds, to);
    if (const auto side = set.text("side", ""); side == "left") {
        know<left_work>(kinds, to);
        kinds.declare<right_work>();
    } else if (side == "right") {
        know<right_work>(kinds, to);
    }
    if (const auto letters = set.text("letters", ""); letters == "old") {
        kinds.handle<old_letter>([&to](const old_letter& l, postlude::job_context& job) {
            to.write("end", job, "old," + l.to + "," + l.colour);
        });
    } else if (letters == "new") {
        kinds.handle<new_letter>([&to](const new_letter& l, postlude::job_context& job) {
            to.write("end", job, "new," + l.to + "," + l.sender);
        });
    }
    return kinds;
}

std::unique_ptr<postlude::backend> store_of(std::string_view place, const settings& set) {
    if (place.find("://") == place.npos) {
        return postlude::sqlite_backend(
            {.file = place, .busy_timeout = set.time("busy_timeout", 5s)});
    }
    return postlude::backend_from_url(place, {
#ifdef WITH_POSTGRES
                                                 postlude::postgres_scheme(),
#endif
#ifdef WITH_REDIS
                                                 postlude::redis_scheme(),
#endif
#ifdef WITH_RABBITMQ
                                                 postlude::rabbitmq_scheme(),
#endif
                                                 postlude::sqlite_scheme()});
}

postlude::dispatcher_options dispatcher_options(const std::string& mode, const char* store,
                                                const settings& set, journal& to) {
    postlude::dispatcher_options options;
    options.pool.threads = static_cast<unsigned>(set.number("threads", 4));
    options.pool.default_queue.capacity = static_cast<std::size_t>(set.number("capacity", 65'536));
    options.pool.drain = set.time("drain", 25s);
    options.kinds = known_kinds(set, to);
    options.jobs.store = store_of(store, set);
    options.jobs.runs_jobs = mode != "web";
    options.jobs.commit_timeout = set.time("commit_timeout", 5s);
    options.jobs.lease = set.time("lease", 30s);
    options.jobs.rescue_interval = set.time("rescue_interval", 30s);
    options.jobs.quarantine_after = static_cast<unsigned>(set.number("quarantine_after", 3));
    return options;
}

plain_work read_work(const http::request& request) {
    const auto number = [&](std::string_view name) {
        const auto text = http::query(request, name);
        int value = 0;
        std::from_chars(text.data(), text.data() + text.size(), value);
        return value;
    };
    return {.n = number("n"),
            .ms = number("ms"),
            .how = std::string(http::query(request, "how")),
            .times = number("times"),
            .padding = std::string(static_cast<std::size_t>(number("pad")), 'x')};
}

template <class Kind>
void offer(http::server& server, const std::string& path) {
    server.post(path, [](const http::request& request, postlude::deferred& after) {
        after.enqueue(Kind{read_work(request)});
        return http::text(http::status::accepted, "accepted");
    });
}

std::string to_json(const postlude::job_counters& c) {
    return std::string("{")
        .append("\"registered\":" + std::to_string(c.registered))
        .append(",\"claimed\":" + std::to_string(c.claimed))
        .append(",\"refused\":" + std::to_string(c.refused))
        .append(",\"discarded\":" + std::to_string(c.discarded))
        .append(",\"completed\":" + std::to_string(c.completed))
        .append(",\"dead\":" + std::to_string(c.dead))
        .append(",\"lost\":" + std::to_string(c.lost))
        .append(",\"handed_over\":" + std::to_string(c.handed_over))
        .append(",\"revoked\":" + std::to_string(c.revoked))
        .append(",\"left\":" + std::to_string(c.left))
        .append(",\"spilled\":" + std::to_string(c.spilled))
        .append(",\"unstored\":" + std::to_string(c.unstored))
        .append("}");
}

std::string to_json(const postlude::counters& c) {
    return std::string("{")
        .append("\"registered\":" + std::to_string(c.registered))
        .append(",\"refused\":" + std::to_string(c.refused))
        .append(",\"discarded\":" + std::to_string(c.discarded))
        .append(",\"completed\":" + std::to_string(c.completed))
        .append(",\"failed\":" + std::to_string(c.failed))
        .append(",\"lost\":" + std::to_string(c.lost))
        .append(",\"handed_over\":" + std::to_string(c.handed_over))
        .append(",\"left\":" + std::to_string(c.left))
        .append("}");
}

std::string to_json(const std::vector<postlude::queue_stats>& stats) {
    std::size_t ready = 0;
    std::size_t claimed = 0;
    std::size_t dead = 0;
    for (const auto& s : stats) {
        ready += s.ready + s.scheduled;
        claimed += s.claimed;
        dead += s.dead;
    }
    return std::string("{\"ready\":")
        .append(std::to_string(ready))
        .append(",\"claimed\":" + std::to_string(claimed))
        .append(",\"dead\":" + std::to_string(dead))
        .append("}");
}

int end_with(const postlude::dispatcher& dispatcher, const postlude::drain_report& report) {
    std::cout << "jobs " << to_json(dispatcher.job_counters()) << "\ntasks "
              << to_json(dispatcher.counters()) << std::endl;
    for (const auto& task : report.lost) {
        std::cout << "lost " << task.request_id << std::endl;
    }
    return report.clean() ? 0 : 3;
}

int serve(postlude::dispatcher_options options, const settings& set) {
    const auto drain = options.pool.drain;
    http::server_options server_options{.port = 0, .threads = 2, .drain = drain};
    server_options.dispatcher = std::move(options);
    if (const auto sockets = http::inherited_sockets(); !sockets.empty()) {
        server_options.inherited_socket = sockets.front();
    }
    http::server server(std::move(server_options));
    auto& dispatcher = server.get_dispatcher();
    offer<durable_work>(server, "/durable");
    offer<spill_work>(server, "/spill");
    offer<memory_work>(server, "/memory");
    if (set.text("side", "") == "left") {
        offer<left_work>(server, "/left");
        offer<right_work>(server, "/right");
    }
    server.post("/letter", [old = set.text("letters", "") == "old"](const http::request&,
                                                                    postlude::deferred& after) {
        old ? after.enqueue(old_letter{"Ada", "blue"}) : after.enqueue(new_letter{"Bob", "Eve"});
        return http::text(http::status::accepted, "accepted");
    });
    server.post("/task", [](const http::request&, postlude::deferred& after) {
        after.run([] {}, {.name = "task"});
        return http::text(http::status::accepted, "accepted");
    });
    server.get("/counters", [&dispatcher](const http::request&, postlude::deferred&) {
        return http::json(http::status::ok, "{\"jobs\":" + to_json(dispatcher.job_counters()) +
                                                ",\"tasks\":" + to_json(dispatcher.counters()) +
                                                "}");
    });
    // The test is the only one who asks, and waits for as long as the store takes.
    server.get("/stats", [&dispatcher](const http::request&, postlude::deferred&) {
        return http::json(http::status::ok, to_json(dispatcher.stats()));
    });
    std::cout << "port " << server.port() << std::endl;
    const auto report = server.run();
    return end_with(dispatcher, report);
}

int work(postlude::dispatcher_options options) {
    sigset_t stop;
    ::sigemptyset(&stop);
    ::sigaddset(&stop, SIGTERM);
    ::pthread_sigmask(SIG_BLOCK, &stop, nullptr);
    const auto drain = options.pool.drain;
    postlude::dispatcher dispatcher(std::move(options));
    std::cout << "ready" << std::endl;
    int signal = 0;
    ::sigwait(&stop, &signal);
    const auto report = dispatcher.shutdown(drain);
    return end_with(dispatcher, report);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 4) {
        return 2;
    }
    const std::string mode(argv[1]);
    const settings set(argc, argv);
    journal lines(argv[3]);
    try {
        auto options = dispatcher_options(mode, argv[2], set, lines);
        return mode == "work" ? work(std::move(options)) : serve(std::move(options), set);
    } catch (const boost::system::system_error& error) {
        std::cerr << error.what() << std::endl;
        return 1;
    }
}
