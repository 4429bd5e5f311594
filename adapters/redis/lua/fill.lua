-- Enters a page of documents into new indexes of a collection. ARGV: generation, the collection with those indexes, the bound
-- behind which the page begins as ZRANGEBYLEX takes it, how many documents. Answers ok and the last id, "" when all are
-- entered; stale; or taken, the index and two ids that claim one key.
local generation = arg()
local why = refused(true)
if why then return why end
if stale(generation) then return {'stale'} end
local c, low, page = collection(), arg(), number()
local ids = redis.call('ZRANGEBYLEX', c.ids, low, '+', 'LIMIT', 0, page)
for _, id in ipairs(ids) do
  local d = stored(c, id)
  for _, x in ipairs(c.indexes) do
    local k = x.unique and d.expires == '0' and key(x, d)
    if k and string.find(k, '[^%z]') then
      for _, member in ipairs(holders(x, k)) do
        local other = owner(x, member)
        if other ~= id and stored(c, other).expires == '0' then return {'taken', x.name, other, id} end
      end
    end
    redis.call('ZADD', x.entries, 0, entry(x, d, id))
  end
end
return {'ok', ids[page] or ''}
