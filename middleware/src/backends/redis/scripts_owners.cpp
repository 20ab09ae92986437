// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/redis/scripts.hpp"

namespace postlude::detail::redis {

// ARGV: owner (0: a new one), token, lease, this program's version of the format, the oldest one
// that can still work with it, the start of the owner's former tokens, then its claims whose answer
// was lost. Answers the owner's number. A new token is a fence: what was sent under the former one
// and is still on its way changes nothing any more.
const char* const enter_text = R"lua(
local meta = base .. 'meta'
local kind = redis.call('TYPE', meta)['ok']
if kind == 'none' then
    for _, key in ipairs({'pages', 'lanes', 'owners', 'leases', 'ended', 'runs'}) do
        if redis.call('EXISTS', base .. key) == 1 then
            return redis.error_reply('POSTLUDEFOREIGN ' .. base .. key)
        end
    end
    redis.call('HSET', meta, 'format', 'postlude', 'version', ARGV[4], 'min_reader', ARGV[5],
        'next_owner', 1)
elseif kind ~= 'hash' or redis.call('HGET', meta, 'format') ~= 'postlude' then
    return redis.error_reply('POSTLUDEFOREIGN ' .. meta)
end
local version = tonumber(redis.call('HGET', meta, 'version'))
local oldest = tonumber(redis.call('HGET', meta, 'min_reader'))
if version > tonumber(ARGV[4]) and oldest > tonumber(ARGV[4]) then
    return redis.error_reply('POSTLUDENEWER ' .. version .. ' ' .. oldest)
end
local next_owner = tonumber(redis.call('HGET', meta, 'next_owner'))
write_though_full()
if me == '0' then
    if next_owner >= 8388608 then return redis.error_reply('POSTLUDEFULL of owners') end
    me = tostring(next_owner)
    redis.call('HSET', meta, 'next_owner', next_owner + 1)
else
    local token = redis.call('HGET', base .. 'owners', me)
    if token and string.sub(token, 1, #ARGV[6]) ~= ARGV[6] then
        return redis.error_reply('POSTLUDETAKEN by another')
    end
    if next_owner <= tonumber(me) then
        redis.call('HSET', meta, 'next_owner', tonumber(me) + 1)
    end
    if #ARGV > 6 then
        local held = redis.call('HGETALL', base .. 'claimed:' .. me)
        for i = 1, #held, 2 do
            local c = read_claim(held[i + 1])
            for k = 7, #ARGV do
                if c.claim == ARGV[k] then
                    give_back(me, held[i], held[i + 1], 'the answer to its claim was lost')
                end
            end
        end
        wake()
    end
end
redis.call('HSET', base .. 'owners', me, ARGV[2])
redis.call('ZADD', base .. 'leases', text(now + ARGV[3]), me)
return tonumber(me)
)lua";

// ARGV: owner, token. Gives everything back that the owner holds.
const char* const leave_text = R"lua(
if not registered() then return 0 end
local held = redis.call('HGETALL', base .. 'claimed:' .. me)
for i = 1, #held, 2 do give_back(me, held[i], held[i + 1], 'the process ended') end
redis.call('ZREM', base .. 'leases', me)
redis.call('HDEL', base .. 'suspects', me)
redis.call('HDEL', base .. 'owners', me)
if #held > 0 then wake() end
return #held / 2
)lua";

// ARGV: owner, token, lease, then id and claim of each claim. Answers the places of those that are
// lost, from 0.
const char* const renew_text = R"lua(
if not registered() then return redis.error_reply('POSTLUDEOWNER is not registered') end
write_though_full()
redis.call('ZADD', base .. 'leases', text(now + ARGV[3]), me)
local ids = {}
for i = 4, #ARGV, 2 do ids[#ids + 1] = ARGV[i] end
local entries = get_all('claimed:' .. me, ids)
local lost = {}
for i = 1, #ids do
    local fence = ARGV[3 + 2 * i] .. ' '
    if not entries[i] or string.sub(entries[i], 1, #fence) ~= fence then lost[#lost + 1] = i - 1 end
end
return lost
)lua";

// ARGV: owner, token, limit, crashes that are quarantine. Answers id, lane, crashes and state of
// each job that was taken. Suspects come last: while one is there, the others are still seen to
// have been beside one.
const char* const rescue_text = R"lua(
if not registered() then return redis.error_reply('POSTLUDEOWNER is not registered') end
local limit, hopeless = tonumber(ARGV[3]), tonumber(ARGV[4])
local answer = {}

local function rescue(owner, id, c, spared)
    local reason = 'its process did not renew its lease in time'
    local runs = read_runs(id)
    local state = 1
    if spared then
        add_note(runs, 2, now_text, c.at, owner, reason .. ', with a suspect beside it')
    else
        runs.crashes = runs.crashes + 1
        add_note(runs, 4, now_text, c.at, owner, reason)
        if runs.crashes >= hopeless then state = 5 end
    end
    unclaim(owner, id)
    write_runs(id, runs)
    if state == 1 then
        make_ready(id, c.lane, c.run_at, runs.crashes)
    else
        finish(id, state, owner, c.at, c.run_at, runs.crashes, c.lane)
    end
    for _, value in ipairs({id, tonumber(c.lane), runs.crashes, state}) do
        answer[#answer + 1] = value
    end
end

for _, owner in ipairs(redis.call('ZRANGE', base .. 'leases', '-inf', now_text, 'BYSCORE')) do
    if owner ~= me and limit > 0 then
        local values = redis.call('HGETALL', base .. 'claimed:' .. owner)
        local held = {}
        local had_suspect = false
        for i = 1, #values, 2 do
            local c = read_claim(values[i + 1])
            held[#held + 1] = {values[i], c}
            had_suspect = had_suspect or c.crashes > 0
        end
        table.sort(held, function(a, b)
            local first, second = a[2].crashes > 0, b[2].crashes > 0
            if first ~= second then return second end
            return a[1] < b[1]
        end)
        for i = 1, math.min(limit, #held) do
            rescue(owner, held[i][1], held[i][2], had_suspect and held[i][2].crashes == 0)
        end
        if #held <= limit then
            redis.call('ZREM', base .. 'leases', owner)
            redis.call('HDEL', base .. 'suspects', owner)
            redis.call('HDEL', base .. 'owners', owner)
        end
        limit = limit - #held
    end
end
if #answer > 0 then wake() end
return answer
)lua";

}  // namespace postlude::detail::redis
