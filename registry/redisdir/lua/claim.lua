-- Extends or ends the right to clear up after an incarnation that has ended.
--
-- KEYS  1 lock; 2 hash of incarnations
-- ARGV  1 token of the holder
--       2 milliseconds to extend by, or 0 to end
--       3 the incarnation, which is forgotten at the end
--
-- Returns 1, or 0 when the lock is no longer the caller's.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] ~= '0' then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
else
  redis.call('HDEL', KEYS[2], ARGV[3])
  redis.call('DEL', KEYS[1])
end
return 1
