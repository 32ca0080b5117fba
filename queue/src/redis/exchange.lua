-- Settles jobs and takes new ones, in one step: a consumer never holds more than its slots.
-- KEYS: list of waiting ids, data hash, in-flight set, prefix of metadata hashes
-- ARGV: how many to take, age in microseconds from which a job in flight is forgotten, worker,
--       then for each settled job: id, receipt, 'done' or 'return'
-- Returns what still waits, the receipt of all taken jobs, and a flat list with four values for
-- each of them: id, payload, traceparent, tracestate.
local active, data, in_flight, meta = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
-- Lua's own formatting would keep 14 digits only.
local stamp = string.format('%.0f', now)

local function forget(id)
    redis.call('ZREM', in_flight, id)
    redis.call('HDEL', data, id)
    redis.call('DEL', meta .. ':' .. id)
end

local function wait_again(id, push)
    redis.call('ZREM', in_flight, id)
    redis.call(push, active, id)
    redis.call('HSET', meta .. ':' .. id, 'status', 'Pending')
    redis.call('HDEL', meta .. ':' .. id, 'locked_by')
end

-- Backwards, so that returned jobs stand at the head in their old order. A write that frees
-- memory comes first: after it Redis allows the others even when it is full.
for i = #ARGV - 2, 4, -3 do
    local id = ARGV[i]
    local taken_at = redis.call('ZSCORE', in_flight, id)
    if taken_at and tonumber(taken_at) == tonumber(ARGV[i + 1]) then
        local pushed = redis.call('HDEL', meta .. ':' .. id, 'again') == 1
        if ARGV[i + 2] == 'return' then
            wait_again(id, 'LPUSH')
        elseif pushed then
            wait_again(id, 'RPUSH')
        else
            forget(id)
        end
    end
end

local stale = redis.call('ZRANGEBYSCORE', in_flight, '-inf',
    string.format('%.0f', now - tonumber(ARGV[2])), 'LIMIT', 0, 100)
for _, id in ipairs(stale) do
    forget(id)
end

local taken = {}
local want = tonumber(ARGV[1])
if want > 0 then
    for _, id in ipairs(redis.call('LPOP', active, want) or {}) do
        local payload = redis.call('HGET', data, id)
        if not payload then
            redis.call('DEL', meta .. ':' .. id)
        elseif redis.call('ZADD', in_flight, 'NX', stamp, id) == 1 then
            local trace = redis.call('HMGET', meta .. ':' .. id, 'traceparent', 'tracestate')
            redis.call('HSET', meta .. ':' .. id, 'status', 'Running', 'locked_by', ARGV[3])
            taken[#taken + 1] = id
            taken[#taken + 1] = payload
            taken[#taken + 1] = trace[1] or ''
            taken[#taken + 1] = trace[2] or ''
        end
    end
end

local waiting = redis.call('LLEN', active)
if waiting == 0 and redis.call('ZCARD', in_flight) == 0 then
    -- Whatever is left was stranded by an eviction; those who want it push it again.
    redis.call('DEL', data)
end
return { waiting, stamp, taken }
