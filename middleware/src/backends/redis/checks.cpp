// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/redis/checks.hpp"

#include <boost/system/system_error.hpp>

#include <array>

namespace postlude::detail::redis {

namespace {

// Each command on a key that is empty before and after. One that needs no memory is the first.
constexpr const char* probe_text = R"lua(
local hash, list, set, sorted = base .. 'probe:h', base .. 'probe:l', base .. 'probe:s',
    base .. 'probe:z'
for _, command in ipairs({{'DEL', hash}, {'HSET', hash, 'a', '1'}, {'HGET', hash, 'a'},
    {'HMGET', hash, 'a'}, {'HGETALL', hash}, {'HKEYS', hash}, {'HVALS', hash}, {'HSCAN', hash, 0},
    {'HINCRBY', hash, 'a', 1}, {'HDEL', hash, 'a'}, {'RPUSH', list, 'a'}, {'LPUSH', list, 'a'}, {'LLEN', list},
    {'LRANGE', list, 0, 0}, {'LINDEX', list, 0}, {'LPOP', list, 2}, {'SADD', set, 'a'}, {'SSCAN', set, 0},
    {'SCARD', set}, {'SISMEMBER', set, 'a'}, {'SMISMEMBER', set, 'a'},
    {'SREM', set, 'a'}, {'ZADD', sorted, 1, 'a'}, {'ZSCORE', sorted, 'a'}, {'ZCARD', sorted},
    {'ZCOUNT', sorted, 1, 1}, {'ZRANGE', sorted, 0, 0}, {'ZREM', sorted, 'a'},
    {'ZREMRANGEBYRANK', sorted, 0, 0}, {'EXISTS', hash}, {'TYPE', hash},
    {'DEL', hash}}) do
    local result = redis.pcall(unpack(command))
    if type(result) == 'table' and result['err'] then
        return redis.error_reply(result['err'] .. ': ' .. command[1])
    end
end
return 1
)lua";

}  // namespace

void check_permissions(connection& server, const location& to, deadline until) {
    script probe(std::string(prelude).append(probe_text));
    const auto answer = server.run(probe, command({"0", ""}), until);
    if (answer.is_error()) {
        to.refuse(answer.text());
    }
    // What no script calls.
    try {
        const auto together = server.run_together(
            std::array{command({"EVAL", "return 1", "1", to.key("meta")})}, until);
        if (together.size() != 1 || together[0].is_error()) {
            to.refuse(together.size() == 1 ? together[0].text() : "no answer to EXEC");
        }
    } catch (const boost::system::system_error&) {
        if (!server.was_full()) {  // then nothing is taken between MULTI and EXEC
            throw;
        }
    }
    for (const auto& one : {command({"LRANGE", to.key("probe:l"), "0", "0"}),
                            command({"SMEMBERS", to.key("probe:s")}), command({"TIME"})}) {
        const auto answer_to_one = server.call(one, until);
        if (answer_to_one.is_error()) {
            to.refuse(answer_to_one.text());
        }
    }
}

server_settings read_settings(connection& server, deadline until) {
    const auto answer =
        server.call(command({"CONFIG", "GET", "maxmemory", "maxmemory-policy", "appendonly",
                             "appendfsync", "save", "no-appendfsync-on-rewrite"}),
                    until);
    server_settings settings;
    for (std::size_t i = 0; !answer.is_error() && i + 1 < answer.size(); i += 2) {
        settings[std::string(answer[i].text())] = answer[i + 1].text();
    }
    return settings;
}

bool syncs_always(const server_settings& settings) {
    const auto is = [&](const char* name, const char* value) {
        const auto found = settings.find(name);
        return found != settings.end() && found->second == value;
    };
    return is("appendonly", "yes") && is("appendfsync", "always");
}

std::vector<std::string> unwise(const server_settings& settings) {
    if (settings.empty()) {
        return {
            "this user may not read the server's configuration (CONFIG GET), so nobody has "
            "checked that it keeps what it is given: allow it with ACL SETUSER and +config|get"};
    }
    const auto get = [&](const char* name) {
        const auto found = settings.find(name);
        return found == settings.end() ? std::string() : found->second;
    };
    std::vector<std::string> found;
    if (const auto policy = get("maxmemory-policy");
        get("maxmemory") != "0" && policy != "noeviction") {
        found.push_back("maxmemory-policy is " + policy +
                        ": when its memory is full, the server throws jobs away; set it to "
                        "noeviction");
    }
    if (get("appendonly") != "yes") {
        found.emplace_back(
            get("save").empty()
                ? "the server keeps nothing on disk, so all jobs are lost when it ends; set "
                  "appendonly to yes and appendfsync to always"
                : "the server only saves snapshots, so the jobs of some minutes are lost when it "
                  "dies; set appendonly to yes and appendfsync to always");
        return found;
    }
    if (const auto sync = get("appendfsync"); sync != "always") {
        found.push_back("appendfsync is " + sync +
                        ": a power failure loses jobs that were acknowledged in the last " +
                        (sync == "everysec" ? "second or two" : "half minute") +
                        "; set it to always where that matters");
    } else if (get("no-appendfsync-on-rewrite") == "yes") {
        found.emplace_back(
            "no-appendfsync-on-rewrite is yes: while the log is being rewritten, a power failure "
            "loses jobs that were acknowledged; set it to no");
    }
    return found;
}

}  // namespace postlude::detail::redis
