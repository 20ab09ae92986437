// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_TESTS_BACKENDS_REDIS_SUPPORT_HPP
#define POSTLUDE_TESTS_BACKENDS_REDIS_SUPPORT_HPP

#include "postlude/backends/redis.hpp"
#include "postlude/core/error.hpp"

#include "backends/redis/connection.hpp"
#include "redis_server.hpp"
#include "support/catch.hpp"
#include "support/eventually.hpp"

#include <boost/system/system_error.hpp>

#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace test {

using namespace std::chrono_literals;

/// A store that is open, with one kind to serve: "mail".
class redis_store {
public:
    explicit redis_store(const std::string& url, std::chrono::milliseconds timeout = 60s)
        : redis_store(postlude::redis_options{.url = url, .timeout = timeout}) {}
    explicit redis_store(const postlude::redis_options& options) {
        backend_ = postlude::redis_backend(options);
        postlude::open_options asked;
        asked.kinds = {{"mail", 0}};
        info = backend_->open(asked);
        next_ = postlude::job_id{info.owner} << 40;
    }
    postlude::backend* operator->() const { return backend_.get(); }

    postlude::put job(const std::string& kind = "mail") {
        postlude::put p;
        p.job.id = ++next_;
        p.job.kind = kind;
        p.job.queue = "out";
        return p;
    }
    postlude::commit_result commit(const postlude::put& p) { return backend_->commit({&p, 1}, {}); }
    postlude::job_id add(const postlude::put& p) {
        const auto result = commit(p);
        REQUIRE(result.puts[0].what == postlude::put_result::outcome::stored);
        return p.job.id;
    }
    /// What is ready, at once.
    std::vector<postlude::claimed_job> take(std::size_t n = 1) {
        return backend_->claim(std::vector{n}, 0ms);
    }
    postlude::settled settle(const postlude::receipt& of, postlude::verdict what,
                             const std::string& reason = {}) {
        postlude::settlement s;
        s.of = of;
        s.what = what;
        s.reason = reason;
        return backend_->commit({}, {&s, 1}).settlements[0];
    }
    postlude::job_view view(postlude::job_id id) {
        postlude::job_query query;
        query.ids = {id};
        const auto found = backend_->find(query);
        REQUIRE(found.size() == 1);
        return found[0];
    }

    postlude::opened info;

private:
    std::unique_ptr<postlude::backend> backend_;
    postlude::job_id next_ = 0;
};

/// One who may send any command.
class redis_admin {
public:
    explicit redis_admin(const std::string& url = shared_redis().url())
        : to_(postlude::redis_options{.url = url}), server_(to_) {}

    /// The answer's text, or its number as text; of several, with a blank between them.
    std::string operator()(std::initializer_list<std::string_view> words) {
        const auto until = std::chrono::steady_clock::now() + patience;
        return text_of(server_.call(postlude::detail::redis::command(words), until));
    }

private:
    static std::string text_of(const postlude::detail::redis::reply_view& r) {
        if (!r.is_array()) {
            return r.text().empty() ? std::to_string(r.integer()) : std::string(r.text());
        }
        std::string all;
        for (std::size_t i = 0; i < r.size(); ++i) {
            all.append(i > 0 ? " " : "").append(text_of(r[i]));
        }
        return all;
    }

    postlude::detail::redis::location to_;
    postlude::detail::redis::connection server_;
};

/// How many scripts the shared server has run by their names.
inline int scripts_run() {
    const auto all = redis_admin()({"INFO", "commandstats"});
    const std::string name = "cmdstat_evalsha:calls=";
    const auto at = all.find(name);
    return at == all.npos ? 0 : std::stoi(all.substr(at + name.size()));
}

inline std::string with_user(const std::string& user, const std::string& password) {
    return "redis://" + user + ":" + password + "@127.0.0.1:" + shared_redis().port() +
           "/0?prefix=" + new_prefix();
}

/// A user of the shared server, as long as this lives.
class redis_user {
public:
    redis_user(std::string name, std::initializer_list<std::string_view> rules)
        : name_(std::move(name)) {
        std::vector<std::string_view> words{"ACL", "SETUSER", name_, "on", ">user-secret"};
        words.insert(words.end(), rules);
        postlude::detail::redis::command c;
        for (const auto word : words) {
            c.add(word);
        }
        postlude::detail::redis::location to(postlude::redis_options{.url = shared_redis().url()});
        postlude::detail::redis::connection server(to);
        const auto answer = server.call(c, std::chrono::steady_clock::now() + patience);
        REQUIRE(answer.text() == "OK");
    }
    redis_user(const redis_user&) = delete;
    redis_user& operator=(const redis_user&) = delete;
    ~redis_user() { redis_admin()({"ACL", "DELUSER", name_}); }

private:
    std::string name_;
};

/// A setting of the shared server, as long as this lives.
class redis_setting {
public:
    redis_setting(std::string name, const std::string& value) : name_(std::move(name)) {
        const auto before = admin_({"CONFIG", "GET", name_});
        before_ = before.substr(std::min(before.find(' ') + 1, before.size()));
        REQUIRE(admin_({"CONFIG", "SET", name_, value}) == "OK");
    }
    redis_setting(const redis_setting&) = delete;
    redis_setting& operator=(const redis_setting&) = delete;
    ~redis_setting() { admin_({"CONFIG", "SET", name_, before_}); }

private:
    redis_admin admin_;
    std::string name_;
    std::string before_;
};

/// Further lines for the configuration of the servers that are started meanwhile.
class redis_configuration {
public:
    explicit redis_configuration(const std::string& lines) {
        ::setenv("POSTLUDE_REDIS_CONF", lines.c_str(), 1);
    }
    redis_configuration(const redis_configuration&) = delete;
    redis_configuration& operator=(const redis_configuration&) = delete;
    ~redis_configuration() { ::unsetenv("POSTLUDE_REDIS_CONF"); }
};

/// The code and the sentence of what f throws.
template <class F>
std::pair<boost::system::error_code, std::string> what_fails(F f) {
    try {
        f();
    } catch (const boost::system::system_error& e) {
        return {e.code(), e.what()};
    }
    return {};
}

}  // namespace test

#endif
