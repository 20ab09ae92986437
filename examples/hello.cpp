// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
// A whole server whose handler defers work. Try it: curl -d Ada http://127.0.0.1:8080/greet
// [readme-hello]
#include <postlude/http/server.hpp>

#include <chrono>
#include <iostream>
#include <thread>

namespace http = postlude::http;

int main() {
    http::server server({.address = "127.0.0.1", .port = 8080});

    server.post("/greet", [](const http::request& req, postlude::deferred& after) {
        after.run([name = req.body()] {  // by value: the request is gone when this runs
            std::this_thread::sleep_for(std::chrono::seconds(1));  // a slow mail, say
            std::cout << "greeted " << name << std::endl;
        });
        return http::text(http::status::accepted, "We will greet you, " + req.body() + ".\n");
    });

    server.run();  // until SIGTERM or Ctrl-C; then it finishes what it has accepted
}
// [/readme-hello]
