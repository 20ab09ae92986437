// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
// A server that tests stop from outside. Usage: serve DRAIN_MS TASK_MS [OPEN_FILES [CHAIN
// KEY]], these two for TLS.
//
// GET /work defers a task of TASK_MS, GET /hang one that never ends. Prints "port N", "ran ID" for
// each task that ran, "lost ID" for each that did not, and at last "handled N" requests.
#include "postlude/http/server.hpp"

#include <sys/resource.h>

#include <atomic>
#include <cstdlib>
#include <iostream>
#include <string>
#include <syncstream>
#include <thread>

namespace http = postlude::http;

namespace {

void print(std::string_view what, std::string_view value) {
    std::osyncstream(std::cout) << what << ' ' << value << std::endl;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3) {
        return 2;
    }
    const std::chrono::milliseconds drain(std::atoi(argv[1]));
    const std::chrono::milliseconds length(std::atoi(argv[2]));
    if (argc > 3) {
        const auto files = static_cast<rlim_t>(std::atoi(argv[3]));
        const rlimit limit{.rlim_cur = files, .rlim_max = files};
        ::setrlimit(RLIMIT_NOFILE, &limit);
    }
    std::atomic<std::size_t> handled{0};
    http::server_options options{.port = 0, .threads = 2, .drain = drain};
    options.dispatcher.pool.threads = 2;
    if (argc > 5) {
        options.tls = {.certificate_chain = argv[4], .private_key = argv[5]};
    }
    if (const auto sockets = http::inherited_sockets(); !sockets.empty()) {
        options.inherited_socket = sockets.front();
    }
    http::server server(std::move(options));
    server.get("/work", [&](const http::request&, postlude::deferred& after) {
        ++handled;
        after.run(
            [length](postlude::task_context& task) {
                std::this_thread::sleep_for(length);
                print("ran", task.request_id());
            },
            {.name = "work"});
        return http::text(http::status::ok, "done");
    });
    server.get("/hang", [&](const http::request&, postlude::deferred& after) {
        after.run(
            [](postlude::task_context& task) {
                print("hangs", task.request_id());
                for (;;) {
                    std::this_thread::sleep_for(std::chrono::seconds(1));
                }
            },
            {.name = "hang"});
        return http::text(http::status::ok, "done");
    });
    print("port", std::to_string(server.port()));
    for (const auto& task : server.run().lost) {
        print("lost", task.request_id);
    }
    print("handled", std::to_string(handled));
}
