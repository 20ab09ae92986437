// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
//
// What does it cost to store a job, to claim it and to finish it, in Redis?
//
// Beside it, in turn, what bare commands cost that do the least that a queue needs: LPUSH, 64 in a
// pipeline; XREADGROUP of 50, then 50 XACK and 50 XDEL in a pipeline. Once with appendfsync always
// and once with everysec, each on a server of its own in a new directory, unless one is named. F is
// the median of an append of 4 KiB and fdatasync on that disk. 300 bytes of arguments a job. Its
// own servers do not rewrite their log meanwhile: that takes a core for seconds, from whoever is
// just being measured.
#include "postlude/backends/redis.hpp"

#include "support/child.hpp"
#include "support/disk.hpp"
#include "support/options.hpp"
#include "support/own_server.hpp"
#include "support/results.hpp"

#include <hiredis/hiredis.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace {

using bench::at_fraction;
using bench::median;
using bench::median_sync;
using bench::microseconds_since;
using steady = bench::bench_clock;
using postlude::job_id;
using postlude::put;
using postlude::settlement;

struct sizes {
    std::size_t syncs = 500;
    std::size_t jobs = 192'000;
    std::size_t behind = 1'000'000;
    int rounds = 5;
};

std::string some_text() { return std::string(300, 'x'); }

/// One store, opened as the dispatcher would.
class open_store {
public:
    explicit open_store(const std::string& url, const std::string& prefix) {
        postlude::redis_options options;
        options.url = url;
        options.prefix = prefix;
        options.timeout = std::chrono::seconds(60);
        backend_ = postlude::redis_backend(options);
        postlude::open_options asked;
        asked.kinds = {{"bench", 0}};
        next_ = job_id{backend_->open(asked).owner} << 40;
    }
    postlude::backend* operator->() const { return backend_.get(); }

    std::vector<put> some(std::size_t n) {
        std::vector<put> puts(n);
        for (auto& p : puts) {
            p.job.id = ++next_;
            p.job.kind = "bench";
            p.job.queue = "default";
            p.job.arguments = arguments_;
            p.job.request_id = "0123456789abcdef0123456789abcdef";
        }
        return puts;
    }
    void fill(std::size_t n) {
        for (std::size_t done = 0; done < n; done += 1024) {
            backend_->commit(some(std::min<std::size_t>(1024, n - done)), {});
        }
    }

private:
    std::unique_ptr<postlude::backend> backend_;
    job_id next_ = 0;
    std::string arguments_ = R"({"text":")" + std::string(288, 'x') + R"("})";
};

/// hiredis by itself, as its users' programs call it.
class bare {
public:
    explicit bare(const std::string& url) {
        // As the servers' scripts print it: redis://user:password@host:port/0
        const auto at = url.rfind('@');
        const auto begin = url.find("//") + 2;
        const auto host = at == url.npos ? begin : at + 1;
        const auto colon = url.find(':', host);
        const auto port = colon == url.npos ? 6379 : std::atoi(url.c_str() + colon + 1);
        const auto name = url.substr(host, std::min(colon, url.find('/', host)) - host);
        context_.reset(redisConnect(name.c_str(), port));
        if (!context_ || context_->err != 0) {
            bench::fail("redisConnect");
        }
        if (at != url.npos) {
            const auto user = url.substr(begin, url.find(':', begin) - begin);
            const auto password =
                url.substr(url.find(':', begin) + 1, at - url.find(':', begin) - 1);
            append({"AUTH", user.empty() ? "default" : user, password});
            take();
        }
    }

    void append(const std::vector<std::string>& words) {
        std::vector<const char*> pointers;
        std::vector<std::size_t> lengths;
        for (const auto& word : words) {
            pointers.push_back(word.data());
            lengths.push_back(word.size());
        }
        redisAppendCommandArgv(context_.get(), static_cast<int>(words.size()), pointers.data(),
                               lengths.data());
        ++pending_;
    }
    struct free_reply {
        void operator()(redisReply* r) const { freeReplyObject(r); }
    };
    using reply = std::unique_ptr<redisReply, free_reply>;
    /// Sends what was appended; the last of its answers.
    reply take() {
        reply last;
        for (; pending_ > 0; --pending_) {
            void* found = nullptr;
            if (redisGetReply(context_.get(), &found) != REDIS_OK) {
                bench::fail(context_->errstr);
            }
            last.reset(static_cast<redisReply*>(found));
        }
        return last;
    }

private:
    struct free_context {
        void operator()(redisContext* c) const { redisFree(c); }
    };
    std::unique_ptr<redisContext, free_context> context_;
    std::size_t pending_ = 0;
};

double rate(std::size_t n, steady::time_point begin) {
    return static_cast<double>(n) / microseconds_since(begin) * 1e6;
}

double bare_pushes(bare& b, std::size_t n, std::vector<double>& times) {
    const auto text = some_text();
    const auto begin = steady::now();
    for (std::size_t done = 0; done < n; done += 64) {
        const auto one = steady::now();
        for (int i = 0; i < 64; ++i) {
            b.append({"LPUSH", "bare", text});
        }
        b.take();
        times.push_back(microseconds_since(one));
    }
    const auto found = rate(n, begin);
    b.append({"DEL", "bare"});
    b.take();
    return found;
}

double store_puts(open_store& store, std::size_t n, std::vector<double>& times) {
    const auto begin = steady::now();
    for (std::size_t done = 0; done < n; done += 64) {
        const auto puts = store.some(64);
        const auto one = steady::now();
        store->commit(puts, {});
        times.push_back(microseconds_since(one));
    }
    return rate(n, begin);
}

void fill_stream(bare& b, std::size_t n) {
    const auto text = some_text();
    for (std::size_t i = 0; i < n; ++i) {
        b.append({"XADD", "stream", "*", "text", text});
        if (i % 1024 == 1023) {
            b.take();
        }
    }
    b.take();
}

double bare_reads(bare& b, std::size_t n) {
    const auto begin = steady::now();
    for (std::size_t done = 0; done < n; done += 50) {
        b.append({"XREADGROUP", "GROUP", "group", "me", "COUNT", "50", "STREAMS", "stream", ">"});
        const auto found = b.take();
        const auto* const entries = found->element[0]->element[1];
        for (std::size_t i = 0; i < entries->elements; ++i) {
            const std::string id = entries->element[i]->element[0]->str;
            b.append({"XACK", "stream", "group", id});
            b.append({"XDEL", "stream", id});
        }
        b.take();
    }
    return rate(n, begin);
}

/// Claims 256, finishes them, until n are done.
double claim_and_finish(open_store& store, std::size_t n) {
    const std::vector<std::size_t> credits{256};
    std::vector<settlement> settlements;
    std::size_t done = 0;
    const auto begin = steady::now();
    while (done < n) {
        const auto claimed = store->claim(credits, std::chrono::milliseconds(0));
        settlements.assign(claimed.size(), {});
        for (std::size_t i = 0; i < claimed.size(); ++i) {
            settlements[i].of = claimed[i].held;
        }
        store->commit({}, settlements);
        done += claimed.size();
    }
    return rate(done, begin);
}

struct outcome {
    std::vector<double> bare, ours, ratio;
    void add(double b, double o) {
        bare.push_back(b);
        ours.push_back(o);
        ratio.push_back(o / b);
    }
    void tell(const char* what, const std::string& sync, const char* name_of_bare,
              bench::results& out) const {
        std::printf("  %-34s bare %8.0f/s  store %8.0f/s  ratio %.2f (%.2f to %.2f)\n", what,
                    median(bare), median(ours), median(ratio), *std::ranges::min_element(ratio),
                    *std::ranges::max_element(ratio));
        const auto chart =
            std::string("Redis, appendfsync ").append(sync).append(": ").append(what);
        out.add({.part = "stores",
                 .chart = chart,
                 .name = name_of_bare,
                 .unit = "jobs/s",
                 .less_is_better = false,
                 .rounds = bare});
        out.add({.part = "stores",
                 .chart = chart,
                 .name = "the Redis store",
                 .unit = "jobs/s",
                 .less_is_better = false,
                 .rounds = ours,
                 .against = name_of_bare,
                 .target = ">= 0.5"});
    }
};

/// A process that fills the store, takes some and dies; then what its successor needs.
void after_a_death(const std::string& url, const sizes& s, const std::string& sync,
                   bench::results& out) {
    bench::child dead([&](bench::figure_line& line) {
        open_store store(url, "dead");
        store.fill(s.behind);
        const std::vector<std::size_t> credits{std::min<std::size_t>(1000, s.behind)};
        line.put(static_cast<double>(store->claim(credits, std::chrono::milliseconds(0)).size()));
        ::pause();
    });
    dead.line.get();
    dead.end();
    const auto begin = steady::now();
    open_store store(url, "dead");
    const auto open = microseconds_since(begin);
    const std::vector<std::size_t> credits{1};
    const auto found = store->claim(credits, std::chrono::milliseconds(0)).size();
    const auto all = microseconds_since(begin);
    std::printf("  after kill -9 with %zu behind: open %.1f ms, then %zu job after %.1f ms\n",
                s.behind, open / 1e3, found, (all - open) / 1e3);
    out.add({.part = "stores",
             .chart = "after kill -9 with " + std::to_string(s.behind) + " jobs, until the first",
             .name = "the Redis store, appendfsync " + sync,
             .unit = "ms",
             .rounds = {all / 1e3},
             .target = "<= 100"});
}

void enqueue(const std::string& url, const sizes& s, const std::string& sync, double f,
             bench::results& out) {
    bare b(url);
    open_store store(url, "enqueue");
    outcome found;
    std::vector<double> times;
    std::vector<double> bare_times;
    for (int round = 0; round < s.rounds; ++round) {
        const auto n = s.jobs / 64 * 64;
        const auto pushed = bare_pushes(b, n, bare_times);
        found.add(pushed, store_puts(store, n, times));
    }
    found.tell("enqueue, 64 waiting", sync, "LPUSH, 64 in a pipeline", out);
    const auto tell = [f](const char* what, const std::vector<double>& t) {
        const auto p50 = at_fraction(t, 0.5);
        const auto p99 = at_fraction(t, 0.99);
        std::printf("  %-34s p50 %.0f us (%.1f F)  p99 %.0f us (%.1f F)\n", what, p50, p50 / f, p99,
                    p99 / f);
    };
    tell("64 bare LPUSHes", bare_times);
    tell("a commit of 64", times);
}

void consume(const std::string& url, const sizes& s, const std::string& sync, bench::results& out) {
    bare b(url);
    b.append({"XGROUP", "CREATE", "stream", "group", "0", "MKSTREAM"});
    b.take();
    const auto n = s.jobs / 50 * 50;
    fill_stream(b, s.behind);
    open_store store(url, "consume");
    store.fill(s.behind);
    outcome found;
    for (int round = 0; round < s.rounds; ++round) {
        fill_stream(b, n);
        store.fill(n);
        const auto read = bare_reads(b, n);
        found.add(read, claim_and_finish(store, n));
    }
    const auto name = "claim + finish, " + std::to_string(s.behind) + " behind";
    found.tell(name.c_str(), sync, "XREADGROUP 50, XACK and XDEL", out);
    b.append({"DEL", "stream"});
    b.take();
}

void measure(const std::string& url, const std::string& sync, const sizes& s, double f,
             bench::results& out) {
    std::printf("appendfsync %s\n", sync.c_str());
    after_a_death(url, s, sync, out);
    enqueue(url, s, sync, f, out);
    consume(url, s, sync, out);
}

}  // namespace

int main(int argc, char** argv) {
    sizes s;
    std::string parent = std::filesystem::temp_directory_path();
    std::string store;
    std::vector<std::string> syncs{"always", "everysec"};
    CLI::App app("What the Redis store does by itself, beside bare commands.");
    app.add_option("--directory", parent, "which disk")->capture_default_str();
    app.add_option("--store", store, "redis://... of a server; else each gets one of its own");
    app.add_option("--sync", syncs, "appendfsync of its own servers")->capture_default_str();
    app.add_option("--behind", s.behind, "jobs that wait behind")->capture_default_str();
    app.add_option("--rounds", s.rounds, "how often")->capture_default_str();
    const auto common = bench::parse(app, argc, argv);
    if (common.smoke) {
        s = {20, 640, 2'000, 1};
    }
    bench::results out(common.json);
    const bench::disk_directory place(parent);
    const auto f = median_sync(place.path(), s.syncs);
    std::printf("F, an append of 4 KiB and fdatasync: %.0f us\n", f);
    if (!store.empty()) {
        measure(store, "as it is", s, f, out);
        return 0;
    }
    for (const auto& sync : syncs) {
        const auto conf = "auto-aof-rewrite-percentage 0;appendfsync " + sync;
        ::setenv("POSTLUDE_REDIS_CONF", conf.c_str(), 1);
        const auto data = place.path() + "/" + sync;
        const bench::own_server server("redis", data);
        measure(server.url(), sync, s, f, out);
    }
}
