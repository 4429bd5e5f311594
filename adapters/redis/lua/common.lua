-- What every script begins with. KEYS[1] is the record of the schema; all keys of ours have its beginning, and with it its
-- hash tag, so that a cluster keeps them in its slot. KEYS[2] is a key that never exists: while a slot moves to another node,
-- key by key, a cluster refuses what names a key that is not there, and so every script of ours, which would else see some
-- keys and not others. ARGV[1] is the instant by which expiry is judged.
local root, now, at = string.sub(KEYS[1], 1, -7), tonumber(ARGV[1]), 1

-- arg is the next argument.
local function arg()
  at = at + 1
  return ARGV[at]
end

local function number() return tonumber(arg()) end

-- collection reads a collection with the indexes that the script needs of it.
local function collection()
  local name = arg()
  local c = {
    name = name, indexes = {},
    docs = root .. 'd:' .. name .. ':', -- and the id: a hash of m, what parse reads, and b, the body
    ids = root .. 'i:' .. name .. ':', -- a sorted set of the ids; with the name of an index, one of its members
    expiry = root .. 'e:' .. name, -- a sorted set of the ids that expire, by the millisecond
  }
  for i = 1, number() do
    local x = {fields = {}}
    x.name, x.unique = arg(), arg() == '1'
    x.entries = c.ids .. x.name
    for f = 1, number() do x.fields[f] = arg() end
    c.indexes[i] = x
  end
  return c
end

-- parse reads what is stored of a document beside its body: its version, the millisecond from which it is expired (0 is
-- never), and its keys. Versions are compared as texts: Lua's numbers end at 2^53.
local function parse(m)
  local version, expires, keys = string.match(m, '^(%d+) (%d+)%z(.*)$')
  return {version = version, expires = expires, packed = keys, live = expires == '0' or tonumber(expires) > now}
end

-- stored is parse of a document, or nil.
local function stored(c, id)
  local m = redis.call('HGET', c.docs .. id, 'm')
  return m and parse(m)
end

-- key joins a document's values of an index with NUL, which none of them holds.
local function key(x, d)
  if not d.keys then
    d.keys = {}
    for field, value in string.gmatch(d.packed, '([^%z]*)%z([^%z]*)%z') do d.keys[field] = value end
  end
  local values = {}
  for i, field in ipairs(x.fields) do values[i] = d.keys[field] or '' end
  return table.concat(values, '\0')
end

-- entry is a document's member of an index: members of one score are ordered by their bytes, and NUL comes first.
local function entry(x, d, id)
  if #x.fields == 0 then return id end
  return key(x, d) .. '\0' .. id
end

-- owner is the id at the end of an entry.
local function owner(x, member)
  local from = 0
  for _ = 1, #x.fields do from = string.find(member, '\0', from + 1, true) end
  return string.sub(member, from + 1)
end

-- holders are the entries of a key of an index.
local function holders(x, k) return redis.call('ZRANGEBYLEX', x.entries, '[' .. k .. '\0', '(' .. k .. '\1') end

-- refused tries a write that changes nothing and answers why the server takes none: it is a replica, cannot save, lacks
-- replicas or, for a script that adds, memory. Each script begins so: what it then reads is a primary's, and what it then
-- writes is not stopped half-way, since a server judges all this at a script's first write alone. Redis 6.2 puts the place in
-- the script before its reason.
local function refused(adds)
  local answer = adds and redis.pcall('ZADD', KEYS[2], 'XX', 0, '') or redis.pcall('HDEL', KEYS[1], '')
  if type(answer) == 'table' and answer.err then
    return redis.error_reply(string.match(answer.err, '%-?(%u+ .*)$') or answer.err)
  end
end

-- stale says whether the schema's record has changed since the program read it; "" is that there was none.
local function stale(generation) return (redis.call('HGET', KEYS[1], 'generation') or '') ~= generation end

-- writable tries the other writes of the script where they change nothing, so that a key of another type and a right that
-- the user lacks show before anything is written.
local function writable(collections)
  redis.call('DEL', KEYS[2])
  for _, c in ipairs(collections) do
    redis.call('ZREM', c.ids, '')
    redis.call('ZREM', c.expiry, '')
    for _, x in ipairs(c.indexes) do redis.call('ZREM', x.entries, '') end
  end
end

-- erase removes a document and all its entries.
local function erase(c, id, d)
  redis.call('DEL', c.docs .. id)
  redis.call('ZREM', c.ids, id)
  if d.expires ~= '0' then redis.call('ZREM', c.expiry, id) end
  for _, x in ipairs(c.indexes) do redis.call('ZREM', x.entries, entry(x, d, id)) end
end
