-- Changes counters by what turned out to be used.
--
-- KEYS  the counters, without the minute's number for those that slide
-- ARGV  for each: how much is added, negative to give back; how many milliseconds ago it was taken;
--       the milliseconds until its period ends, or 0 for a sliding minute

local MINUTE = 60000
local KEPT = 5000
local KEPT_PERIOD = 3600000

local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local minute = math.floor(now / MINUTE)

for i, name in ipairs(KEYS) do
    local amount, age = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1])
    local left = tonumber(ARGV[3 * i])
    local kept = left + KEPT_PERIOD
    local counts = true
    if left == 0 then
        local taken = math.floor((now - age) / MINUTE)
        counts = taken >= minute - 1
        name, kept = name .. ':' .. taken, (taken + 2) * MINUTE - now + KEPT
    end
    if counts then
        local known = redis.call('GET', name)
        -- What the store has forgotten cannot be given back.
        if known or amount > 0 then
            local total = math.max(0, tonumber(known or 0) + amount)
            redis.call('SET', name, string.format('%.0f', total), 'PX', string.format('%.0f', kept))
        end
    end
end
return {}
