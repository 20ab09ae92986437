// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
// Signs people up. The welcome mail takes its time: one button makes it a job, which is stored
// before the response and run after it; the other sends it before the response. `examples/run.sh`
// starts this together with a mail server.
#include "form.hpp"
#include "welcome_mail.hpp"

#include <postlude/backends/sqlite.hpp>
#include <postlude/core/request_id.hpp>
#include <postlude/dispatch/async_jobs.hpp>
#include <postlude/http/server.hpp>
#include <postlude/mail/mailer.hpp>

#include <boost/asio/error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

#include <charconv>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <mutex>
#include <sstream>
#include <unordered_map>

namespace http = postlude::http;
namespace mail = postlude::mail;
using http::request;
using http::response;
using http::status;

namespace {

struct account {
    std::string id;
    std::string name;
    std::string email;
};

/// In memory; used by all threads that serve.
class account_list {
public:
    account create(const form& form) {
        const auto id = postlude::make_request_id();
        account made{std::string(id.data(), id.size()), form.name, form.email};
        const std::lock_guard lock(mutex_);
        accounts_.emplace(made.id, made);
        return made;
    }

private:
    std::mutex mutex_;
    std::unordered_map<std::string, account> accounts_;
};

welcome_mail welcome(const account& account) { return {account.id, account.name, account.email}; }

response created(const account& account) {
    return http::json(status::created, to_json(account.id));
}

response refused(const form_error& error) {
    return http::json(status::bad_request, to_json(error));
}

std::string contents(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) {
        throw std::runtime_error("cannot read " + path.string());
    }
    std::ostringstream all;
    all << file.rdbuf();
    return all.str();
}

bool is_account(std::string_view id) {
    return id.size() == 32 && id.find_first_not_of("0123456789abcdef") == id.npos;
}

/// The mail as the mail server has kept it, and its job as the store has it.
response progress(const std::filesystem::path& mails, const std::string& id,
                  const std::vector<postlude::job_view>& jobs) {
    const auto file = mails / (id + ".json");
    const bool delivered = std::filesystem::exists(file);
    auto answer = http::json(
        status::ok, to_json(jobs.empty() ? nullptr : &jobs[0], delivered ? contents(file) : ""));
    answer.set(http::field::cache_control, "no-store");
    return answer;
}

struct settings {
    unsigned short port = 8080;
    mail::mailer_options smtp{.security = mail::security::none};
    std::filesystem::path mails = "mails";
    std::filesystem::path jobs = "jobs.db";
    std::filesystem::path page = "examples/signup/page.html";
};

void serve(const settings& options) {
    mail::mailer mailer(options.smtp);  // outlives the server, whose tasks use it
    postlude::dispatcher_options work{.pool = {.queues = {{.name = "mail", .workers = 2}}}};
    work.jobs.store = postlude::sqlite_backend({.file = options.jobs});
    work.kinds.handle<welcome_mail>([&](const welcome_mail& job, postlude::job_context& context) {
        mailer.send(message_of(job), context.stop_token());
    });
    // Several threads, so that one sign-up that waits for its mail holds up nobody else.
    http::server server({.port = options.port, .threads = 4, .dispatcher = std::move(work)});
    account_list accounts;

    server.get("/", [page = contents(options.page)](const request&, postlude::deferred&) {
        auto answer = http::html(status::ok, page);
        answer.set("Content-Security-Policy",
                   "default-src 'none'; connect-src 'self'; img-src data:; "
                   "script-src 'unsafe-inline'; style-src 'unsafe-inline'");
        return answer;
    });

    server.post("/signup", [&](const request& req, postlude::deferred& after) {
        const auto parsed = parse_form(req.body());
        if (const auto* error = std::get_if<form_error>(&parsed)) {
            return refused(*error);
        }
        const auto account = accounts.create(std::get<form>(parsed));
        after.enqueue(welcome(account), {.tags = {"account:" + account.id}});
        return created(account);
    });

    // The same as it is without Postlude.
    server.post("/signup/inline", [&](const request& req, postlude::deferred&) {
        const auto parsed = parse_form(req.body());
        if (const auto* error = std::get_if<form_error>(&parsed)) {
            return refused(*error);
        }
        const auto account = accounts.create(std::get<form>(parsed));
        mailer.send(message_of(welcome(account)));
        return created(account);
    });

    server.get("/mail",
               [&](const request& req, postlude::deferred&) -> boost::asio::awaitable<response> {
                   const std::string id(http::query(req, "id"));
                   if (!is_account(id)) {
                       co_return http::json(status::bad_request,
                                            R"({"error": "This is no id of an account."})");
                   }
                   const postlude::job_query query{.tag = "account:" + id};
                   const auto executor = co_await boost::asio::this_coro::executor;
                   const auto jobs = co_await postlude::async_find(
                       server.get_dispatcher(), query, executor, boost::asio::use_awaitable);
                   co_return progress(options.mails, id, jobs);
               });

    std::cout << "listening on http://127.0.0.1:" << server.port() << "/" << std::endl;
    server.run();
}

constexpr auto usage =
    "usage: signup [--port N] [--smtp-port N] [--mails DIRECTORY] [--jobs FILE] "
    "[--page FILE]";

settings parse(int argc, char** argv) {
    settings parsed;
    for (int i = 1; i < argc; i += 2) {
        const std::string_view name = argv[i];
        const std::string_view value = i + 1 < argc ? argv[i + 1] : "";
        const auto port = [&](unsigned short& to) {
            const auto end = value.data() + value.size();
            const auto [stop, failed] = std::from_chars(value.data(), end, to);
            return stop == end && failed == std::errc();
        };
        bool good = !value.empty();
        if (name == "--port") {
            good = good && port(parsed.port);
        } else if (name == "--smtp-port") {
            good = good && port(parsed.smtp.port);
        } else if (name == "--mails") {
            parsed.mails = value;
        } else if (name == "--jobs") {
            parsed.jobs = value;
        } else if (name == "--page") {
            parsed.page = value;
        } else {
            good = false;
        }
        if (!good) {
            throw std::runtime_error(usage);
        }
    }
    return parsed;
}

}  // namespace

int main(int argc, char** argv) {
    settings options;
    try {
        options = parse(argc, argv);
        serve(options);
    } catch (const boost::system::system_error& e) {
        if (e.code() == boost::asio::error::address_in_use) {
            std::cerr << "signup: 127.0.0.1:" << options.port
                      << " is in use by another program; choose another port with --port\n";
        } else {
            std::cerr << "signup: " << e.what() << '\n';
        }
        return 1;
    } catch (const std::exception& e) {
        std::cerr << "signup: " << e.what() << '\n';
        return 1;
    }
}
