-- Brings the record of the schema up to a program's. ARGV: the generation to set if it grows; of each collection its name and
-- its indexes' names and definitions. The record is a hash: generation, and for collection/index "filled" or "filling" and the
-- definition. Answers ok, the generation, and the collection/index of each that is not filled; or why the program may not
-- write: unknown or differs, and the collection/index.
local fresh = arg()
local why = refused(false)
if why then return why end
local wanted, mine = {}, {}
for _ = 1, number() do
  local name = arg()
  mine[name] = true
  for _ = 1, number() do
    local index, definition = name .. '/' .. arg(), arg()
    wanted[#wanted + 1] = {index = index, definition = definition}
    wanted[index] = true
  end
end

local fields, record = redis.call('HGETALL', KEYS[1]), {}
for i = 1, #fields, 2 do
  local name = string.match(fields[i], '^(.*)/')
  if name and mine[name] and not wanted[fields[i]] then return {'unknown', fields[i]} end
  record[fields[i]] = fields[i + 1]
end
local missing, filling = {}, {}
for _, w in ipairs(wanted) do
  local state, definition = string.match(record[w.index] or 'missing ' .. w.definition, '^(%l+) (.*)$')
  if definition ~= w.definition then return {'differs', w.index, definition} end
  if state == 'missing' then missing[#missing + 1] = w end
  if state ~= 'filled' then filling[#filling + 1] = w.index end
end
if #missing > 0 or not record.generation then
  redis.call('HSET', KEYS[1], 'generation', fresh)
  for _, w in ipairs(missing) do redis.call('HSET', KEYS[1], w.index, 'filling ' .. w.definition) end
  record.generation = fresh
end
return {'ok', record.generation, filling}
