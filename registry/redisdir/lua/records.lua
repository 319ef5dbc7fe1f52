-- Shared by put.lua and drop.lua: it is prepended to them.
--
-- The value of a principal is a row of records, one per session:
--   epoch 5 bytes, big-endian | slot varint | generation varint | incarnation varint
-- The value of a group is a row of counts, one per node:
--   incarnation varint | members varint
-- Numbers stay below 2^53, so Lua's doubles hold them exactly.
local byte, sub = string.byte, string.sub

local function varint(s, at)
  local n, unit = 0, 1
  while true do
    local b = byte(s, at)
    at = at + 1
    if b < 128 then return n + b * unit, at end
    n = n + (b - 128) * unit
    unit = unit * 128
  end
end

-- Calls visit(bytes, incarnation, epoch, session) for each record of a
-- principal's value; session is the part of the record that names the session.
local function sessions(value, visit)
  local at = 1
  while at <= #value do
    local a, b, c, d, e = byte(value, at, at + 4)
    local epoch = (((a * 256 + b) * 256 + c) * 256 + d) * 256 + e
    local _, after = varint(value, at + 5)
    _, after = varint(value, after)
    local incarnation, stop = varint(value, after)
    visit(sub(value, at, stop - 1), incarnation, epoch, sub(value, at, after - 1))
    at = stop
  end
end

-- The same for a group's value: visit(bytes, incarnation).
local function counts(value, visit)
  local at = 1
  while at <= #value do
    local incarnation, after = varint(value, at)
    local _, stop = varint(value, after)
    visit(sub(value, at, stop - 1), incarnation)
    at = stop
  end
end

-- A hash is a listpack only while no value is longer than 64 bytes, and one
-- longer value would turn the whole bucket into a table of three times the
-- size. Longer ones live in a second key of the same bucket: KEYS come in pairs.
local longest = 64

local function read(k, field)
  local value = redis.call('HGET', KEYS[k], field)
  if value then return value, k end
  if #field <= longest then value = redis.call('HGET', KEYS[k + 1], field) end
  if value then return value, k + 1 end
  return '', nil
end

local function write(k, field, value, from)
  local to = k
  if #value > longest and #field <= longest then to = k + 1 end
  if from and (value == '' or from ~= to) then redis.call('HDEL', KEYS[from], field) end
  if value ~= '' then redis.call('HSET', KEYS[to], field, value) end
end
