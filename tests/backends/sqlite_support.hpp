// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_TESTS_BACKENDS_SQLITE_SUPPORT_HPP
#define POSTLUDE_TESTS_BACKENDS_SQLITE_SUPPORT_HPP

#include "postlude/backends/sqlite.hpp"
#include "postlude/core/error.hpp"

#include "support/catch.hpp"
#include "support/eventually.hpp"
#include "support/temporary_directory.hpp"

#include <boost/system/system_error.hpp>

#include <sqlite3.h>

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace test {

using namespace std::chrono_literals;

/// A store that is open, with one kind to serve: "mail".
class open_store {
public:
    explicit open_store(const std::string& file, postlude::open_options asked = mail_options(),
                        postlude::sqlite_options options = {}) {
        options.file = file;
        backend_ = postlude::sqlite_backend(options);
        info = backend_->open(asked);
        next_ = postlude::job_id{info.owner} << 40;
    }
    static postlude::open_options mail_options() {
        postlude::open_options asked;
        asked.kinds = {{"mail", 0}};
        return asked;
    }
    postlude::backend* operator->() const { return backend_.get(); }

    postlude::put job(const std::string& kind = "mail") {
        postlude::put p;
        p.job.id = ++next_;
        p.job.kind = kind;
        p.job.queue = "out";
        return p;
    }
    std::vector<postlude::put> jobs(std::size_t n, const std::string& kind = "mail") {
        std::vector<postlude::put> puts;
        for (std::size_t i = 0; i < n; ++i) {
            puts.push_back(job(kind));
        }
        return puts;
    }
    postlude::job_id add(const postlude::put& p) {
        const auto result = backend_->commit({&p, 1}, {});
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
    std::vector<std::string> steps(postlude::job_id id) {
        std::vector<std::string> what;
        for (const auto& e : backend_->history(id)) {
            what.push_back(e.what);
        }
        return what;
    }
    void close() { backend_.reset(); }

    postlude::opened info;

private:
    std::unique_ptr<postlude::backend> backend_;
    postlude::job_id next_ = 0;
};

/// What a statement answers to a person: columns parted by '|', rows by line ends.
inline std::string sql(const std::string& file, const std::string& statement) {
    sqlite3* db = nullptr;
    REQUIRE(sqlite3_open(file.c_str(), &db) == SQLITE_OK);
    sqlite3_busy_timeout(db, 5000);
    std::string answer;
    char* error = nullptr;
    const auto row = [](void* out, int columns, char** values, char**) {
        auto& text = *static_cast<std::string*>(out);
        for (int i = 0; i < columns; ++i) {
            text.append(i ? "|" : "").append(values[i] ? values[i] : "");
        }
        text.append("\n");
        return 0;
    };
    const auto code = sqlite3_exec(db, statement.c_str(), row, &answer, &error);
    INFO(statement << ": " << (error ? error : ""));
    CHECK(code == SQLITE_OK);
    sqlite3_free(error);
    sqlite3_close(db);
    return answer;
}

/// The code and the sentence of what f throws.
template <class F>
std::pair<boost::system::error_code, std::string> thrown_by(F f) {
    try {
        f();
    } catch (const boost::system::system_error& e) {
        return {e.code(), e.what()};
    }
    return {};
}

/// A process that runs a function of this one. To be made while this one has a single thread.
class forked {
public:
    /// `say` writes a line's worth to the parent.
    explicit forked(const std::function<void(const std::function<void(std::string)>& say)>& run) {
        int ends[2];
        REQUIRE(::pipe(ends) == 0);
        pid_ = ::fork();
        REQUIRE(pid_ >= 0);
        if (pid_ == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            ::close(ends[0]);
            try {
                run([&](std::string text) {
                    text += '\n';
                    if (::write(ends[1], text.data(), text.size()) < 0) {
                        ::_exit(2);
                    }
                });
            } catch (...) {
                ::_exit(3);
            }
            ::_exit(0);
        }
        ::close(ends[1]);
        from_ = ends[0];
    }
    forked(const forked&) = delete;
    forked& operator=(const forked&) = delete;
    ~forked() {
        kill();
        ::close(from_);
    }
    /// The next that it says; empty when it has ended.
    std::string hear() const {
        std::string text;
        char c = 0;
        while (::read(from_, &c, 1) == 1 && c != '\n') {
            text += c;
        }
        return text;
    }
    void signal(int number) const { ::kill(pid_, number); }
    /// SIGKILL; it is gone when this returns.
    void kill() {
        if (pid_ > 0) {
            ::kill(pid_, SIGKILL);
            ::waitpid(std::exchange(pid_, -1), nullptr, 0);
        }
    }
    /// Its exit status, when it ends by itself.
    int wait() {
        int status = 0;
        ::waitpid(std::exchange(pid_, -1), &status, 0);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }

private:
    pid_t pid_ = -1;
    int from_ = -1;
};

}  // namespace test

#endif
