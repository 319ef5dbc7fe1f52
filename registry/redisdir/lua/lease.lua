-- Takes, renews or releases the lease of a node.
--
-- KEYS  1 lease: "incarnation sessions api"
-- ARGV  1 take: whatever stands there, for a process that starts
--         retake: only where nothing stands there, or the caller's own
--         renew: only the caller's own
--         release: delete the caller's own
--       2 incarnation
--       3 new value
--       4 lease in milliseconds
--       5 an earlier incarnation of the caller's, whose lease is its own too, or 0
--
-- Returns {1, ''} when done, else {0, what stands there or ''}.
local held = redis.call('GET', KEYS[1]) or ''
local holder = string.match(held, '^%d+')
local own = holder ~= nil and (holder == ARGV[2] or holder == ARGV[5])
local mode = ARGV[1]
if not (own or mode == 'take' or mode == 'retake' and held == '') then return {0, held} end
if mode == 'release' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
end
return {1, ''}
