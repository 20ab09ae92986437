// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/redis/scripts.hpp"

namespace postlude::detail::redis {

// Numbers of Lua are doubles: exact for microseconds since 1970, but not for a job's id, which is
// therefore always text. `tostring` would round times.
const char* const prelude = R"lua(
local base = string.sub(KEYS[1], 1, -5)
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local now_text = string.format('%d%06d', t[1], t[2])
local me = ARGV[1]

local function text(number) return string.format('%.0f', number) end

-- A server whose memory is full refuses a script whose first write may need more of it, and lets
-- one go on that has begun with another. What must go on begins so: this one changes nothing.
local function write_though_full() redis.call('ZREM', base .. 'leases', '-') end

-- With more arguments than Lua's stack has room for.
local function each(command, key, list)
    for i = 1, #list, 4000 do
        redis.call(command, base .. key, unpack(list, i, math.min(i + 3999, #list)))
    end
end

local function get_all(key, list)
    if #list <= 4000 then
        return #list == 0 and {} or redis.call('HMGET', base .. key, unpack(list))
    end
    local all = {}
    for i = 1, #list, 4000 do
        local last = math.min(i + 3999, #list)
        local some = redis.call('HMGET', base .. key, unpack(list, i, last))
        for k = 1, last - i + 1 do all[i + k - 1] = some[k] end
    end
    return all
end

local function registered()
    return redis.call('HGET', base .. 'owners', me) == ARGV[2]
end

-- Of a user that may not, others find out when they look by themselves.
local function wake()
    redis.pcall('PUBLISH', base .. 'wake', '')
end
)lua";

// The ways of one job at a time, for all that is rarer than a claim and its end.
const char* const transitions = R"lua(
local function head_of(body)
    local created, lane, failures, crashes, id_size, tags_size =
        string.match(body, '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) ')
    return created, lane, failures, crashes, id_size, tags_size
end

-- Nothing of it is there for a job to which nothing has happened.
local function read_runs(id, body)
    local value = redis.call('HGET', base .. 'runs', id)
    if value then
        local failures, crashes, attempts, count, rest =
            string.match(value, '^(%d+) (%d+) (%d+) (%d+)\n(.*)$')
        return {failures = tonumber(failures), crashes = tonumber(crashes),
            attempts = tonumber(attempts), count = tonumber(count), notes = rest}
    end
    local _, _, failures, crashes = head_of(body or redis.call('HGET', base .. 'jobs', id))
    return {failures = tonumber(failures), crashes = tonumber(crashes), attempts = 0, count = 0,
        notes = ''}
end

local longest_way = 100
local function add_note(runs, what, at, claimed_at, owner, reason)
    if claimed_at ~= '0' then runs.attempts = runs.attempts + 1 end
    runs.count = runs.count + 1
    runs.notes = runs.notes .. table.concat({what, at, claimed_at, owner, runs.attempts,
        #reason, reason}, ' ') .. '\n'
    while runs.count > longest_way do
        local head, size = string.match(runs.notes, '^(%d+ %d+ %d+ %d+ %d+ (%d+) )')
        runs.notes = string.sub(runs.notes, #head + size + 2)
        runs.count = runs.count - 1
    end
end

local function write_runs(id, runs)
    redis.call('HSET', base .. 'runs', id, table.concat({runs.failures, runs.crashes,
        runs.attempts, runs.count}, ' ') .. '\n' .. runs.notes)
end

local function make_ready(id, lane, run_at, crashes)
    redis.call('ZADD', base .. (crashes > 0 and 'suspect:' or 'ready:') .. lane, run_at, id)
end

-- What an entry of `claimed:` says: its fence, then at, run_at, crashes and lane.
local function read_claim(value)
    local claim, at, run_at, crashes, lane =
        string.match(value, '^(%d+) (%d+) (%d+) (%d+) (%d+)$')
    return {claim = claim, at = at, run_at = run_at, crashes = tonumber(crashes), lane = lane}
end

local function unclaim(owner, id)
    redis.call('HDEL', base .. 'claimed:' .. owner, id)
    if redis.call('HGET', base .. 'suspects', owner) == id then
        redis.call('HDEL', base .. 'suspects', owner)
    end
end

local function finish(id, state, owner, claimed_at, run_at, crashes, lane)
    redis.call('HSET', base .. 'ended', id, table.concat({state, now_text, owner, claimed_at,
        run_at, crashes, lane}, ' '))
    redis.call('ZADD', base .. 'ended:' .. state, now_text, id)
    if state == 4 or state == 5 then redis.call('HINCRBY', base .. 'gave_up', lane, 1) end
end

local function forget_end(id, state, lane)
    redis.call('HDEL', base .. 'ended', id)
    redis.call('ZREM', base .. 'ended:' .. state, id)
    if state == 4 or state == 5 then redis.call('HINCRBY', base .. 'gave_up', lane, -1) end
end

local function tags_of(body)
    local head, id_size, tags_size = string.match(body, '^(%d+ %d+ %d+ %d+ (%d+) (%d+) )')
    local tags = {}
    local at = #head + id_size + 1
    local stop = at + tags_size
    while at < stop do
        local size, from = string.match(body, '^(%d+):()', at)
        table.insert(tags, string.sub(body, from, from + size - 1))
        at = from + size
    end
    return tags
end

-- What is left of a job that is in no list.
local function erase(id, body)
    for _, tag in ipairs(tags_of(body)) do redis.call('SREM', base .. 'tag:' .. tag, id) end
    redis.call('HDEL', base .. 'runs', id)
    redis.call('HDEL', base .. 'jobs', id)
end

local function give_back(owner, id, value, reason)
    local c = read_claim(value)
    local runs = read_runs(id)
    add_note(runs, 2, now_text, c.at, owner, reason)
    unclaim(owner, id)  -- first, as it needs no memory
    write_runs(id, runs)
    make_ready(id, c.lane, c.run_at, c.crashes)
end
)lua";

namespace {

std::string put_together(const char* text) { return std::string(prelude).append(text); }
std::string with_transitions(const char* text) {
    return std::string(prelude).append(transitions).append(text);
}

}  // namespace

scripts::scripts()
    : enter(with_transitions(enter_text)),
      leave(with_transitions(leave_text)),
      lane(put_together(lane_text)),
      commit(with_transitions(commit_text)),
      claim(put_together(claim_text)),
      renew(put_together(renew_text)),
      rescue(with_transitions(rescue_text)),
      amend(with_transitions(amend_text)),
      prune(with_transitions(prune_text)),
      find(with_transitions(find_text)),
      history(with_transitions(history_text)),
      stats(put_together(stats_text)) {}

}  // namespace postlude::detail::redis
