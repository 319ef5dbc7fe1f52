-- Removes the records of incarnations that have ended. An incarnation never
-- comes back to life, so this needs no deadline; a principal that has
-- reconnected elsewhere has a record of another incarnation, which stays.
--
-- KEYS  pairs of bucket keys, ordinary and long
-- ARGV  1 kind: 's' sessions, 'g' groups
--       2 how many ended incarnations follow, then these
--       then for each name: index of its first key, name
--
-- Returns how many records went.
local kind, ended = ARGV[1], tonumber(ARGV[2])
local dead = {}
for i = 3, 2 + ended do dead[tonumber(ARGV[i])] = true end

local gone = 0
for i = 3 + ended, #ARGV, 2 do
  local k, name = tonumber(ARGV[i]), ARGV[i + 1]
  local old, from = read(k, name)
  local kept = {}
  local visit = function(bytes, incarnation)
    if dead[incarnation] then gone = gone + 1 else kept[#kept + 1] = bytes end
  end
  if kind == 'g' then counts(old, visit) else sessions(old, visit) end
  local value = table.concat(kept)
  if value ~= old then write(k, name, value, from) end
end
return gone
