// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/redis/scripts.hpp"

#include <algorithm>
#include <string_view>

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

-- Ids that stand for neighbours have their jobs in one hash.
local function page_of(id) return string.sub(id, 1, 13) end

local function registered()
    return redis.call('HGET', base .. 'owners', me) == ARGV[2]
end

-- Who knows the lane that was made last knows all before it.
local function knows_lanes(count, last)
    return count == '0' or redis.call('LINDEX', base .. 'lanes', count - 1) == last
end

-- Of a user that may not, others find out when they look by themselves.
local function wake()
    redis.pcall('PUBLISH', base .. 'wake', '')
end
)lua";

// What is not needed to store jobs, which is done the most.
const char* const general = R"lua(
-- A server whose memory is full refuses a script whose first write may need more of it, and lets
-- one go on that has begun with another. What must go on begins so: this one changes nothing.
local function write_though_full() redis.call('ZREM', base .. 'leases', '-') end

local function get_body(id) return redis.call('HGET', base .. 'jobs:' .. page_of(id), id) end

local function by_page(ids)
    local pages = {}
    for i, id in ipairs(ids) do
        local page = page_of(id)
        local some = pages[page] or {ids = {}, places = {}}
        pages[page] = some
        some.ids[#some.ids + 1] = id
        some.places[#some.places + 1] = i
    end
    return pages
end

local function get_bodies(ids)
    local all = {}
    for page, some in pairs(by_page(ids)) do
        local found = get_all('jobs:' .. page, some.ids)
        for k, i in ipairs(some.places) do all[i] = found[k] end
    end
    return all
end

local function remove_bodies(ids)
    for page, some in pairs(by_page(ids)) do
        each('HDEL', 'jobs:' .. page, some.ids)
        if redis.call('EXISTS', base .. 'jobs:' .. page) == 0 then
            redis.call('SREM', base .. 'pages', page)
        end
    end
end
)lua";

// Of new jobs that are of one kind, queue and priority, and are to stand at one place. `where` is
// the key that they are to be ready in (`fifo:` if they are so at once), or "=" and the end of
// their entries in `claimed:`.
const char* const placing = R"lua(
local created = ARGV[5]  -- 16 digits
local holds, noisy = false, false

local function ascending(list)
    for i = 2, #list do
        if list[i] < list[i - 1] then return false end
    end
    return true
end

local function place(where, delay, ids, claim)
    local run_at = delay == '0' and created or text(now + delay)
    local places = {}
    if string.byte(where) == 61 then
        holds = true
        local entry = claim .. ' ' .. now_text .. ' ' .. run_at .. ' ' .. string.sub(where, 2)
        for i, id in ipairs(ids) do places[2 * i - 1], places[2 * i] = id, entry end
        each('HSET', 'claimed:' .. me, places)
        if string.byte(where, 2) ~= 48 then
            redis.call('HSET', base .. 'suspects', me, ids[#ids])
        end
    elseif string.byte(where) == 102 then
        noisy = true
        for i, id in ipairs(ids) do places[i] = created .. id end
        if not ascending(places) then table.sort(places) end
        each('RPUSH', where, places)
    else
        noisy = true
        for i, id in ipairs(ids) do places[2 * i - 1], places[2 * i] = run_at, id end
        each('ZADD', where, places)
    end
end

-- Tags of jobs that were stored: count, then id and tag of each.
local function add_tags(at, stored)
    for i = at + 1, at + 2 * ARGV[at], 2 do
        if stored[ARGV[i]] then redis.call('SADD', base .. 'tag:' .. ARGV[i + 1], ARGV[i]) end
    end
    return at + 1 + 2 * ARGV[at]
end

local function end_placing()
    if holds then redis.call('ZADD', base .. 'leases', text(now + ARGV[3]), me) end
    if noisy then wake() end
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
    local _, _, failures, crashes = head_of(body or get_body(id) or '')
    return {failures = tonumber(failures) or 0, crashes = tonumber(crashes) or 0, attempts = 0, count = 0,
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
    remove_bodies({id})
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

std::string put_together(const char* text) {
    return std::string(prelude).append(general).append(text);
}
std::string with_transitions(const std::string& text) {
    return put_together(transitions).append(text);
}

/// Without what only people read. No text within a script may have two hyphens.
std::string compact(std::string_view text) {
    std::string found;
    while (!text.empty()) {
        auto line = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(line.size() + 1, text.size()));
        line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
        line = line.substr(0, line.find("--"));
        if (!line.empty()) {
            found.append(line).append("\n");
        }
    }
    return found;
}

}  // namespace

scripts::scripts()
    : put(compact(std::string(prelude).append(placing).append(put_text))),
      undo(compact(undo_text)),
      enter(with_transitions(enter_text)),
      leave(with_transitions(leave_text)),
      lane(put_together(lane_text)),
      commit(with_transitions(std::string(placing).append(commit_text))),
      claim(put_together(claim_text)),
      renew(put_together(renew_text)),
      rescue(with_transitions(rescue_text)),
      amend(with_transitions(amend_text)),
      prune(with_transitions(prune_text)),
      find(with_transitions(find_text)),
      history(with_transitions(history_text)),
      stats(put_together(stats_text)) {}

}  // namespace postlude::detail::redis
