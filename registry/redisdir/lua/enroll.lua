-- Gives a process an incarnation, or makes it known as that process's.
--
-- A new number is only given out. Its owner takes the lease first and then
-- comes again to have it entered, so that an incarnation that others see
-- without a lease is one that has ended.
--
-- KEYS  1 hash of incarnations, number to description; 2 counter; 3 shared facts
-- ARGV  1 incarnation, or 0 for a new one
--       2 description: process, then node
--       3 the greatest incarnation that the caller has seen: a new one is greater
--       4 greatest epoch that the caller has given out, as Unix milliseconds
--       5 bucket count that the caller would choose
--       6 milliseconds of difference between clocks that are let pass
--       7 '1' where values may be too long for a listpack
--       8 a random number, by which the count jumps where it is behind what has
--         been seen, or gone: Redis has lost numbers that others may still hold,
--         and a node that has not noticed yet must not meet its own number in
--         other hands
--
-- Returns {incarnation, or 0 where the number now belongs to another process,
-- this server's time in milliseconds, lead of the epochs over that time,
-- bucket count that holds, 1 where values may be long, 1 where the number was
-- not known before}.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)

-- Every node gives out epochs by this server's clock plus one shared lead. The
-- lead is above zero only where a node without Redis had a clock that was
-- ahead, or a new master's clock is behind: epochs must not turn back.
local lead = tonumber(redis.call('HGET', KEYS[3], 'lead') or 0)
local ahead = tonumber(ARGV[4]) - now
if ahead > lead + tonumber(ARGV[6]) then
  lead = ahead
  redis.call('HSET', KEYS[3], 'lead', lead)
end

redis.call('HSETNX', KEYS[3], 'buckets', ARGV[5])
local buckets = tonumber(redis.call('HGET', KEYS[3], 'buckets'))

if ARGV[7] == '1' then redis.call('HSET', KEYS[3], 'spills', '1') end
local spills = tonumber(redis.call('HGET', KEYS[3], 'spills') or 0)

local n, entered = tonumber(ARGV[1]), 0
if n == 0 then
  local last, seen = tonumber(redis.call('GET', KEYS[2]) or 0), tonumber(ARGV[3])
  if last > 0 and last >= seen then
    n = last + 1
  else
    n = math.max(last, seen) + tonumber(ARGV[8])
  end
  while redis.call('HEXISTS', KEYS[1], n) == 1 do n = n + 1 end
  redis.call('SET', KEYS[2], n)
elseif redis.call('HSETNX', KEYS[1], n, ARGV[2]) == 1 then
  entered = 1
elseif redis.call('HGET', KEYS[1], n) ~= ARGV[2] then
  n = 0
end
return {n, now, lead, buckets, spills, entered}
