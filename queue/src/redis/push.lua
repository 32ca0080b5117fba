-- Queues jobs. Safe to repeat.
-- KEYS: list of waiting ids, data hash, in-flight set, prefix of metadata hashes
-- ARGV: age in microseconds from which a job in flight is delivered again, life of metadata in
--       seconds, then for each job: id, payload, traceparent, tracestate (the last two may be '')
-- Returns how many jobs were newly queued.
local active, data, in_flight, meta = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local redeliver_after = tonumber(ARGV[1])
local queued = 0
local stranded

for i = 3, #ARGV, 4 do
    local id = ARGV[i]
    local fields = meta .. ':' .. id
    local again = false

    if redis.call('HSETNX', data, id, ARGV[i + 1]) == 1 then
        redis.call('DEL', fields)
        redis.call('HSET', fields, 'attempts', 0, 'max_attempts', 1, 'status', 'Pending')
        if ARGV[i + 2] ~= '' then redis.call('HSET', fields, 'traceparent', ARGV[i + 2]) end
        if ARGV[i + 3] ~= '' then redis.call('HSET', fields, 'tracestate', ARGV[i + 3]) end
        redis.call('EXPIRE', fields, ARGV[2])
        again = true
    else
        local taken_at = redis.call('ZSCORE', in_flight, id)
        if taken_at then
            if now - tonumber(taken_at) > redeliver_after then
                redis.call('ZREM', in_flight, id)
                redis.call('HSET', fields, 'status', 'Pending')
                redis.call('HDEL', fields, 'locked_by', 'again')
                again = true
            else
                -- Its holder may have looked at it before whatever this push is about: it gets
                -- another turn once it is acknowledged.
                redis.call('HSET', fields, 'again', 1)
                redis.call('EXPIRE', fields, ARGV[2])
            end
        else
            -- The id must be in the list, unless a key was evicted or deleted by hand. To search
            -- the list would take too long; the sizes tell whether any id is missing from it. One
            -- that is listed twice by this is skipped when it is taken.
            stranded = stranded or redis.call('HLEN', data) - redis.call('LLEN', active)
                - redis.call('ZCARD', in_flight)
            if stranded > 0 then
                stranded = stranded - 1
                again = true
            end
        end
    end

    if again then
        redis.call('RPUSH', active, id)
        queued = queued + 1
    end
end

return queued
