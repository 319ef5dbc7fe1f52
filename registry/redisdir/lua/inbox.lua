-- Leases a partition of the inbox topic to an incarnation, or gives it back.
--
-- A partition is free when its owner has ended. An incarnation that has been
-- seen without a lease, or is not listed any more, has ended, and none comes
-- back to life: so no clock is asked here, and no partition is ever in two
-- hands while Redis keeps what it was told.
--
-- KEYS  1 hash of inboxes, partition to incarnation; 2 hash of incarnations
-- ARGV  1 incarnation of the caller, which is listed
--       2 how many partitions there are, or 0 to give the caller's back
--       3 partition that the caller would like, or -1
--       4 and so on: incarnations that have ended
--
-- Returns the partition, or -1 when all are leased.
local mine = tonumber(ARGV[1])
local leased = {}
local flat = redis.call('HGETALL', KEYS[1])
for i = 1, #flat, 2 do
  local partition, incarnation = tonumber(flat[i]), tonumber(flat[i + 1])
  if incarnation == mine then -- the usual case, at every renewal
    if partition < tonumber(ARGV[2]) then return partition end
    redis.call('HDEL', KEYS[1], partition)
  else
    leased[partition] = incarnation
  end
end

local ended = {}
for i = 4, #ARGV do ended[tonumber(ARGV[i])] = true end
local owner = {}
for partition, incarnation in pairs(leased) do
  if not ended[incarnation] and redis.call('HEXISTS', KEYS[2], incarnation) == 1 then
    owner[partition] = incarnation
  end
end

local function free(partition) return partition >= 0 and partition < tonumber(ARGV[2]) and not owner[partition] end

local found = tonumber(ARGV[3])
if not free(found) then
  found = 0
  while owner[found] do found = found + 1 end
  if not free(found) then return -1 end
end
redis.call('HSET', KEYS[1], found, mine)
return found
