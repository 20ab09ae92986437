// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
//
// Jobs: named work with plain arguments that outlives its process. Usage: example_jobs FILE
#include <postlude/backends/sqlite.hpp>
#include <postlude/dispatch/commit.hpp>
#include <postlude/dispatch/testing.hpp>

#include <boost/describe/class.hpp>

#include <iostream>
#include <stdexcept>
#include <string>

namespace {

// [readme-job]
struct welcome_mail {
    std::string to, name;
    static constexpr postlude::job_traits job{.kind = "welcome_mail",
                                              .queue = "mail",
                                              .stored = postlude::durability::durable,
                                              .secret = {"to"}};  // in no error message
};
BOOST_DESCRIBE_STRUCT(welcome_mail, (), (to, name))
// [/readme-job]

struct charge {
    std::string invoice;
    static constexpr postlude::job_traits job{
        .kind = "charge", .attempts = 2, .retry = {.base = {}, .unit = {}}};
};
BOOST_DESCRIBE_STRUCT(charge, (), (invoice))

struct receipt_mail {
    std::string invoice;
    static constexpr postlude::job_traits job{.kind = "receipt_mail"};
};
BOOST_DESCRIBE_STRUCT(receipt_mail, (), (invoice))

void send(const std::string& what) { std::cout << what + "\n" << std::flush; }

postlude::dispatcher_options options(const char* file) {
    // [readme-dispatcher]
    postlude::dispatcher_options options;
    options.pool.queues = {{.name = "mail", .workers = 4}};
    options.jobs.store = postlude::sqlite_backend({.file = file});
    options.kinds
        .handle<welcome_mail>([](const welcome_mail& mail) { send("welcome, " + mail.name); })
        .handle<charge>([](const charge& job, postlude::job_context& context) {
            if (job.invoice == "unpaid" || context.attempt() == 1) {
                throw std::runtime_error("the bank does not answer");
            }
            context.enqueue(receipt_mail{job.invoice});  // stored together with this job's end
        })
        .handle<receipt_mail>(
            [](const receipt_mail& mail) { send("receipt for " + mail.invoice); });
    // [/readme-dispatcher]
    return options;
}

// [readme-enqueue]
void sign_up(const std::string& email, const std::string& name, postlude::deferred& after) {
    after.enqueue(welcome_mail{email, name}, {.tags = {"customer:" + name}});
    after.enqueue(charge{"1001"}, {.delay = std::chrono::milliseconds(1)});
}
// [/readme-enqueue]

void test_sign_up() {
    // [readme-testing]
    postlude::job_registry kinds;
    kinds.handle<welcome_mail>([](const welcome_mail&) {}).handle<charge>([](const charge&) {});
    postlude::testing::job_tester jobs(std::move(kinds), postlude::job_running::by_hand,
                                       {.threads = 1, .queues = {{.name = "mail"}}});
    postlude::deferred after(jobs.get_dispatcher());
    sign_up("ada@example.com", "Ada", after);
    commit(after, 200);  // as a response with this status would
    postlude::pending_response(after, 200).end({});

    bool good = jobs.was_enqueued(welcome_mail{"ada@example.com", "Ada"});
    good = good && jobs.run_ready() == 1;  // the charge is for later
    jobs.pass(std::chrono::milliseconds(1));
    good = good && jobs.run_ready() == 1;
    // [/readme-testing]
    send(good ? "the test passed" : "the test failed");
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        return 2;
    }
    test_sign_up();
    {
        postlude::dispatcher dispatcher(options(argv[1]));
        {
            postlude::deferred after(dispatcher, {.id = "request-1"});
            sign_up("ada@example.com", "Ada", after);
            commit(after, 200);
            postlude::pending_response(after, 200).end({});
        }
        {
            postlude::deferred after(dispatcher, {.id = "request-2"});
            after.enqueue(charge{"unpaid"});
            commit(after, 200);
            postlude::pending_response(after, 200).end({});
        }
        const auto ended = [&] {
            return dispatcher.find({.state = postlude::job_state::done}).size() == 3 &&
                   dispatcher.find({.state = postlude::job_state::dead}).size() == 1;
        };
        for (int i = 0; i < 6'000 && !ended(); ++i) {
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
        }
    }
}
