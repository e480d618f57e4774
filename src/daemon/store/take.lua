-- Takes from all counters, or from none if one does not fit.
--
-- KEYS[1]  when this store was first asked, in milliseconds; it knows nothing that came before
-- KEYS[2]… the counters, without the minute's number for those that slide
-- ARGV     for each counter: its limit; how much is taken; what the asking gateway alone has counted, and how
--          much it may count without the others; the milliseconds until its period ends, or 0 for a sliding minute
-- Returns  0, or which counter has to wait longest; how many milliseconds; what is left of each.

local MINUTE = 60000
-- A store that is younger than this has not yet heard of what every gateway has counted.
local YOUNG = 10000
-- How long a counter is kept after the last moment at which it counts.
local KEPT = 5000
local KEPT_PERIOD = 3600000

local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local minute = math.floor(now / MINUTE)
local into = now % MINUTE

local born = tonumber(redis.call('GET', KEYS[1]) or nil)
if not born then
    born = now
    redis.call('SET', KEYS[1], now)
end
local young = now - born < YOUNG

-- The milliseconds until a sliding counter has room.
local function slide(limit, amount, before, current)
    if current + amount <= limit then
        -- The minute before has to fade.
        return MINUTE - (limit - current - amount) * MINUTE / before - into
    end
    -- This minute has to become the minute before, and to fade then.
    return MINUTE - into + MINUTE - (limit - amount) * MINUTE / current
end

local which, wait = 0, 0
local answer, writes = { 0, 0 }, {}
for i = 1, #KEYS - 1 do
    local limit, amount = tonumber(ARGV[5 * i - 4]), tonumber(ARGV[5 * i - 3])
    local alone, share, left = tonumber(ARGV[5 * i - 2]), tonumber(ARGV[5 * i - 1]), tonumber(ARGV[5 * i])
    local name, kept, before = KEYS[i + 1], left + KEPT_PERIOD, 0
    local known, current
    if left == 0 then
        local counts = redis.call('MGET', name .. ':' .. minute, name .. ':' .. (minute - 1))
        known = counts[1] or counts[2]
        current, before = tonumber(counts[1] or 0), tonumber(counts[2] or 0)
        name, kept = name .. ':' .. minute, 2 * MINUTE - into + KEPT
    else
        known = redis.call('GET', name)
        current = tonumber(known or 0)
    end
    local heard = current
    if young or not known then
        current = math.max(current, alone)
    end

    local longer = 0
    if young and alone + math.min(amount, share) > share then
        -- Others may have counted as much, and have not said so yet.
        longer = YOUNG - (now - born)
    end
    -- In sixty-thousandths, so that these are whole numbers.
    local room = (limit - current) * MINUTE - before * (MINUTE - into)
    if room < amount * MINUTE then
        longer = left
        if left == 0 then
            longer = slide(limit, amount, before, current)
        end
        longer = math.max(1, longer)
    end
    longer = math.ceil(longer)
    if longer > wait then
        which, wait = i, longer
    end
    answer[i + 2] = room
    writes[i] = { name, current, kept, amount, current > heard }
end

answer[1], answer[2] = which, wait
for i, write in ipairs(writes) do
    local room, total, changed = answer[i + 2], write[2], write[5]
    if which == 0 then
        total, changed = total + write[4], changed or write[4] > 0
        room = room - write[4] * MINUTE
    end
    if changed then
        redis.call('SET', write[1], string.format('%.0f', total), 'PX', string.format('%.0f', write[3]))
    end
    answer[i + 2] = math.max(0, math.floor(room / MINUTE))
end
return answer
