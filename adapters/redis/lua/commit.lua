-- A commit: check all, then write all.
-- ARGV: generation, whether something is put; the collections; of each operation its kind, collection, id and version, and
-- of what is put m and b. Answers ok, stale, conflict, or taken with the collection and the index.
local generation = arg()
local why = refused(arg() == '1')
if why then return why end
if stale(generation) then return {'stale'} end

local collections = {}
for i = 1, number() do collections[i] = collection() end

-- Guards are judged on the state before the commit.
local puts, removals, named = {}, {}, {}
for _ = 1, number() do
  local kind, c, id, version = arg(), collections[number()], arg(), arg()
  local old = stored(c, id)
  if kind == 'insert' then
    if old and old.live then return {'taken', c.name, ''} end
  elseif not old or not old.live or old.version ~= version then
    return {'conflict'}
  end
  local op = {c = c, id = id, old = old}
  if kind == 'insert' or kind == 'update' then
    op.m, op.b = arg(), arg()
    op.new = parse(op.m)
    puts[#puts + 1] = op
  elseif kind == 'delete' then
    removals[#removals + 1] = op
  end
  if kind ~= 'check' then named[c.docs .. id] = true end
end

-- Unique keys are judged on the state after it. What holds one and has expired gives way.
local claimed = {}
for _, op in ipairs(puts) do
  for _, x in ipairs(op.c.indexes) do
    local k = x.unique and key(x, op.new)
    if k and string.find(k, '[^%z]') then
      local claim = x.entries .. '\0' .. k
      if claimed[claim] then return {'taken', op.c.name, x.name} end
      claimed[claim] = true
      for _, member in ipairs(holders(x, k)) do
        local id = owner(x, member)
        if not named[op.c.docs .. id] then
          local holder = stored(op.c, id)
          if holder.live then return {'taken', op.c.name, x.name} end
          named[op.c.docs .. id] = true
          removals[#removals + 1] = {c = op.c, id = id, old = holder}
        end
      end
    end
  end
end

writable(collections)
for _, op in ipairs(puts) do redis.call('HSET', op.c.docs .. op.id, 'm', op.m, 'b', op.b) end
for _, op in ipairs(removals) do erase(op.c, op.id, op.old) end
for _, op in ipairs(puts) do
  local c, id, old, new = op.c, op.id, op.old, op.new
  if not old then redis.call('ZADD', c.ids, 0, id) end
  if new.expires ~= '0' then
    redis.call('ZADD', c.expiry, new.expires, id)
  elseif old and old.expires ~= '0' then
    redis.call('ZREM', c.expiry, id)
  end
  if not old or old.packed ~= new.packed then
    for _, x in ipairs(c.indexes) do
      local before, after = old and entry(x, old, id), entry(x, new, id)
      if before ~= after then
        if before then redis.call('ZREM', x.entries, before) end
        redis.call('ZADD', x.entries, 0, after)
      end
    end
  end
end
return {'ok'}
