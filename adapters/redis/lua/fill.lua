-- Enters a page of documents into new indexes of a collection, which are filled with the last page. ARGV: the collection with
-- those indexes, the bound behind which the page begins as ZRANGEBYLEX takes it, how many documents, and what the record is to
-- say of each index. Answers the last id, or "" when all are entered.
local why = refused(true)
if why then return why end
local c, low, page = collection(), arg(), number()
local ids = redis.call('ZRANGEBYLEX', c.ids, low, '+', 'LIMIT', 0, page)
for _, id in ipairs(ids) do
  local d = stored(c, id)
  for _, x in ipairs(c.indexes) do redis.call('ZADD', x.entries, 0, entry(x, d, id)) end
end
if #ids == page then return {ids[page]} end
for _, x in ipairs(c.indexes) do redis.call('HSET', KEYS[1], c.name .. '/' .. x.name, arg()) end
return {''}
