// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/redis/scripts.hpp"

namespace postlude::detail::redis {

// ARGV: owner, token, the lane's text. Makes it if there is none. An entry begins with when and by
// whom it was made, so that one that was lost and made anew is another one.
const char* const lane_text = R"lua(
if not registered() then return redis.error_reply('POSTLUDEOWNER is not registered') end
local number = redis.call('HGET', base .. 'lane_numbers', ARGV[3])
local entry = number and redis.call('LINDEX', base .. 'lanes', number)
if entry and string.match(entry, '^%d+ %d+ (.*)$') == ARGV[3] then return 1 end
write_though_full()  -- a run's end may need it for a follow-up
local count = redis.call('RPUSH', base .. 'lanes', now_text .. ' ' .. me .. ' ' .. ARGV[3])
redis.call('HSET', base .. 'lane_numbers', ARGV[3], count - 1)
return 1
)lua";

// A commit's jobs are texts that Lua would hash, each byte of them, and copy several times. So the
// script that finds places for them has only their ids, and the next command of the same
// transaction is an HSET that writes the texts into their page. It can't be made to depend on what
// the script has found. So what it must not have done is undone by the third: what it overwrites is
// kept in `before` a transaction long, as an empty text if there was nothing.
//
// ARGV: owner, token, lease, claim, when they were created, how many lanes the caller knows, the
// entry of the last of these; then sections:
//   P, a number, where, delay, and so many ids: see `place`. Those that differ in where, delay or
//      page have sections of their own.
//   T, a number, and so many times id, tag: of all the jobs before. The last one.
// Answers the server's time, and then a digit for each put (1: stored). Nothing is stored when the
// server's clock is behind that of its caller, or when the caller's lanes are not those of the
// store.
const char* const put_text = R"lua(
redis.call('DEL', base .. 'before')
local known, early = registered(), created > now_text
local in_order = known and not early and knows_lanes(ARGV[6], ARGV[7])
local answers, stored, before, sections = {now_text}, {}, {}, {}
local at = 8
while ARGV[at] == 'P' do
    local count = tonumber(ARGV[at + 1])
    local section = {where = ARGV[at + 2], delay = ARGV[at + 3], fresh = {}}
    local ids = {}
    for i = 1, count do ids[i] = ARGV[at + 3 + i] end
    section.page = page_of(ids[1])
    for i, there in ipairs(get_all('jobs:' .. section.page, ids)) do
        local id = ids[i]
        local is_new = in_order and not there
        if is_new then
            stored[id] = true
            section.fresh[#section.fresh + 1] = id
        else
            before[#before + 1] = id
            before[#before + 1] = there or ''
        end
        answers[#answers + 1] = is_new and '1' or '0'
    end
    sections[#sections + 1] = section
    at = at + 4 + count
end
local function store(section)
    redis.call('SADD', base .. 'pages', section.page)
    place(section.where, section.delay, section.fresh, ARGV[4])
end
local problem
for _, section in ipairs(sections) do
    if #section.fresh > 0 and not problem then
        local ok, error = pcall(store, section)
        if not ok then problem = error end
    end
    for _, id in ipairs(problem and section.fresh or {}) do
        before[#before + 1] = id
        before[#before + 1] = ''
    end
end
each('HSET', 'before', before)
if not known then return redis.error_reply('POSTLUDEOWNER is not registered') end
if early then return redis.error_reply('POSTLUDECLOCK ' .. now_text) end
if not in_order then return redis.error_reply('POSTLUDELANES are others') end
if problem then return {err = type(problem) == 'table' and problem.err or problem} end
if ARGV[at] then add_tags(at + 1, stored) end
end_placing()
return table.concat(answers)
)lua";

const char* const undo_text = R"lua(
local base = string.sub(KEYS[1], 1, -5)
local before = redis.call('HGETALL', base .. 'before')
for i = 1, #before, 2 do
    local page = string.sub(before[i], 1, 13)
    if before[i + 1] ~= '' then
        redis.call('HSET', base .. 'jobs:' .. page, before[i], before[i + 1])
    else
        redis.call('HDEL', base .. 'jobs:' .. page, before[i])
        if redis.call('EXISTS', base .. 'jobs:' .. page) == 0 then
            redis.call('SREM', base .. 'pages', page)
        end
    end
end
if #before > 0 then redis.call('DEL', base .. 'before') end
return 1
)lua";

// ARGV: owner, token, lease, claim, when follow-ups were created, lanes as above; then sections,
// each of a letter and a number of entries:
//   D: settlements as done: id, claim.
//   S: one settlement: id, claim, verdict, delay, reason.
//   F: follow-ups of the S before: where, delay, and so many times id, text: see `place`. T: their
//      tags.
// Answers a digit for each settlement (1: accepted). The entries of a section become few commands
// with many arguments: a command costs more than what it does.
const char* const commit_text = R"lua(
if not registered() then return redis.error_reply('POSTLUDEOWNER is not registered') end
if created > now_text then return redis.error_reply('POSTLUDECLOCK ' .. now_text) end
if not knows_lanes(ARGV[6], ARGV[7]) then return redis.error_reply('POSTLUDELANES are others') end
local claim = ARGV[4]
local mine = 'claimed:' .. me
local at = 8
local answers = {}
local stored = {}
local accepted = false

local function follow(count)
    local where, delay = ARGV[at], ARGV[at + 1]
    local ids, fresh, jobs = {}, {}, {}
    for i = 1, count do ids[i] = ARGV[at + 2 * i] end
    local page = page_of(ids[1])
    for i, there in ipairs(get_all('jobs:' .. page, ids)) do
        local id = ids[i]
        if accepted and not there and not stored[id] then
            stored[id] = true
            fresh[#fresh + 1] = id
            jobs[#jobs + 1] = id
            jobs[#jobs + 1] = ARGV[at + 2 * i + 1]
        end
    end
    at = at + 2 + 2 * count
    if #fresh == 0 then return end
    each('HSET', 'jobs:' .. page, jobs)
    redis.call('SADD', base .. 'pages', page)
    place(where, delay, fresh)
end

local function done(count)
    local ids = {}
    for i = 1, count do ids[i] = ARGV[at + (i - 1) * 2] end
    local entries = get_all(mine, ids)
    local gone, ended, times, seen = {}, {}, {}, {}
    local suspect = redis.call('HGET', base .. 'suspects', me)
    for i = 1, count do
        local id, fence, entry = ids[i], ARGV[at + 1] .. ' ', entries[i]
        local held = entry and not seen[id] and string.sub(entry, 1, #fence) == fence
        if held then
            seen[id] = true
            gone[#gone + 1] = id
            ended[#ended + 1] = id
            ended[#ended + 1] = '3 ' .. now_text .. ' ' .. me .. ' ' ..
                string.sub(entry, #fence + 1)
            times[#times + 1] = now_text
            times[#times + 1] = id
            if id == suspect then
                redis.call('HDEL', base .. 'suspects', me)
                noisy = true
            end
        end
        answers[#answers + 1] = held and '1' or '0'
        at = at + 2
    end
    each('HDEL', mine, gone)
    each('HSET', 'ended', ended)
    each('ZADD', 'ended:3', times)
end

local function settle()
    local id, fence, verdict, delay, reason =
        ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), ARGV[at + 4]
    at = at + 5
    local entry = redis.call('HGET', base .. mine, id)
    local c = entry and read_claim(entry)
    accepted = c and c.claim == fence
    answers[#answers + 1] = accepted and '1' or '0'
    if not accepted then return end
    noisy = true
    unclaim(me, id)
    local body = get_body(id)
    if verdict == 1 then
        finish(id, 3, me, c.at, c.run_at, c.crashes, c.lane)
    elseif verdict == 5 then
        if body then erase(id, body) else redis.call('HDEL', base .. 'runs', id) end
    else
        local runs = read_runs(id, body)
        local failed = verdict ~= 3
        if failed then runs.failures = runs.failures + 1 end
        add_note(runs, failed and 1 or 2, now_text, c.at, me, reason)
        write_runs(id, runs)
        if verdict == 4 then
            finish(id, 4, me, c.at, c.run_at, c.crashes, c.lane)
        else
            local run_at = c.run_at
            if verdict == 2 or delay > 0 then run_at = text(now + delay) end
            make_ready(id, c.lane, run_at, c.crashes)
        end
    end
end

while at <= #ARGV do
    local section, count = ARGV[at], tonumber(ARGV[at + 1])
    at = at + 2
    if section == 'D' then
        done(count)
    elseif section == 'S' then
        stored = {}
        settle()
    elseif section == 'F' then
        follow(count)
    else
        at = add_tags(at - 1, stored)
    end
end
end_placing()
return table.concat(answers)
)lua";

// ARGV: owner, token, lease, claim, lanes as above; then for each group its credit, how many
// priorities it has, and for each of these how many lanes, and their numbers.
// Answers 1 when there are other lanes, or more; or how many microseconds there are until a job is
// due (-1: none is), the ids that were taken, their bodies, and what their runs begin with.
const char* const claim_text = R"lua(
if not registered() then return redis.error_reply('POSTLUDEOWNER is not registered') end
if redis.call('LLEN', base .. 'lanes') ~= tonumber(ARGV[5]) or not knows_lanes(ARGV[5], ARGV[6]) then
    return 1
end
local claim = ARGV[4]
local at = 7
local next_due = -1
local suspect_free = not redis.call('HGET', base .. 'suspects', me)
local ids, places, sources = {}, {}, {}

local function look(key, lane, limit, into)
    local found = redis.call('ZRANGE', base .. key, '-inf', now_text, 'BYSCORE', 'LIMIT', 0, limit,
        'WITHSCORES')
    if #found > 0 then
        into[#into + 1] = {key = key, lane = lane, found = found, took = {}, last = 0}
    end
end

-- What a person has taken from the middle of a list is still in it, and in `gone:`.
local function look_in_list(lane, limit, into)
    local key, gone = base .. 'fifo:' .. lane, base .. 'gone:' .. lane
    local has_gone = redis.call('EXISTS', gone) == 1
    local source = {list = key, lane = lane, found = {}, took = {}, last = 0, ends = {},
        gone = {}}
    local found, size, seen = source.found, math.min(limit, 4000), 0
    repeat
        local entries = redis.call('LRANGE', key, seen, seen + size - 1)
        local dead = has_gone and #entries > 0 and
            redis.call('SMISMEMBER', gone, unpack(entries))
        for i, entry in ipairs(entries) do
            if dead and dead[i] == 1 then
                source.gone[#source.gone + 1] = {entry, seen + i}
            else
                found[#found + 1] = string.sub(entry, 17)
                found[#found + 1] = string.sub(entry, 1, 16)
                source.ends[#source.ends + 1] = seen + i
            end
        end
        seen = seen + #entries
    until #entries < size or #source.ends >= limit
    if #found > 0 then
        into[#into + 1] = source
    elseif seen > 0 then
        redis.call('LPOP', key, seen)
        redis.call('DEL', gone)
    end
end

-- A list is in the order in which its jobs came, and a claim goes by their times, which each process
-- takes for itself: what was passed over goes back to the head.
local function remove_taken(source)
    if source.last == 0 then return end
    if source.list then
        local size = source.ends[source.last]
        redis.call('LPOP', source.list, size)
        -- Those behind the last that was taken are in the list still.
        for _, one in ipairs(source.gone) do
            if one[2] < size then redis.call('SREM', base .. 'gone:' .. source.lane, one[1]) end
        end
        local back = {}
        for i = source.last, 1, -1 do
            if not source.took[i] then
                back[#back + 1] = source.found[2 * i] .. source.found[2 * i - 1]
            end
        end
        each('LPUSH', 'fifo:' .. source.lane, back)
    else
        redis.call('ZREMRANGEBYRANK', base .. source.key, 0, source.last - 1)
    end
    source.last = 0
end

local function take(source, i)
    source.took[i] = true
    source.last = math.max(source.last, i)
    ids[#ids + 1] = source.found[2 * i - 1]
    places[#places + 1] = source.found[2 * i]
    sources[#sources + 1] = source
end

local function merge(heads, credit)
    local all = {}
    for _, source in ipairs(heads) do
        for i = 1, #source.found / 2 do
            all[#all + 1] = {source, i, math.min(source.found[2 * i], now), source.found[2 * i - 1]}
        end
    end
    table.sort(all, function(a, b)
        if a[3] ~= b[3] then return a[3] < b[3] end
        return a[4] < b[4]
    end)
    local took = 0
    for _, one in ipairs(all) do
        if took == credit then break end
        if not one[1].suspect or suspect_free then
            if one[1].suspect then suspect_free = false end
            take(one[1], one[2])
            took = took + 1
        end
    end
    return took
end

local function take_from(first, count, credit)
    local heads = {}
    for i = first, first + count - 1 do
        look_in_list(ARGV[i], credit, heads)
        look('ready:' .. ARGV[i], ARGV[i], credit, heads)
        if suspect_free then
            local before = #heads
            look('suspect:' .. ARGV[i], ARGV[i], 1, heads)
            if #heads > before then heads[#heads].suspect = true end
        end
    end
    if #heads == 1 and not heads[1].suspect then
        local source = heads[1]
        local count = math.min(credit, #source.found / 2)
        for i = 1, count do take(source, i) end
        return count
    end
    return merge(heads, credit)
end

local function look_ahead(key)
    local head = redis.call('ZRANGE', base .. key, 0, 0, 'WITHSCORES')
    if head[2] then
        local wait = math.max(head[2] - now, 0)
        if next_due < 0 or wait < next_due then next_due = wait end
    end
end

local begin = at
while at <= #ARGV do
    local credit, priorities = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
    at = at + 2
    for p = 1, priorities do
        local count = tonumber(ARGV[at])
        if credit > 0 and count > 0 then
            credit = credit - take_from(at + 1, count, credit)
        end
        at = at + 1 + count
    end
end
if #ids == 0 then
    at = begin
    while at <= #ARGV do
        local credit, priorities = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
        at = at + 2
        for p = 1, priorities do
            local count = tonumber(ARGV[at])
            for i = at + 1, at + count do
                if credit > 0 then
                    look_ahead('ready:' .. ARGV[i])
                    if suspect_free then look_ahead('suspect:' .. ARGV[i]) end
                end
            end
            at = at + 1 + count
        end
    end
    return {next_due}
end

local bodies, runs = get_bodies(ids), get_all('runs', ids)
local entries, taken, texts, counts = {}, {}, {}, {}
local prefix = claim .. ' ' .. now_text .. ' '
for i, id in ipairs(ids) do
    local source, body = sources[i], bodies[i]
    remove_taken(source)  -- first, as it needs no memory
    if body then  -- else a transaction that was not one, or the server threw it away
        local crashes, run = '0', ''
        if runs[i] then
            run = string.match(runs[i], '^%d+ %d+')
            crashes = string.match(run, '%d+$')
        elseif source.suspect then
            crashes = string.match(body, '^%d+ %d+ %d+ (%d+)')
        end
        if source.suspect then redis.call('HSET', base .. 'suspects', me, id) end
        entries[#entries + 1] = id
        entries[#entries + 1] = prefix .. places[i] .. ' ' .. crashes .. ' ' .. source.lane
        taken[#taken + 1], texts[#texts + 1], counts[#counts + 1] = id, body, run
    end
end
each('HSET', 'claimed:' .. me, entries)
redis.call('ZADD', base .. 'leases', text(now + ARGV[3]), me)
return {next_due, taken, texts, counts}
)lua";

}  // namespace postlude::detail::redis
