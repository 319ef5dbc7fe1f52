-- Makes a principal's (or group's) value say what one node holds of it.
--
-- It replaces every record of the calling node, by compare-and-set on the
-- epoch: the newest sessions stay, as many as the limit allows, whoever holds
-- them. With no records of its own it is a compare-and-delete: records of
-- other nodes are not touched. Running it twice is running it once.
--
-- KEYS  pairs of bucket keys, ordinary and long
-- ARGV  1 deadline, in milliseconds of this server's clock
--       2 kind: 's' sessions, 'g' groups
--       3 most sessions of a principal
--       4 how many incarnations of the caller follow, then these, the present first
--       then for each change: index of its first key, name, the caller's records
--
-- A call that arrives after its deadline changes nothing: its sender has given
-- it up and may have sent something newer. That is what makes the writes of a
-- node that was frozen, or of a connection that was cut, harmless.
--
-- Returns {'late', now}, or {'ok', ...} followed for each conflict by: number
-- of the change, records of other nodes that had to go, own records refused.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
if now > tonumber(ARGV[1]) then return {'late', now} end

local kind, limit, owned = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local mine = {}
for i = 5, 4 + owned do mine[tonumber(ARGV[i])] = true end

local function newer(a, b)
  if a.epoch ~= b.epoch then return a.epoch > b.epoch end
  return a.incarnation > b.incarnation
end

-- Sessions of others and the caller's, beyond the limit: sort and cut.
local function contend(change, others, own, conflicts)
  local all, kept, gone, refused = {}, {}, {}, {}
  sessions(others, function(bytes, incarnation, epoch)
    all[#all + 1] = {bytes = bytes, incarnation = incarnation, epoch = epoch, own = false}
  end)
  sessions(own, function(bytes, incarnation, epoch)
    all[#all + 1] = {bytes = bytes, incarnation = incarnation, epoch = epoch, own = true}
  end)
  if #all <= limit then return others .. own end
  table.sort(all, newer)
  for i, r in ipairs(all) do
    local list = i <= limit and kept or r.own and refused or gone
    list[#list + 1] = r.bytes
  end
  conflicts[#conflicts + 1] = change
  conflicts[#conflicts + 1] = table.concat(gone)
  conflicts[#conflicts + 1] = table.concat(refused)
  return table.concat(kept)
end

local result = {'ok'}
local change = 0
for i = 5 + owned, #ARGV, 3 do
  local k, name, own = tonumber(ARGV[i]), ARGV[i + 1], ARGV[i + 2]
  local old, from = read(k, name)
  local value = own
  if old ~= own and old ~= '' then
    local others = {}
    if kind == 'g' then
      counts(old, function(bytes, incarnation)
        if not mine[incarnation] then others[#others + 1] = bytes end
      end)
      value = table.concat(others) .. own
    else
      -- A session that the caller held under an earlier incarnation is its
      -- own, whatever number stands beside it.
      local named = {}
      if own ~= '' then
        sessions(own, function(_, _, _, session) named[session] = true end)
      end
      sessions(old, function(bytes, incarnation, _, session)
        if not mine[incarnation] and not named[session] then others[#others + 1] = bytes end
      end)
      value = table.concat(others)
      if own ~= '' then value = contend(change, value, own, result) end
    end
  end
  if value ~= old then write(k, name, value, from) end
  change = change + 1
end
return result
