// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include <postlude/backends/postgres.hpp>
#include <postlude/backends/rabbitmq.hpp>
#include <postlude/backends/redis.hpp>
#include <postlude/backends/sqlite.hpp>
#include <postlude/dispatch/commit.hpp>
#include <postlude/http/respond.hpp>
#include <postlude/mail/mailer.hpp>

#include <boost/beast/_experimental/test/stream.hpp>
#include <boost/beast/http.hpp>

#include <boost/describe/class.hpp>

#include <chrono>
#include <cstdio>

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

struct greeting {
    std::string to;
    static constexpr postlude::job_traits job{.kind = "greeting",
                                              .stored = postlude::durability::durable};
};
BOOST_DESCRIBE_STRUCT(greeting, (), (to))

// Whether a job that is stored runs.
bool job_runs() {
    std::string greeted;
    {
        postlude::dispatcher_options options;
        options.jobs.store = postlude::sqlite_backend({.file = "consumer.db"});
        options.kinds.handle<greeting>([&](const greeting& job) { greeted = job.to; });
        postlude::dispatcher dispatcher(std::move(options));
        postlude::deferred after(dispatcher);
        after.enqueue(greeting{"the consumer"});
        if (commit(after, 200)) {
            return false;
        }
        postlude::pending_response(after, 200).end({});
    }
    return greeted == "the consumer";
}

// Whether a URL chooses each store, and nobody is there to answer.
bool stores_are_chosen() {
    for (const auto* url : {"postgresql://127.0.0.1:1/jobs", "redis://127.0.0.1:1/0",
                            "amqp://guest:guest@127.0.0.1:1/jobs"}) {
        const auto store = postlude::backend_from_url(
            url, {postlude::sqlite_scheme(), postlude::postgres_scheme(), postlude::redis_scheme(),
                  postlude::rabbitmq_scheme()});
        try {
            store->open({});
            return false;
        } catch (const boost::system::system_error& e) {
            if (e.code() != postlude::errc::store_unavailable) {
                std::fprintf(stderr, "%s\n", e.what());
                return false;
            }
        }
    }
    return true;
}

// One request, one response, one task after it.
int main() {
    asio::io_context io;
    beast::test::stream stream(io);
    auto client = beast::test::connect(stream);
    postlude::dispatcher dispatcher;

    http::request<http::string_body> request(http::verb::get, "/", 11);
    http::response<http::string_body> response(http::status::ok, 11);
    response.body() = "installed";

    std::string seen;
    {
        postlude::deferred after(dispatcher, request);
        after.run([&] { seen = client.str(); });
        postlude::respond(stream, std::move(response), after);
    }
    const auto report = dispatcher.pool().drain(std::chrono::seconds(20));
    if (!report.clean() || !seen.ends_with("installed")) {
        std::fprintf(stderr, "the task saw this of its response: %s\n", seen.c_str());
        return 1;
    }
    boost::system::error_code ec;
    postlude::mail::mailer({.port = 1, .security = postlude::mail::security::none})
        .send({.from = {"", "no address"}}, ec);
    if (!postlude::mail::is_permanent(ec)) {
        std::puts("the mailer took a bad address");
        return 1;
    }
    if (!job_runs()) {
        std::puts("the job did not run");
        return 1;
    }
    if (!stores_are_chosen()) {
        std::puts("a store on a server was not chosen by its URL");
        return 1;
    }
    std::puts("the task ran after its response");
}
