// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
//
// What a task may capture. When it runs, the request, the response and the list are gone.

#include <postlude/dispatch/deferred.hpp>
#include <postlude/http/request_info.hpp>

#include <boost/beast/http/string_body.hpp>

#include <iostream>
#include <string>
#include <string_view>

namespace {

namespace http = boost::beast::http;
using request = http::request<http::string_body>;

/// Lives as long as the process, as a cache, a database's connections or a mailer do.
struct mailer {
    void send(std::string_view to) const {
        std::cout << "a mail to " + std::string(to) + "\n" << std::flush;
    }
};

// [readme-captures]
void right(const request& req, const mailer& mail, postlude::deferred& after) {
    // The address is the task's own copy. The mailer outlives the dispatcher.
    after.run([to = req.body(), &mail] { mail.send(to); });
}

[[maybe_unused]] void wrong(const request& req, const mailer& mail, postlude::deferred& after) {
    // Both compile, and both read what is gone: the request was destroyed with its response.
    after.run([&] { mail.send(req.body()); });
    after.run([to = std::string_view(req.body()), &mail] { mail.send(to); });
}
// [/readme-captures]

}  // namespace

int main() {
    const mailer mail;                // before the dispatcher, so that it is destroyed after it
    postlude::dispatcher dispatcher;  // its destructor waits for the work
    request req(http::verb::post, "/signup", 11);
    req.body() = "ada@example.com";
    postlude::deferred after(dispatcher, req);
    right(req, mail, after);
    postlude::pending_response(after, 200).end({});
}
