// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/redis/scripts.hpp"

namespace postlude::detail::redis {

// ARGV: owner, token, what (0 retry, 1 cancel, 2 erase), ids. Answers a digit for each: 0 changed,
// 1 not found, 2 not possible.
const char* const amend_text = R"lua(
if not registered() then return redis.error_reply('POSTLUDEOWNER is not registered') end
local what = ARGV[3]
local owners = redis.call('HKEYS', base .. 'owners')
local answers = {}

-- Where it stands, and how to take it out of there.
local function find(id, body)
    local entry = redis.call('HGET', base .. 'ended', id)
    if entry then
        local state, at, owner, claimed_at, run_at, crashes, lane = string.match(entry,
            '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+)$')
        return {state = tonumber(state), at = at, owner = owner, claimed_at = claimed_at,
            run_at = run_at, crashes = tonumber(crashes), lane = lane}
    end
    for _, owner in ipairs(owners) do
        local value = redis.call('HGET', base .. 'claimed:' .. owner, id)
        if value then
            local c = read_claim(value)
            return {state = 2, owner = owner, claimed_at = c.at, run_at = c.run_at,
                crashes = c.crashes, lane = c.lane}
        end
    end
    local created, lane = head_of(body)
    local runs = read_runs(id, body)
    local key = (runs.crashes > 0 and 'suspect:' or 'ready:') .. lane
    local run_at = redis.call('ZSCORE', base .. key, id)
    return {state = 1, owner = '0', claimed_at = '0', crashes = runs.crashes, lane = lane,
        key = key, run_at = run_at or created, in_list = not run_at}
end

local function take_out(id, job)
    if job.in_list then
        redis.call('SADD', base .. 'gone:' .. job.lane, job.run_at .. id)
    elseif job.state == 1 then
        redis.call('ZREM', base .. job.key, id)
    elseif job.state == 2 then
        unclaim(job.owner, id)
    else
        forget_end(id, job.state, job.lane)
    end
end

local undone = {[3] = 6, [6] = 7, [4] = 8, [5] = 9}
local function retry(id, job)
    local runs = read_runs(id)
    local note = undone[job.state]
    if note == 6 or note == 7 then
        add_note(runs, note, job.at, job.claimed_at, job.owner, '')
    elseif note then
        add_note(runs, note, job.at, '0', '0', '')
    end
    runs.failures, runs.crashes = 0, 0
    add_note(runs, 5, now_text, '0', '0', '')
    write_runs(id, runs)
    if job.in_list then return end
    local early = job.state == 1 and tonumber(job.run_at) < now
    make_ready(id, job.lane, early and job.run_at or now_text, 0)
end

local function amend(id)
    local body = get_body(id)
    if not body then return '1' end
    local job = find(id, body)
    if what == '0' and job.state == 2 or what == '1' and job.state > 2 then return '2' end
    if job.in_list then write_though_full() end  -- all others are taken out of somewhere first
    if what ~= '0' or not job.in_list then take_out(id, job) end
    if what == '0' then
        retry(id, job)
    elseif what == '1' then
        finish(id, 6, job.owner, job.claimed_at, job.run_at, job.crashes, job.lane)
    else
        erase(id, body)
    end
    return '0'
end

for i = 4, #ARGV do answers[#answers + 1] = amend(ARGV[i]) end
wake()
return table.concat(answers)
)lua";

// ARGV: -, -, state, limit, an age in microseconds, how many to keep or ''. Removes the first that
// ended so: those that are too many, or else too old. Answers how many.
const char* const prune_text = R"lua(
local state, limit, age = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local key = base .. 'ended:' .. state
local over = ARGV[6] == '' and 0 or redis.call('ZCARD', key) - ARGV[6]
local ids = {}
if over > 0 then
    ids = redis.call('ZRANGE', key, 0, math.min(limit, over) - 1)
elseif age < now then
    ids = redis.call('ZRANGE', key, '-inf', text(now - age), 'BYSCORE', 'LIMIT', 0, limit)
end
if #ids == 0 then return 0 end
local bodies = get_bodies(ids)
redis.call('ZREMRANGEBYRANK', key, 0, #ids - 1)  -- first, as it needs no memory
for i, id in ipairs(ids) do
    if bodies[i] then
        for _, tag in ipairs(tags_of(bodies[i])) do
            redis.call('SREM', base .. 'tag:' .. tag, id)
        end
        if state == '4' or state == '5' then
            local _, lane = head_of(bodies[i])
            redis.call('HINCRBY', base .. 'gave_up', lane, -1)
        end
    end
end
each('HDEL', 'ended', ids)
each('HDEL', 'runs', ids)
remove_bodies(ids)
return #ids
)lua";

// ARGV: -, -, source, position, how many to look at, state or 0, request id, tag, lanes as
// " 1 2 3 " or '' for any; for the source "ids", the ids. Answers the next position ('' at the end)
// and for each job that is so: id, body, entry of ended, entry of claimed, its owner, score, runs.
const char* const find_text = R"lua(
local source, position, size = ARGV[3], ARGV[4], tonumber(ARGV[5])
local wanted, request_id, tag, lanes = tonumber(ARGV[6]), ARGV[7], ARGV[8], ARGV[9]
local ids, after = {}, ''

if source == 'ids' then
    for i = 10, #ARGV do ids[#ids + 1] = ARGV[i] end
elseif string.sub(source, 1, 5) == 'jobs:' then
    local some = redis.call('HSCAN', base .. source, position, 'COUNT', size)
    after = some[1] == '0' and '' or some[1]
    for i = 1, #some[2], 2 do ids[#ids + 1] = some[2][i] end
elseif string.sub(source, 1, 4) == 'tag:' then
    local some = redis.call('SSCAN', base .. source, position, 'COUNT', size)
    after = some[1] == '0' and '' or some[1]
    ids = some[2]
elseif source == 'claimed' then
    for _, owner in ipairs(redis.call('HKEYS', base .. 'owners')) do
        for _, id in ipairs(redis.call('HKEYS', base .. 'claimed:' .. owner)) do
            ids[#ids + 1] = id
        end
    end
else
    local last = position + size - 1
    if string.sub(source, 1, 5) == 'fifo:' then
        for i, entry in ipairs(redis.call('LRANGE', base .. source, position, last)) do
            ids[i] = string.sub(entry, 17)
        end
    else
        ids = redis.call('ZRANGE', base .. source, position, last)
    end
    if #ids == size then after = tostring(last + 1) end
end

local bodies, ended, runs = get_bodies(ids), get_all('ended', ids), get_all('runs', ids)
local holders = {}
for _, owner in ipairs(redis.call('HKEYS', base .. 'owners')) do
    if redis.call('EXISTS', base .. 'claimed:' .. owner) == 1 then
        holders[owner] = get_all('claimed:' .. owner, ids)
    end
end

local function has_tag(body)
    for _, one in ipairs(tags_of(body)) do
        if one == tag then return true end
    end
    return false
end

local answer = {after}
local function look(i, id)
    local body = bodies[i]
    if not body then return end
    local head, lane, id_size, tags_size =
        string.match(body, '^(%d+ (%d+) %d+ %d+ (%d+) (%d+) )')
    if lanes ~= '' and not string.find(lanes, ' ' .. lane .. ' ', 1, true) then return end
    if request_id ~= '' and string.sub(body, #head + 1, #head + id_size) ~= request_id then
        return
    end
    if tag ~= '' and not has_tag(body) then return end
    local claimed, holder = '', '0'
    for owner, entries in pairs(holders) do
        if entries[i] then
            claimed = entries[i]
            holder = owner
        end
    end
    local state = ended[i] and tonumber(string.sub(ended[i], 1, 1)) or claimed ~= '' and 2 or 1
    if wanted ~= 0 and wanted ~= state then return end
    local score = ''
    if state == 1 then
        local crashes = runs[i] and string.match(runs[i], '^%d+ (%d+)') or
            string.match(body, '^%d+ %d+ %d+ (%d+)')
        local list = crashes ~= '0' and 'suspect:' or 'ready:'
        score = redis.call('ZSCORE', base .. list .. lane, id) or ''
    end
    for _, value in ipairs({id, body, ended[i] or '', claimed, holder, score, runs[i] or ''}) do
        answer[#answer + 1] = value
    end
end

for i, id in ipairs(ids) do look(i, id) end
return answer
)lua";

// ARGV: -, -, id. As find, of one job.
const char* const history_text = R"lua(
local id = ARGV[3]
local body = get_body(id)
if not body then return {} end
local claimed, holder = '', '0'
for _, owner in ipairs(redis.call('HKEYS', base .. 'owners')) do
    local entry = redis.call('HGET', base .. 'claimed:' .. owner, id)
    if entry then
        claimed = entry
        holder = owner
    end
end
return {id, body, redis.call('HGET', base .. 'ended', id) or '', claimed, holder, '',
    redis.call('HGET', base .. 'runs', id) or ''}
)lua";

// ARGV: -, -. Answers for each lane: its text, ready, scheduled, claimed, dead, and the age of the
// oldest that is ready in milliseconds (-1: none).
const char* const stats_text = R"lua(
local answer = {}
local lanes = redis.call('LRANGE', base .. 'lanes', 0, -1)
local claimed = {}
for _, owner in ipairs(redis.call('HKEYS', base .. 'owners')) do
    for _, entry in ipairs(redis.call('HVALS', base .. 'claimed:' .. owner)) do
        local lane = string.match(entry, '(%d+)$')
        claimed[lane] = (claimed[lane] or 0) + 1
    end
end
for i, name in ipairs(lanes) do
    local lane = tostring(i - 1)
    local ready, later, oldest = 0, 0, -1
    local fifo, gone = base .. 'fifo:' .. lane, base .. 'gone:' .. lane
    ready = math.max(redis.call('LLEN', fifo) - redis.call('SCARD', gone), 0)
    for _, entry in ipairs(ready > 0 and redis.call('LRANGE', fifo, 0, 99) or {}) do
        if redis.call('SISMEMBER', gone, entry) == 0 then
            oldest = math.max(math.floor((now - string.sub(entry, 1, 16)) / 1000), 0)
            break
        end
    end
    for _, list in ipairs({'ready:', 'suspect:'}) do
        local key = base .. list .. lane
        local due = redis.call('ZCOUNT', key, '-inf', now_text)
        ready = ready + due
        later = later + redis.call('ZCARD', key) - due
        if due > 0 then
            local head = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
            oldest = math.max(oldest, math.floor((now - head[2]) / 1000))
        end
    end
    local dead = tonumber(redis.call('HGET', base .. 'gave_up', lane) or 0)
    for _, value in ipairs({name, ready, later, claimed[lane] or 0, dead, oldest}) do
        answer[#answer + 1] = value
    end
end
return answer
)lua";

}  // namespace postlude::detail::redis
