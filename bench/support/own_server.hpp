// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_BENCH_SUPPORT_OWN_SERVER_HPP
#define POSTLUDE_BENCH_SUPPORT_OWN_SERVER_HPP

#include "load.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

namespace bench {

/// A server of a job store, by tests/servers/NAME.sh, which keeps its data in a directory. Ends
/// with this process, or when it is destroyed.
class own_server {
public:
    own_server(const std::string& name, const std::filesystem::path& directory) {
        // It has a user of its own.
        std::filesystem::permissions(directory.parent_path(), std::filesystem::perms(0755));
        int ends[2];
        if (::pipe2(ends, O_CLOEXEC) != 0) {
            fail("pipe2");
        }
        const auto script = std::string(STORE_SERVERS "/").append(name).append(".sh");
        pid_ = ::fork();
        if (pid_ < 0) {
            fail("fork");
        }
        if (pid_ == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGTERM);
            ::dup2(ends[1], STDOUT_FILENO);
            ::execl("/bin/bash", "bash", script.c_str(), directory.c_str(), nullptr);
            ::_exit(127);
        }
        ::close(ends[1]);
        output_ = ::fdopen(ends[0], "r");
        while (url_.empty()) {
            char line[1024];
            if (!std::fgets(line, sizeof line, output_)) {
                fail((script + " did not start the server").c_str());
            }
            const std::string text(line);
            if (text.starts_with("url ")) {
                url_ = text.substr(4, text.find('\n') - 4);
                if (name == "postgres") {
                    url_ += "?sslmode=disable";  // as its peers come, and none encrypts here
                }
            }
        }
    }
    own_server(const own_server&) = delete;
    own_server& operator=(const own_server&) = delete;
    ~own_server() {
        ::kill(pid_, SIGTERM);
        ::waitpid(pid_, nullptr, 0);
        std::fclose(output_);
    }

    const std::string& url() const noexcept { return url_; }

private:
    pid_t pid_ = -1;
    std::FILE* output_ = nullptr;
    std::string url_;
};

}  // namespace bench

#endif
