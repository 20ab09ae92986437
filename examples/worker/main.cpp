// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
// Two processes on one store: one serves and registers jobs, the other runs them. A job that
// crashes takes its worker with it and not the server; another worker, or the same one started
// again, goes on. Where the store is a server, they may be on different machines, and there may be
// any number of each.
//
//     worker serve sqlite:jobs.db 8080 &
//     worker work sqlite:jobs.db &
//     curl -X POST http://127.0.0.1:8080/pictures/cat.png
#include "stores.hpp"
#include "thumbnail.hpp"

#include <postlude/http/server.hpp>

#include <csignal>
#include <cstdlib>
#include <iostream>
#include <string_view>

namespace http = postlude::http;

namespace {

postlude::dispatcher_options on_store(const char* url) {
    postlude::dispatcher_options options;
    options.jobs.store = open_store(url);
    return options;
}

int serve(const char* url, unsigned short port) {
    auto work = on_store(url);
    work.kinds.declare<make_thumbnail>();  // registered here, run elsewhere
    http::server server({.port = port, .dispatcher = std::move(work)});
    server.post("/pictures/{name}", [](const http::request& req, postlude::deferred& after) {
        after.enqueue(make_thumbnail{std::string(req.param("name"))});
        return http::text(http::status::accepted, "The thumbnail is on its way.\n");
    });
    std::cout << "listening on http://127.0.0.1:" << server.port() << "/" << std::endl;
    return server.run().clean() ? 0 : 1;
}

int work(const char* url) {
    // Before the dispatcher starts its threads, so that none of them takes the signal.
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);

    auto options = on_store(url);
    options.kinds.handle<make_thumbnail>([](const make_thumbnail& job) {
        if (job.picture == "crash.png") {
            std::abort();  // a bug in a library for pictures, say
        }
        std::cout << "thumbnail of " << job.picture << ", " << job.width << " wide" << std::endl;
    });
    postlude::dispatcher dispatcher(std::move(options));
    std::cout << "working" << std::endl;
    int signal = 0;
    sigwait(&signals, &signal);
    return dispatcher.shutdown(std::chrono::seconds(25)).clean() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) try {
    const std::string_view what = argc > 1 ? argv[1] : "";
    if (what == "serve" && argc == 4) {
        return serve(argv[2], static_cast<unsigned short>(std::atoi(argv[3])));
    }
    if (what == "work" && argc == 3) {
        return work(argv[2]);
    }
    std::cerr << "usage: worker serve URL PORT | worker work URL\n";
    return 2;
} catch (const std::exception& e) {
    std::cerr << "worker: " << e.what() << '\n';
    return 1;
}
