// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
//
// What does it cost to store a job, to claim it and to finish it, in RabbitMQ's quorum queues?
//
// Beside the store, in the same run, a bare client: the same messages published with as many
// waiting for their confirm, and consumed with an acknowledgement for each 50. In a broker of its
// own, unless --store names one. 300 bytes of arguments a job.
#include "postlude/backends/rabbitmq.hpp"

#include "backends/rabbitmq/connection.hpp"
#include "support/disk.hpp"
#include "support/options.hpp"
#include "support/own_server.hpp"
#include "support/results.hpp"

#include <amqp_framing.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace {

using bench::at_fraction;
using bench::median;
using bench::microseconds_since;
using steady = bench::bench_clock;
using namespace postlude;
namespace wire = postlude::detail::rabbitmq;

struct sizes {
    std::size_t jobs = 50'000;
    int rounds = 5;
};

std::string arguments() {
    return "{\"to\":\"somebody@example.org\",\"text\":\"" + std::string(258, 'x') + "\"}";
}

/// The same by rabbitmq-c alone.
class bare final : wire::connection::listener {
public:
    bare(const std::string& url, std::string queue)
        : queue_(std::move(queue)), on_(address_of(url), std::chrono::seconds(0), self()) {
        on_.open_channel(1);
        amqp_confirm_select_t select{};
        on_.ask(1, AMQP_CONFIRM_SELECT_METHOD, &select, AMQP_CONFIRM_SELECT_OK_METHOD);
        wire::table quorum;
        quorum.add("x-queue-type", "quorum");
        amqp_queue_declare_t declare{};
        declare.queue = wire::bytes(queue_);
        declare.durable = 1;
        declare.arguments = quorum.get();
        on_.ask(1, AMQP_QUEUE_DECLARE_METHOD, &declare, AMQP_QUEUE_DECLARE_OK_METHOD);
    }
    ~bare() {
        amqp_queue_delete_t gone{};
        gone.queue = wire::bytes(queue_);
        on_.send(1, AMQP_QUEUE_DELETE_METHOD, &gone);
    }

    double publish(std::size_t n, std::size_t window) {
        const auto body = arguments();
        amqp_basic_properties_t persistent{};
        persistent._flags = AMQP_BASIC_DELIVERY_MODE_FLAG;
        persistent.delivery_mode = AMQP_DELIVERY_PERSISTENT;
        const auto begin = steady::now();
        for (std::size_t i = 0; i != n; ++i) {
            on_.publish(1, "", queue_, false, persistent, body);
            ++published_;
            while (published_ - confirmed_ >= window) {
                on_.pump(wire::clock::now() + std::chrono::seconds(30));
            }
        }
        while (confirmed_ != published_) {
            on_.pump(wire::clock::now() + std::chrono::seconds(30));
        }
        return static_cast<double>(n) / microseconds_since(begin) * 1e6;
    }

    double consume(std::size_t n) {
        got_ = 0;
        amqp_basic_qos_t window{};
        window.prefetch_count = 500;
        on_.ask(1, AMQP_BASIC_QOS_METHOD, &window, AMQP_BASIC_QOS_OK_METHOD);
        const auto begin = steady::now();
        const auto tag = std::to_string(++tags_);
        amqp_basic_consume_t consume{};
        consume.queue = wire::bytes(queue_);
        consume.consumer_tag = wire::bytes(tag);
        on_.ask(1, AMQP_BASIC_CONSUME_METHOD, &consume, AMQP_BASIC_CONSUME_OK_METHOD);
        std::size_t said = 0;
        while (said < n) {
            on_.pump(wire::clock::now() + std::chrono::seconds(30));
            if (got_ - said >= 50 || got_ == n) {
                amqp_basic_ack_t ack{};
                ack.delivery_tag = last_;
                ack.multiple = 1;
                on_.send(1, AMQP_BASIC_ACK_METHOD, &ack);
                said = got_;
            }
        }
        const auto rate = static_cast<double>(n) / microseconds_since(begin) * 1e6;
        amqp_basic_cancel_t cancel{};
        cancel.consumer_tag = wire::bytes(tag);
        on_.ask(1, AMQP_BASIC_CANCEL_METHOD, &cancel, AMQP_BASIC_CANCEL_OK_METHOD);
        return rate;
    }

private:
    static wire::address address_of(const std::string& url) {
        rabbitmq_options o;
        o.url = url;
        return wire::read_address(o);
    }
    wire::connection::listener& self() { return *this; }
    void delivered(wire::incoming&& message) override {
        last_ = message.tag;
        ++got_;
    }
    void confirmed(std::uint64_t tag, bool multiple, bool) override {
        confirmed_ = multiple ? std::max(confirmed_, tag) : confirmed_ + 1;
    }

    std::string queue_;
    std::uint64_t published_ = 0;
    std::uint64_t confirmed_ = 0;
    std::uint64_t last_ = 0;
    std::size_t got_ = 0;
    int tags_ = 0;
    wire::connection on_;
};

/// Commits of n each until all are stored; jobs a second. What each took is added.
double enqueue(backend& b, std::size_t jobs, std::size_t n, job_id& next,
               std::vector<double>& took) {
    put one;
    one.job.kind = "bench";
    one.job.queue = "bench";
    one.job.arguments = arguments();
    std::vector<put> batch(n, one);
    const auto begin = steady::now();
    for (std::size_t i = 0; i < jobs; i += n) {
        for (auto& p : batch) {
            p.job.id = ++next;
        }
        const auto commit_begin = steady::now();
        b.commit(batch, {});
        took.push_back(microseconds_since(commit_begin));
    }
    return static_cast<double>(jobs) / microseconds_since(begin) * 1e6;
}

double claim_and_finish(backend& b, std::size_t jobs) {
    const std::vector<std::size_t> credits{256};
    std::vector<settlement> settlements;
    std::size_t done = 0;
    const auto begin = steady::now();
    while (done < jobs) {
        const auto claimed = b.claim(credits, std::chrono::milliseconds(0));
        settlements.assign(claimed.size(), {});
        for (std::size_t i = 0; i != claimed.size(); ++i) {
            settlements[i].of = claimed[i].held;
        }
        b.commit({}, settlements);
        done += claimed.size();
    }
    return static_cast<double>(done) / microseconds_since(begin) * 1e6;
}

void add(bench::results& out, const std::string& chart, const std::string& name,
         const std::vector<double>& rates, const std::string& target) {
    std::printf("  %-28s %8.0f jobs/s (%.0f to %.0f)%s%s\n", name.c_str(), median(rates),
                *std::ranges::min_element(rates), *std::ranges::max_element(rates),
                target.empty() ? "" : "  target ", target.c_str());
    out.add({.part = "engines",
             .chart = "RabbitMQ, " + chart,
             .name = name,
             .unit = "jobs/s",
             .less_is_better = false,
             .rounds = rates,
             .target = target});
}

void measure(const std::string& url, const sizes& s, double f, bench::results& out) {
    const auto prefix = "bench-" + std::to_string(::getpid());
    rabbitmq_options options;
    options.url = url;
    options.prefix = prefix;
    const auto store = rabbitmq_backend(options);
    store->open({.kinds = {{"bench", 0}}});
    bare floor(url, prefix + ".bare");
    job_id next = 0;
    std::vector<double> consumed;
    std::vector<double> bare_consumed;
    for (const std::size_t waiting : {64, 512}) {
        std::vector<double> stored;
        std::vector<double> published;
        std::vector<double> took;
        const auto jobs = std::max(s.jobs / waiting, std::size_t{1}) * waiting;
        for (int round = 0; round != s.rounds; ++round) {
            stored.push_back(enqueue(*store, jobs, waiting, next, took));
            published.push_back(floor.publish(jobs, waiting));
            consumed.push_back(claim_and_finish(*store, jobs));
            bare_consumed.push_back(floor.consume(jobs));
        }
        const auto chart = "enqueue, " + std::to_string(waiting) + " waiting";
        std::printf("%s\n", chart.c_str());
        add(out, chart, "Postlude's store", stored, waiting == 64 ? ">= 25000" : ">= 45000");
        add(out, chart, "publish and confirm", published, "");
        std::printf("  commit p50 %.2f ms, p99 %.2f ms: %.1f F\n", at_fraction(took, 0.5) / 1e3,
                    at_fraction(took, 0.99) / 1e3, at_fraction(took, 0.99) / f);
    }
    std::puts("claim 256, finish 256");
    add(out, "claim and finish", "Postlude's store", consumed, ">= 40000");
    add(out, "claim and finish", "consume, ack per 50", bare_consumed, "");
}

}  // namespace

int main(int argc, char** argv) {
    sizes s;
    std::string url;
    std::string parent = std::filesystem::temp_directory_path();
    CLI::App app("What the store in RabbitMQ does by itself.");
    app.add_option("--store", url, "amqp://user:password@host:port/vhost; else one of its own");
    app.add_option("--directory", parent, "which disk")->capture_default_str();
    app.add_option("--rounds", s.rounds, "of each measurement")->capture_default_str();
    const auto common = bench::parse(app, argc, argv);
    if (common.smoke) {
        s = {1'024, 1};
    }
    bench::results out(common.json);
    const bench::disk_directory place(parent);
    std::optional<bench::own_server> server;
    if (url.empty()) {
        server.emplace("rabbitmq", place.path() + "/server");
        url = server->url();
    }
    const auto f = bench::median_sync(place.path(), common.smoke ? 20 : 500);
    std::printf("F, an append of 4 KiB and fdatasync: %.0f us\n", f);
    measure(url, s, f, out);
}
