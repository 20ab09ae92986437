// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
//
// Which tasks run after which outcome. There is no server here: `pending_response`, on which
// `respond` is built, says what became of each response.

#include <postlude/dispatch/deferred.hpp>

#include <boost/asio/error.hpp>

#include <chrono>
#include <iostream>
#include <mutex>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace {

using namespace std::chrono_literals;

/// What the tasks did, so that it can be printed in a fixed order.
class journal {
public:
    void note(std::string line) {
        const std::lock_guard lock(mutex_);
        lines_.insert(std::move(line));
    }
    void print() {
        const std::lock_guard lock(mutex_);
        for (const auto& line : lines_) {
            std::cout << line << '\n';
        }
    }

private:
    std::mutex mutex_;
    std::multiset<std::string> lines_;
};

journal ran;

void send_welcome(const std::string& who) { ran.note(who + ": handled"); }
void count_delivered(const std::string& who) { ran.note(who + ": sent"); }
void alert(const std::string& who) { ran.note(who + ": failed"); }
void audit(const std::string& who) { ran.note(who + ": always"); }
void alert_on_call(std::string_view task, std::string_view) {
    ran.note(std::string(task) + " threw");
}

// [readme-conditions]
void sign_up(const std::string& who, postlude::queue_id mail, postlude::deferred& after) {
    using postlude::when;
    after.run([who] { send_welcome(who); }, {.name = "welcome mail", .queue = mail});
    after.run([who] { count_delivered(who); }, {.when = when::sent});
    after.run([who] { alert(who); }, {.when = when::failed});
    after.run([who] { audit(who); }, {.when = when::always});
}
// [/readme-conditions]

struct store {
    std::set<std::string> names;
    void create(const std::string& who) { names.insert(who); }
};

// [readme-reserve]
bool create_account(store& accounts, const std::string& who, postlude::deferred& after) {
    if (!after.reserve(1)) {
        return false;  // no room: whatever is answered now goes out as 503, and nothing has changed
    }
    accounts.create(who);
    return after.run([who] { send_welcome(who); });  // not refused any more
}
// [/readme-reserve]

void run() {
    // [readme-options]
    postlude::dispatcher_options options;
    options.pool.threads = 2;
    options.pool.default_queue.capacity = 10'000;
    options.pool.queues = {{.name = "mail", .capacity = 1'000, .workers = 1, .run_limit = 30s}};
    options.pool.on_error = [](const postlude::task_failure& failure) {
        alert_on_call(failure.name, failure.request_id);
    };
    postlude::dispatcher dispatcher(std::move(options));
    const auto mail = dispatcher.queue("mail");
    // [/readme-options]

    const auto outcome = [&](const char* name, std::optional<unsigned> status,
                             boost::system::error_code written) {
        postlude::deferred after(dispatcher);
        sign_up(name, mail, after);
        if (status) {
            postlude::pending_response(after, *status).end(written);
        }
    };
    outcome("200, written", 200, {});
    outcome("200, client gone", 200, boost::asio::error::broken_pipe);
    outcome("404, written", 404, {});
    outcome("no response", std::nullopt, {});

    store accounts;
    {
        postlude::deferred after(dispatcher);
        create_account(accounts, "reserved", after);
        after.run([] { throw std::runtime_error("no luck"); }, {.name = "a task"});
        postlude::pending_response(after, 201).end({});
    }

    // [readme-shutdown]
    const auto report = dispatcher.shutdown(25s);
    for (const auto& task : report.lost) {
        std::cerr << task.name << " of request " << task.request_id << " is lost\n";
    }
    // [/readme-shutdown]
    ran.print();
    const auto counts = dispatcher.counters();
    std::cout << counts.registered << " registered, " << counts.completed << " completed, "
              << counts.failed << " failed, " << counts.discarded << " discarded\n";
}

}  // namespace

int main() { run(); }
